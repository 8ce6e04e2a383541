"""Everything that is not the objective: model, data, optimizer, output. Hugging Face's names; unknown keys are refused."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from halo.data.reading import Renamed, Source, named
from halo.errors import Place, SettingsError, nearest
from halo.objective.document import read_document
from halo.objective.loading import first_error, read_text
from halo.options import Named

ALIASES = {
    "model": "model_name_or_path",
    "dataset": "data",
    "train_file": "data",
    "dataset_name": "data",
    "resume": "resume_from_checkpoint",
    "epochs": "num_train_epochs",
    "lr": "learning_rate",
    "reference_model": "reference_model_name_or_path",
    "ref_model": "reference_model_name_or_path",
    "batch_size": "per_device_train_batch_size",
    "torch_dtype": "dtype",
}

MODEL, ADAPTER, DATA, REFERENCE = "Model", "Adapter (peft)", "Data", "Reference"
OPTIMIZER, STEPS, EVALUATION, RUN = "Optimizer", "Steps", "Evaluation", "Run"
GROUPS = (MODEL, ADAPTER, DATA, REFERENCE, OPTIMIZER, STEPS, EVALUATION, RUN)
"""The headings of `halo train --help`, in its order."""

SAME, SAID, FREE = "same", "said", "free"
ON_RESUME = (SAME, SAID, FREE)
"""What a resumed run may do with a setting: it says which weights and which examples, in which order, a run is about, and must be equal;
it changes what comes from here on, so a change is said; or it changes no number of the run and is free."""


def setting(default: Any, group: str, on_resume: str, description: str | None = None, **rules: Any) -> Any:
    """A field of `Settings`: its default, its group in the help, what it means on resume, its line in the help, pydantic's own rules."""
    return Field(default, description=description, json_schema_extra={"group": group, "on_resume": on_resume}, **rules)


def about(name: str, key: str) -> str:
    """The `group` of a setting, or its `on_resume`. Raises KeyError for a field that was not declared with `setting`."""
    extra = Settings.model_fields[name].json_schema_extra
    if not isinstance(extra, dict):
        raise KeyError(f"{name} says neither its group nor what it means on resume; declare it with setting(...)")
    return str(extra[key])


class Settings(BaseModel):
    """The settings of one run. Numbers of the objective are given with `--set name=value`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_name_or_path: str | None = setting(None, MODEL, SAME, "folder or hub name; left out: the embedded policy", min_length=1)
    packing: bool = setting(True, MODEL, SAID, "run each prompt once for all its completions, without padding, where the model allows")
    dtype: Literal["float32", "bfloat16", "float64"] = setting("float32", MODEL, SAME, "type of the weights")
    bf16: bool | None = setting(None, MODEL, SAID, "bfloat16 autocast; left out: where the hardware is fast at it")
    gradient_checkpointing: bool = setting(False, MODEL, FREE)
    attn_implementation: str | None = setting(None, MODEL, SAID)
    trust_remote_code: bool = setting(False, MODEL, FREE)
    use_cpu: bool = setting(False, MODEL, SAID)

    use_peft: bool = setting(
        False, ADAPTER, SAME, "train a low-rank adapter; a --model that is an adapter goes on being trained without it"
    )
    lora_r: int = setting(16, ADAPTER, SAME, "rank", ge=1)
    lora_alpha: int = setting(32, ADAPTER, SAME, "the adapter counts lora_alpha / lora_r", ge=1)
    lora_target_modules: list[str] | None = setting(None, ADAPTER, SAME, "names of the layers with an adapter; left out: all linear ones")
    load_in_4bit: bool = setting(False, ADAPTER, SAME, "a base of 4-bit weights (bitsandbytes), under an adapter")
    load_in_8bit: bool = setting(False, ADAPTER, SAME, "a base of 8-bit weights (bitsandbytes), under an adapter")

    data: str | list[Source | str] | None = setting(
        None, DATA, SAME,
        "file, datasets folder or hub name, several with commas, each with @WEIGHT if you like; left out: the embedded feedback",
    )  # fmt: skip
    data_format: Named | None = setting(None, DATA, SAME, "a format's name, if it cannot be told from the columns")
    data_columns: Renamed = setting({}, DATA, SAME, "KNOWN=YOURS,...: which of your columns a format's column is read from")
    data_split: str = setting("train", DATA, SAME)
    shuffle: bool = setting(True, DATA, SAME, "a new order every epoch, from the seed")
    group_by_length: bool = setting(False, DATA, SAME, "examples of a step are about as long as one another")
    streaming: bool = setting(False, DATA, SAME, "read as training goes on, for sets larger than memory; needs max_steps")
    shuffle_buffer_size: int = setting(
        1000, DATA, SAME, "examples that a stream is shuffled in, and mismatched completions drawn from", ge=1
    )
    max_length: int | None = setting(1024, DATA, SAME, "tokens of prompt and completion; longer examples are left out, never cut", ge=2)
    chat_template: Literal["auto", "always", "never"] = setting(
        "auto", DATA, SAME, "auto: plain prompts become one user message where the tokenizer has a template"
    )
    special_tokens: Literal["auto", "split", "keep", "refuse"] = setting(
        "auto", DATA, SAME,
        "special tokens in the text of a row are text (split), tokens (keep), or end the run (refuse); auto: split, and keep where "
        "--chat-template never leaves out a template that there is",
    )  # fmt: skip
    sampled_ids: bool = setting(True, DATA, SAME, "train on the ids that a sampler wrote, where rows have them; false: on their texts")
    loss_on: Literal["all", "last"] = setting("all", DATA, SAME, "which of a completion's assistant turns are trained on")

    reference: Named = setting(
        "auto", REFERENCE, SAID, "a reference strategy; used only if the objective needs one; auto: frozen, or the base under an adapter"
    )
    reference_model_name_or_path: str | None = setting(None, REFERENCE, SAID, "a reference that is another model than the policy's start")
    precompute_ref_log_probs: bool = setting(False, REFERENCE, SAID, "score everything with the reference first, then free it")

    learning_rate: float = setting(1e-6, OPTIMIZER, SAID, gt=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = setting("linear", OPTIMIZER, SAID)
    warmup_ratio: float = setting(0.1, OPTIMIZER, SAID, ge=0, le=1)
    warmup_steps: int | None = setting(None, OPTIMIZER, SAID, "overrides warmup_ratio", ge=0)
    weight_decay: float = setting(0.0, OPTIMIZER, SAID, ge=0)
    adam_beta1: float = setting(0.9, OPTIMIZER, SAID, ge=0, lt=1)
    adam_beta2: float = setting(0.999, OPTIMIZER, SAID, ge=0, lt=1)
    adam_epsilon: float = setting(1e-8, OPTIMIZER, SAID, gt=0)
    max_grad_norm: float = setting(1.0, OPTIMIZER, SAID, "0: no clipping", ge=0)

    per_device_train_batch_size: int = setting(4, STEPS, SAID, "examples (pairs, labelled completions, lists) in one pass", ge=1)
    gradient_accumulation_steps: int = setting(1, STEPS, SAID, "passes per step; changes memory, never the mathematics", ge=1)
    num_train_epochs: float = setting(1.0, STEPS, SAID, gt=0, allow_inf_nan=False)
    max_steps: int = setting(-1, STEPS, SAID, "overrides num_train_epochs")

    eval_data: str | list[Source | str] | None = setting(None, EVALUATION, SAID, "held-out feedback, in the same format")
    eval_fraction: float = setting(0.0, EVALUATION, SAME, "share of the prompts held out for evaluation", ge=0, lt=1)
    per_device_eval_batch_size: int = setting(8, EVALUATION, FREE, ge=1)
    eval_strategy: Literal["no", "steps", "epoch"] = setting("no", EVALUATION, FREE)
    eval_steps: int = setting(100, EVALUATION, FREE, ge=1)

    output_dir: str | None = setting(None, RUN, FREE, "left out: a new folder under runs/")
    run_name: str | None = setting(None, RUN, FREE)
    seed: int = setting(42, RUN, SAME)
    resume_from_checkpoint: str | None = setting(None, RUN, FREE, "a run's folder or one of its checkpoints")
    resume_anyway: bool = setting(False, RUN, FREE, "go on although the examples, a model, the tokenizer or the batch changed")
    backend: Named = setting("auto", RUN, SAID, "single, ddp, or a plugin's (fsdp, deepspeed); auto: as the launcher says")
    ddp_timeout: float = setting(
        1800.0, RUN, FREE, "seconds after which a process that comes no further, while the others wait, is named and the run ends",
        gt=0, le=1e6,
    )  # fmt: skip
    check: bool = setting(True, RUN, FREE, "first hold the objective's expect: against what is proved of it")
    logging_steps: int = setting(1, RUN, FREE, ge=1)
    save_steps: int | None = setting(None, RUN, FREE, "left out: only at the end", ge=1)
    save_total_limit: int | None = setting(2, RUN, FREE, ge=1)
    report_to: list[str] = setting([], RUN, FREE, "trackers of accelerate: tensorboard, wandb, ...")

    @field_validator("data", "eval_data")
    @classmethod
    def _as_sources(cls, value: Any) -> Any:
        if value is not None and not (value and _parts(value)):
            raise ValueError("it names no set; leave it out, or name one")
        for part in _parts(value):
            try:
                Source.model_validate(part)
            except ValidationError as problem:
                error = problem.errors()[0]
                raise ValueError(f"{'.'.join(map(str, error['loc']))} of {part!r}: {error['msg']}") from None
        return value

    def sources(self, value: str | list[Source | str] | None) -> list[Source]:
        """`data` or `eval_data` as sets. Raises DataError if two have one name."""
        given = [Source.model_validate(part) for part in _parts(value)]
        return named(
            one.model_copy(update={"columns": self.data_columns | one.columns, "format": one.format or self.data_format}) for one in given
        )

    @field_validator("lora_target_modules", mode="before")
    @classmethod
    def _as_names(cls, value: Any) -> Any:
        return _parts_of(value)

    @field_validator("load_in_8bit")
    @classmethod
    def _one_width(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("load_in_4bit"):
            raise ValueError("load_in_4bit is set too; give one of them")
        return value

    @field_validator("report_to", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        if value in ("none", "None", None):
            return []
        return _parts_of(value)


def _parts_of(value: Any) -> Any:
    """A text with commas as a list."""
    if isinstance(value, str):
        return [part for part in value.split(",") if part]
    return value


def _parts(value: str | list[Source | str] | None) -> list[Source | str]:
    if isinstance(value, str) and _is_there(value):
        return [value]
    return _parts_of(value) or []


def _is_there(path: str) -> bool:
    """Whether the whole word is one path, commas and all."""
    try:
        return Path(path).exists()
    except OSError:  # several names together are longer than one may be
        return False


def read_settings(file: str | None, flags: Mapping[str, str | None], base: Mapping[str, Any] | None = None) -> Settings:
    """Settings from a YAML file, with flags over it. `flags` values are text as typed; None is a bare `--flag`.

    Raises SettingsError at the file's line, or naming the flag.
    """
    values: dict[str, Any] = dict(base or {})
    marks: dict[Any, Any] = {}
    if file is not None:
        document = read_document(read_text(Path(file), SettingsError, "settings"), Path(file).name, SettingsError)
        for key, value in document.value.items():
            name = setting_name(key, document.marks[(key, "")].place())
            values[name] = value
            marks[(name,)] = document.marks[(key,)]
    given: dict[str, str] = {}
    for flag, text in flags.items():
        name = setting_name(_plain(flag), Place(flag))
        if given.setdefault(name, flag) != flag:
            raise SettingsError("duplicate-key", f"{given[name]} sets the same", place=Place(flag), hint="give one of them")
        values[name] = _typed(name, text, flag)
        marks.pop((name,), None)
    try:
        return Settings.model_validate(values)
    except ValidationError as problem:
        error = first_error(problem, Settings, marks, "settings", SettingsError)
        name = str(problem.errors()[0]["loc"][0])
        typed = next((f for f in flags if ALIASES.get(_plain(f), _plain(f)) == name), None)
        raise SettingsError(error.code, error.message, place=Place(typed) if typed else error.place, hint=error.hint) from None


def _plain(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def setting_name(key: str, place: Place) -> str:
    """The setting that a key, or its alias, names. Raises SettingsError."""
    name = ALIASES.get(key, key)
    if name not in Settings.model_fields:
        raise SettingsError(
            "unknown-setting", f"there is no setting {key!r}", place=place, hint=nearest(key, [*Settings.model_fields, *ALIASES])
        )
    return name


def is_flag(name: str) -> bool:
    """Whether the setting is a switch that needs no value."""
    return bool in _types(name)


def _types(name: str) -> tuple[Any, ...]:
    annotation = Settings.model_fields[ALIASES.get(name, name)].annotation
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _typed(name: str, text: str | None, flag: str) -> Any:
    """A flag's text as the type of its field; pydantic checks the rest."""
    kinds = _types(name)
    if text is None:
        if bool not in kinds:
            raise SettingsError("wrong-value", "a value is missing", place=Place(flag))
        return True
    if type(None) in kinds and text.lower() in ("none", "null", "auto"):
        return None
    if bool in kinds:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise SettingsError("wrong-value", f"{text!r} is neither true nor false", place=Place(flag))
        return text.lower() in ("true", "1", "yes")
    for kind, meaning in ((int, "a whole number"), (float, "a number")):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                raise SettingsError("wrong-value", f"{text!r} is not {meaning}", place=Place(flag)) from None
    return text
