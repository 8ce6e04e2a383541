"""What a run is about changes before it is resumed: it is refused, the thing is named, and the run's folder stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from halo.training.settings import SAME, Settings, about
from trials.core import Attack, Ground
from trials.spoiling import copied, same

EXAMPLES, TOKENS = "the examples or their order", "the tokenizer"


def edited(ground: Ground, folder: Path) -> str:
    """One digit of one text."""
    rows = rows_of(folder)
    row, key = ground.rng.choice(rows), ground.rng.choice(["prompt", "chosen", "rejected"])
    place = ground.rng.choice([i for i, sign in enumerate(row[key]) if sign.isdigit()])
    row[key] = row[key][:place] + str((int(row[key][place]) + ground.rng.randint(1, 9)) % 10) + row[key][place + 1 :]
    return written(folder, rows, f"the {key} of a row is {row[key]!r}")


def swapped(ground: Ground, folder: Path) -> str:
    rows = rows_of(folder)
    first, second = ground.rng.sample(range(len(rows)), 2)
    rows[first], rows[second] = rows[second], rows[first]
    return written(folder, rows, f"rows {first} and {second} have changed places")


def removed(ground: Ground, folder: Path) -> str:
    rows = rows_of(folder)
    rows.remove(row := ground.rng.choice(rows))
    return written(folder, rows, f"the row of {row['prompt']!r} is gone")


def added(ground: Ground, folder: Path) -> str:
    rows = rows_of(folder)
    rows.insert(ground.rng.randrange(len(rows) + 1), row := ground.rng.choice(rows))
    return written(folder, rows, f"the row of {row['prompt']!r} stands twice")


def sides(ground: Ground, folder: Path) -> str:
    rows = rows_of(folder)
    row = ground.rng.choice(rows)
    row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    return written(folder, rows, f"the answers to {row['prompt']!r} have changed sides")


def rows_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def written(folder: Path, rows: list[dict[str, str]], said: str) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return said


def nudged(ground: Ground, folder: Path) -> str:
    """One number of one weight, by a little or by its last bit."""
    file = folder / "model" / "model.safetensors"
    weights = load_file(file)
    name = ground.rng.choice(sorted(weights))
    flat = weights[name].flatten()
    place = ground.rng.randrange(len(flat))
    before = float(flat[place])
    flat[place] = ground.rng.choice([before * 1.001 + 1e-3, -before - 1, float(torch.nextafter(flat[place], torch.tensor(9.0)))])
    weights[name] = flat.view_as(weights[name])
    save_file(weights, file, {"format": "pt"})
    return f"number {place} of {name} was {before} and is {float(flat[place])}"


def vocabulary(ground: Ground, folder: Path) -> str:
    """Two words of the vocabulary have each other's number."""
    file = folder / "model" / "tokenizer.json"
    told = json.loads(file.read_text())
    words = told["model"]["vocab"]
    first, second = ground.rng.sample([word for word in sorted(words) if len(word) == 1], 2)
    words[first], words[second] = words[second], words[first]
    file.write_text(json.dumps(told))
    return f"{first!r} and {second!r} have each other's number"


def template(ground: Ground, folder: Path) -> str:
    """The chat template ends or begins otherwise, or writes something otherwise."""
    file = folder / "model" / "chat_template.jinja"
    text = file.read_text()
    other = [text + "{{ '' }}", "{# a #}" + text, text.replace("<|user|>", "<|good|>"), text.replace("bos_token", "''")]
    file.write_text(ground.rng.choice(other))
    return f"the template is {file.read_text()[:100]!r}"


CHANGES: dict[str, tuple[Callable[[Ground, Path], str], tuple[str, ...]]] = {
    "edited": (edited, (EXAMPLES,)), "swapped": (swapped, (EXAMPLES,)), "removed": (removed, (EXAMPLES,)), "added": (added, (EXAMPLES,)),
    "sides": (sides, (EXAMPLES,)), "nudged": (nudged, ("the weights that training began with", "the reference")),
    "vocabulary": (vocabulary, (TOKENS, EXAMPLES)), "template": (template, ("the chat template", EXAMPLES)),
}  # fmt: skip

OTHER: dict[str, list[str]] = {
    "dtype": ["float64", "bfloat16"], "use_peft": ["true"], "lora_r": ["3"], "lora_alpha": ["5"], "lora_target_modules": ["q_proj"],
    "data_format": ["pairs"], "data_columns": ["chosen=rejected,rejected=chosen"],
    "data_split": ["test"], "shuffle": ["false"], "group_by_length": ["true"], "streaming": ["true"], "shuffle_buffer_size": ["7"],
    "max_length": ["23", "none", "100000"], "chat_template": ["always", "never"], "loss_on": ["last"], "eval_fraction": ["0.25", "0.5"],
    "seed": ["0", "43", "-1"],
}  # fmt: skip
"""Another value of each setting that must stay, but those whose other values need a second setting (load_in_4bit)."""


def setting(ground: Ground) -> tuple[str, str]:
    """A setting that must stay, and another value for it."""
    names = [name for name in Settings.model_fields if about(name, "on_resume") == SAME and name in OTHER]
    name = ground.rng.choice(names)
    return name, ground.rng.choice(OTHER[name])


def carry(ground: Ground) -> None:
    folder = ground.folder
    copied(ground.made.short, folder / "run")
    copied(ground.made.model, folder / "model")
    (folder / "rows.jsonl").write_text(ground.made.rows.read_text())
    more: tuple[str, ...] = ()
    if ground.rng.random() < 0.35:
        name, value = setting(ground)
        more = (f"--{name.replace('_', '-')}={value}",)
        named: tuple[str, ...] = (name,)
    else:
        change, named = CHANGES[ground.rng.choice(sorted(CHANGES))]
        ground.note(change(ground, folder))
    made_of = ("--model", str(folder / "model"), "--data", str(folder / "rows.jsonl"))
    ended = ground.halo("train", "dpo", "--resume", str(folder / "run"), "--check", "false", *made_of, "--max-steps", "8", *more)
    ground.must(ended.code != 0, "it went on as if nothing had changed")
    ground.lives(ended)
    ground.must(ended.code == 2, f"it ended with {ended.code}")
    said = ended.err.replace("-", "_") if more else ended.err
    ground.must(any(name in said for name in named), f"{' or '.join(named)} is not named: {ended.err}")
    ground.must(same(folder / "run", ground.made.short), "the run's folder is not as it was")


CHANGE = Attack("change", 40, carry)
