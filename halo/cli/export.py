"""`halo export`: a run's model as a whole one that needs neither peft nor halo, or samples as files that other tools read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from halo.cli.arguments import Arguments, all_words, split
from halo.cli.console import quieten, say
from halo.errors import ModelError, Place, SettingsError
from halo.exports.formats import FORMATS
from halo.exports.run import TABLE, ExportSettings, export_samples, is_samples
from halo.fields import described_flags, read_flags
from halo.files.whole import draft_of, move_folder
from halo.training.model.lora import base_of, is_adapter
from halo.training.settings import Settings

HELP = """halo export RUN FOLDER [--dtype float32|bfloat16|float16]
halo export SAMPLES FORMAT [--out FILE_OR_FOLDER] [--name NAME]

Of a run (its folder or one of its checkpoints) writes the model into the new FOLDER: an adapter merged into its base, a whole model as
it is; with its tokenizer. --dtype sets the type of the weights (default: that of the base, or of the whole model). The sums are made
in float32.
Loads with AutoModelForCausalLM.from_pretrained(FOLDER), without peft. A base that was trained on as 4-bit or 8-bit weights is read in
its own precision: the merged model is not quantised.

Of a folder of samples writes a file that another tool reads. A question's name is what stands in its column question_id or uid, else its
prompt_id; a completion that was cut or is empty is an answer too. FORMAT is one of

"""
TYPES = ("float32", "bfloat16", "float16")


def run(arguments: list[str]) -> int:
    """Exports; returns 0."""
    given = split(arguments, ("dtype", *ExportSettings.model_fields))
    if given.help:
        told = {name: chosen.meaning for name, chosen in FORMATS.items()} | {TABLE: "the rows with their scores as columns score_NAME"}
        print(HELP + "".join(f"  {name:<12} {meaning}\n" for name, meaning in told.items()) + described_flags(ExportSettings), end="")
        return 0
    source, second = all_words(given.words, "run or folder of samples", "new folder or format")
    if is_samples(Path(source)):
        export_samples(Path(source), second, read_flags(ExportSettings, given.flags, {}, "export"), say)
        return 0
    if second in (*FORMATS, TABLE) or given.flags.keys() & {"--out", "--name"}:
        raise SettingsError("not-found", f"{source} is no folder of samples", place=Place("halo export"), hint="halo sample writes one")
    return _export_run(Path(source), Path(second), given)


def _export_run(source: Path, target: Path, given: Arguments) -> int:
    """The model of a run, whole, in a new folder."""
    dtype = given.flags.get("--dtype")
    if dtype is not None and dtype not in TYPES:
        raise SettingsError("wrong-value", f"{dtype!r} is no type of weights", place=Place("--dtype"), hint=f"one of {', '.join(TYPES)}")
    if target.exists():
        raise SettingsError("output-folder", "there is such a folder already", place=Place(str(target)), hint="choose another name")
    if not source.is_dir():
        raise ModelError("not-found", f"there is no folder {source}", hint="a run's output folder, or one of its checkpoints")
    blocking = next((path for path in target.parents if path.is_file()), None)
    if blocking is not None:
        raise SettingsError("output-folder", "this is a file, not a folder", place=Place(str(blocking)), hint="choose another name")
    quieten()
    model, tokenizer, merged = _whole(source, dtype)
    draft = draft_of(target)
    shutil.rmtree(draft, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    move_folder(draft, target)
    count = sum(p.numel() for p in model.parameters())
    what = f"{source} merged into {merged}" if merged else "copied: the run trained no adapter"
    say(f"{target}: {count:,} parameters, {str(model.dtype).removeprefix('torch.')}, {what}")
    return 0


def _whole(source: Path, dtype: str | None) -> tuple[Any, Any, str]:
    """The model with nothing beside its weights, its tokenizer, and the base that an adapter was merged into."""
    import torch

    from halo.training.model.loading import load_model, load_tokenizer

    settings = Settings.model_validate({"dtype": "float32"})
    model, tokenizer, base = load_model(str(source), settings), load_tokenizer(str(source), settings), ""
    if is_adapter(str(source)):
        base = base_of(str(source))
        model = _merged(model)
    model.to(getattr(torch, dtype or _own_type(base or str(source))))
    model.config.use_cache = True
    return model, tokenizer, base


ROUNDING = 1e-2
"""Of the largest logit: sums of float32 weights lose far less, and an embedding that moved is off by far more."""


def _merged(model: Any) -> Any:
    """The base with the adapter's sums in its weights. Raises ModelError where they say something else: an embedding is the head too."""
    import torch

    ids = torch.arange(min(32, len(model.get_output_embeddings().weight)))[None]
    with torch.no_grad():
        before = model(ids).logits
        model = model.merge_and_unload()
        model.tie_weights()  # as whoever loads it does
        gap = float((model(ids).logits - before).abs().max())
    if not gap <= ROUNDING * max(1.0, float(before.abs().max())):
        changed = "it changes embeddings that are the head's weights too"
        message = f"merged into its base the adapter gives other logits, by {gap:.3g}: {changed}"
        raise ModelError("model", message, hint="use it with peft, as it is")
    return model


def _own_type(name: str) -> str:
    """The type in which a model's weights are stored."""
    from transformers import AutoConfig

    return str(AutoConfig.from_pretrained(name).dtype or "float32").removeprefix("torch.")
