"""Folders of somebody else, with code wherever something might run it: a canary stays unwritten."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import yaml

from halo.files.manifest import MANIFEST, read_manifest, write_manifest
from trials.canaries import Pickled, dead, killer, plant
from trials.core import Attack, Ground
from trials.spoiling import copied

NAMES = ("./pairs", "pairs", "./pairs/pairs.py", "./pairs/pairs.pkl", "./pairs/dataset.arrow", "./pairs/train.parquet")
"""What of the folder of data is named."""


def of_a_model(ground: Ground) -> tuple[str, ...]:
    """A run from somebody else's model, or with it as a reference; or a look at data with its tokenizer."""
    model = copied(ground.made.model, ground.folder / "model")
    plant(ground, model)
    output = ("--output-dir", str(ground.folder / "run"), "--max-steps", "1", "--check", "false", "--use-cpu")
    rows, rng = str(ground.made.rows), ground.rng
    more: tuple[str, ...] = ("--chat-template", rng.choice(["auto", "always", "never"]))
    if rng.random() < 0.15:
        more += ("--attn-implementation", rng.choice(["user/kernel", "kernels-community/flash-attn", "evil", "eager", "\x1b[31m"]))
    if rng.random() < 0.15:
        return ("data", rows, "--objective", "dpo", "--model", str(model), *more)
    if rng.random() < 0.15:
        return ("train", "dpo", "--model", str(ground.made.model), "--reference-model", str(model), "--data", rows, *output)
    return ("train", "dpo", "--model", str(model), "--data", rows, *output, *more)


def of_a_run(ground: Ground) -> tuple[str, ...]:
    """Somebody else's run is resumed, with their model or one's own; its manifests are made to fit."""
    run, rng = copied(ground.made.short, ground.folder / "run"), ground.rng
    model = copied(ground.made.model, ground.folder / "model")
    checkpoint = run / "checkpoint-6"
    about = read_manifest(checkpoint)["about"]
    plant(ground, rng.choice([checkpoint, checkpoint, run, model]))
    (checkpoint / MANIFEST).unlink()
    write_manifest(checkpoint, {"step": 6, "about": about})
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    if rng.random() < 0.5:
        settings |= {
            "trust_remote_code": True, "model_name_or_path": str(checkpoint), "report_to": ["tensorboard"],
            "backend": rng.choice(["ddp", "single"]),
        }  # fmt: skip
        (run / "settings.yaml").write_text(yaml.safe_dump(settings))
    if rng.random() < 0.2:
        (run / "objective.yaml").write_text(f"!!python/object/apply:os.system ['touch {dead(ground)}']")
    own = ("--model", str(model), "--data", str(ground.made.rows))
    given = rng.choice([(), own, (*own, "--resume-anyway")])
    return ("train", "dpo", "--resume", str(run), "--max-steps", "8", "--check", "false", *given)


def of_data(ground: Ground) -> tuple[str, ...]:
    """Somebody else's folder of data."""
    folder, rng = ground.folder / "pairs", ground.rng
    folder.mkdir()
    for name in rng.sample(["pairs.py", "__init__.py", "dataset.py", "loading.py"], 2):
        (folder / name).write_text(killer(ground))
    for name in rng.sample(["pairs.pkl", "data.pickle", "data-00000-of-00001.arrow", "state.pt", "train.parquet", "dataset.arrow"], 3):
        (folder / name).write_bytes(pickle.dumps(Pickled(dead(ground), rng.randrange(3))))
    if rng.random() < 0.7:
        evil = rng.choice(["evil.Feature", "Value", "os.system", 3, None])
        features = {"prompt": {"_type": evil, "dtype": "string"}}
        (folder / "dataset_info.json").write_text(json.dumps({"features": features, "builder_name": "pairs", "splits": {}}))
        (folder / "state.json").write_text(json.dumps({
            "_data_files": [{"filename": rng.choice(["data-00000-of-00001.arrow", "../../x", "/dev/zero"])}],
            "_format_type": rng.choice([None, "torch", "custom"]), "_split": "train", "_format_kwargs": {}, "_fingerprint": "a",
        }))  # fmt: skip
    if rng.random() < 0.3:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": rng.choice([["train"], ["../../x"], [3], "train"])}))
    command = ("train", "dpo", "--max-steps", "1", "--check", "false") if rng.random() < 0.6 else ("data", "--objective", "dpo")
    return (*command, "--model", str(ground.made.model), "--data", rng.choice([str(folder), *NAMES]))


def carry(ground: Ground) -> None:
    words = ground.rng.choice([of_a_model, of_a_model, of_a_run, of_data])(ground)
    ended = ground.halo(*words, limit=90, environment={"HALO_CACHE": str(ground.folder / "another home")})  # no run is one's own there
    ground.must(not Path(dead(ground)).exists(), f"the canary is dead: {ended.out[-500:]} {ended.err[-500:]}")
    ground.lives(ended)
    ground.quiet(ended)


THIRD_PARTIES = Attack("third_parties", 60, carry, few=2)
