"""Names become objects: what the objective needs is matched with what data, reference and backend supply."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from halo.backends.choosing import backend_name
from halo.backends.interface import Backend, BackendContext
from halo.backends.placement import Placement
from halo.compiler.pipeline import CompiledObjective
from halo.data.columns import wanted_columns
from halo.data.conversion import convert
from halo.data.examples import Example
from halo.data.preparing import prepare, split
from halo.data.reading import read_examples
from halo.data.tokenizing import Template, TokenizedExample
from halo.errors import Place, PluginError, RunFailed, SettingsError
from halo.loss.function import LossFunction
from halo.objective.vocabulary import INPUTS
from halo.plugin.registry import choose, supplied
from halo.reference.interface import Reference, ReferenceContext, ReferenceStrategy
from halo.scoring.capability import choose_path
from halo.scoring.packed import register
from halo.scoring.rows import RowBatch, build_rows
from halo.scoring.scorer import Scorer
from halo.scoring.vocabulary import States
from halo.training.batch import logp_of
from halo.training.models import load_model, load_tokenizer, wants_bf16
from halo.training.optimizer import adamw
from halo.training.settings import Settings
from halo.training.step import Step, World

Say = Callable[[str], None]
AGREEMENT = 1e-2  # nats per token that policy and reference may differ by before the first step, in bfloat16


@dataclass
class Run:
    """Everything a run needs, assembled. `train` and `held_out` are tokenized; `step` accumulates a gradient, `placement` takes it."""

    compiled: CompiledObjective
    settings: Settings
    model: Any
    tokenizer: Any
    template: Template
    train: list[TokenizedExample]
    held_out: list[TokenizedExample]
    step: Step
    scorer: Scorer
    accelerator: Any
    placement: Placement
    output: Path
    say: Say
    facts: dict[str, float] = field(default_factory=dict)


def assemble(compiled: CompiledObjective, settings: Settings, say: Say = print) -> Run:
    """Builds a run. Raises HaloError for whatever does not fit, before anything is written."""
    loss = LossFunction(compiled)
    _check_needs(compiled, settings)
    _check_trackers(settings)
    output = output_folder(compiled.graph.name, settings)
    examples, held_out = load_examples(compiled, settings, say)
    tokenizer = load_tokenizer(str(settings.model_name_or_path), settings)
    template = Template.of(tokenizer, settings.chat_template)
    needs = compiled.graph.needs
    slots, control = tuple(slot for slot in needs.slots), needs.control
    columns = wanted_columns(compiled.objective.declaration.columns, needs)
    train, report = prepare(examples, template, slots, control, settings.max_length, settings.seed, columns)
    say(f"data       {settings.data}: {report}")
    evaluation = prepare(held_out, template, slots, control, settings.max_length, settings.seed, columns)[0] if held_out else []
    model = load_model(str(settings.model_name_or_path), settings)
    accelerator, placement, why = _accelerator(model, settings, output)
    say(
        f"model      {settings.model_name_or_path}: {sum(p.numel() for p in model.parameters()):,} parameters, {settings.dtype} weights, {why}"
    )
    scorer = _scorer(model, settings, train, slots, say)
    world = _world(accelerator)
    torch.manual_seed(settings.seed)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    model.train()
    vocabulary = model.get_output_embeddings().weight.shape[0]
    placement.prepare(scorer, lambda: adamw(model, settings))
    world.no_sync, world.pull_back = placement.no_sync, placement.pull_back
    step = Step(loss, placement.module, None, accelerator.device, world, vocabulary, filler=min(train, key=lambda example: example.longest))
    run = Run(compiled, settings, model, tokenizer, template, train, evaluation, step, scorer, accelerator, placement, output, say)
    _attach_reference(run)
    return run


def load_examples(compiled: CompiledObjective, settings: Settings, say: Say) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples in the kind of feedback the objective wants."""
    formats = [item.thing for item in supplied("format")]

    def read(source: str) -> list[Example]:
        examples, left_out, form = read_examples(source, formats, settings.data_split, settings.data_format)
        if left_out:
            say(f"data       {len(left_out)} rows left out, the first: {left_out[0]}")
        if not examples:
            raise left_out[0]
        converted, sentence = convert(examples, compiled.graph.feedback)
        say(f"data       {len(examples)} rows of format {form.name}" + (f"; {sentence} ({len(converted)} examples)" if sentence else ""))
        return converted

    examples = read(str(settings.data))
    if settings.eval_data:
        return examples, read(settings.eval_data)
    return split(examples, settings.eval_fraction, settings.seed) if settings.eval_fraction else (examples, [])


def output_folder(name: str, settings: Settings) -> Path:
    """The run's folder: as set and empty (or being resumed), or a new one under runs/. Nothing is created yet."""
    if settings.output_dir is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folders = (Path("runs") / f"{name}-{stamp}{suffix}" for suffix in ("", *(f"-{i}" for i in range(2, 1000))))
        return next(folder for folder in folders if not folder.exists())
    folder = Path(settings.output_dir)
    if folder.is_file():
        raise SettingsError("output-folder", f"{folder} is a file")
    if folder.is_dir() and any(folder.iterdir()) and settings.resume_from_checkpoint is None:
        raise SettingsError(
            "output-folder", f"the output folder {folder} is not empty", hint=f"choose another, or continue it with --resume {folder}"
        )
    return folder


def _check_trackers(settings: Settings) -> None:
    """accelerate leaves out a tracker that is not installed without a word; we do not."""
    from accelerate.tracking import get_available_trackers

    available = {str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()}
    for name in settings.report_to:
        if name not in available:
            hint = f"installed: {', '.join(sorted(available)) or 'none'}; metrics.jsonl is always written"
            raise SettingsError("unknown-setting", f"the tracker {name!r} is not installed", place=Place("--report-to"), hint=hint)


def _check_needs(compiled: CompiledObjective, settings: Settings) -> None:
    needs = compiled.graph.needs
    if needs.sampler:
        raise PluginError("plugin", f"{compiled.graph.name} needs old_logp, the log-probs of a sampler, which nothing installed supplies")
    strategy, _ = chosen_reference(settings)
    if needs.reference and not strategy.supplies:
        raise SettingsError(
            "plugin", f"{compiled.graph.name} needs a reference, and --reference is {settings.reference}", hint="--reference frozen"
        )
    if needs.reference and not strategy.distributions and any(INPUTS[word].reference for word in needs.words):
        hint = f"strategies that give it: {', '.join(s.thing.name for s in supplied('reference') if s.thing.distributions)}"
        message = f"{compiled.graph.name} reads {', '.join(needs.words)}, and --reference {settings.reference} gives no whole distribution"
        raise SettingsError("plugin", message, hint=hint)
    if needs.divergences and settings.precompute_ref_log_probs:
        message = f"{compiled.graph.name} reads {', '.join(needs.divergences)}: the reference's whole distribution, beside the policy's"
        hint = "log-probs that were computed ahead hold one number for each token; leave the setting out"
        raise SettingsError("wrong-value", message, place=Place("--precompute-ref-log-probs"), hint=hint)
    if needs.moving and not strategy.moves:
        moving = [s.thing.name for s in supplied("reference") if s.thing.moves]
        hint = f"--reference {moving[0]}" if moving else "the package halo-align-references has one"
        raise PluginError("plugin", f"{compiled.graph.name} needs a reference that follows the policy, and {strategy.name} does not", hint=hint)
    if strategy.moves and settings.precompute_ref_log_probs:
        place = Place("--precompute-ref-log-probs")
        raise SettingsError("wrong-value", f"--reference {strategy.name} moves", place=place, hint="its log-probs cannot be computed ahead")


def _accelerator(model: Any, settings: Settings, output: Path) -> tuple[Any, Placement, str]:
    use, why = wants_bf16(settings, sum(p.numel() for p in model.parameters()))
    name, because = backend_name(settings.backend, os.environ, [item.name for item in supplied("backend")])
    backend: Backend = choose("backend", name)
    context = BackendContext("bf16" if use else "no", tuple(settings.report_to), str(output), settings.use_cpu, settings.max_grad_norm)
    accelerator = backend.build(context)
    placement = (backend.place or Placement)(accelerator, context)
    _check_moves(settings, name, placement)
    device = f"{accelerator.num_processes} x {accelerator.device.type}, backend {name} ({because})"
    return accelerator, placement, f"{'bfloat16 autocast' if use else settings.dtype + ' products'} ({why}), {device}"


def _check_moves(settings: Settings, backend: str, placement: Placement) -> None:
    """A reference that follows the policy must be able to read it."""
    if not placement.moves and chosen_reference(settings)[0].moves:
        message = f"--reference {settings.reference} follows the policy, and the backend {backend} keeps its parameters where nothing reads them"
        raise SettingsError("plugin", message, place=Place("--backend"), hint="--backend fsdp or ddp")


def _scorer(model: Any, settings: Settings, train: list[TokenizedExample], slots: tuple[str, ...], say: Say) -> Scorer:
    """The policy's scorer, its fast path chosen on the shortest example and checked against the model's own logits."""
    scorer = Scorer(model, "auto")
    shortest = min(train, key=lambda example: example.longest)
    rows, _ = build_rows([shortest], [slot for slot in slots if slot != "prompt"] or slots)
    path = choose_path(scorer, rows, settings.packing, getattr(torch, settings.dtype))
    say(f"scoring    log-probs agree with the model's own logits; {path}")
    return scorer


def _world(accelerator: Any) -> World:
    if accelerator.num_processes == 1:
        return World()
    from accelerate.utils import gather_object

    return World(accelerator.process_index, accelerator.num_processes, lambda value: list(gather_object([value])))


def chosen_reference(settings: Settings) -> tuple[ReferenceStrategy, Mapping[str, float | str]]:
    """The strategy of `--reference name` or `name:option=number,...`, and its options."""
    name, _, options = settings.reference.partition(":")
    strategy: ReferenceStrategy = choose("reference", name)
    return strategy, strategy.with_options(options)


# -- the reference -----------------------------------------------------------------------------------------------------


def _attach_reference(run: Run) -> None:
    """Builds the reference if the objective needs one, checks that the policy agrees with it, and scores ahead if asked."""
    needs, settings = run.compiled.graph.needs, run.settings
    if not needs.reference:
        run.say("reference  none: the objective needs none")
        return
    strategy, options = chosen_reference(settings)

    def wrapped(model: Any) -> _Scored:
        if run.scorer.path == "auto":
            register(model)
        return _Scored(run.placement.frozen(Scorer(model, run.scorer.path)), run.placement)

    name, vocabulary = str(settings.model_name_or_path), run.step.vocab_size
    assert vocabulary is not None
    if settings.precompute_ref_log_probs and settings.reference == "frozen":
        reference: Reference | None = _Start(run)  # the policy has not moved yet: it is its own reference
    else:
        reference = strategy.build(ReferenceContext(lambda: load_model(name, settings), name, wrapped, vocabulary, options))
    assert reference is not None  # _check_needs asked for one that supplies
    run.step.reference = reference
    run.say(f"reference  {reference.describe()}")
    if strategy.starts_as_policy:
        _check_agreement(run)
    if settings.precompute_ref_log_probs:
        _precompute(run)


@dataclass(frozen=True)
class _Scored:
    """A model's scorer in the precision of the run."""

    scorer: Any
    placement: Placement

    def __call__(self, rows: RowBatch) -> Tensor:
        return self.states(rows).scored()

    def states(self, rows: RowBatch) -> States:
        with self.placement.autocast():
            states: States = self.scorer.states(rows)
        return states


class _Start:
    """The policy before its first step, as its own reference: no second copy of the weights."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @torch.no_grad()
    def logps(self, rows: RowBatch) -> Tensor:
        return self.run.step.score(rows)

    @torch.no_grad()
    def states(self, rows: RowBatch) -> Any:
        """Sums of them are all that is asked for: divergences, which read distributions chunk by chunk, are not scored ahead."""
        return _Sums(self.run.step.score, rows)

    def describe(self) -> str:
        return f"{self.run.settings.model_name_or_path} before the first step, scored ahead and then gone"


@dataclass(frozen=True)
class _Sums:
    """Distributions that exist within the prepared scorer alone: a sharded policy cannot be run around it."""

    score: Callable[..., Tensor]
    rows: RowBatch

    @torch.no_grad()
    def scored(self, words: Sequence[str] = ()) -> Tensor:
        return self.score(self.rows, words)


def _check_agreement(run: Run) -> None:
    """Policy and reference must give the same log-probs before the first step, and no divergence."""
    step, needs = run.step, run.compiled.graph.needs
    policy = step.measured(run.train[:2], [s for s in needs.slots if s in (*step.reference_slots, *needs.vocabulary)])
    reference = step.referenced(run.train[:2])
    gaps = [(logp_of(policy[slot]) - logp_of(reference[slot])).abs() for slot in step.reference_slots]
    columns = [1 + needs.policy_words.index(word) for word in needs.divergences]
    gaps += [flat[:, columns] for flat in policy.values()] if columns else []
    worst = max(float(gap.max()) for gap in gaps)
    if not worst <= AGREEMENT:
        raise RunFailed("self-test", f"policy and reference differ by {worst:.3g} nats in a token before the first step")


def _precompute(run: Run) -> None:
    """Gives every example its reference log-probs, then frees the reference."""
    slots, settings, begun = run.step.reference_slots, run.settings, time.perf_counter()
    for examples in (run.train, run.held_out):
        wanted = range(len(examples)) if examples is run.held_out else _reached(run)
        for start in range(0, len(wanted), settings.per_device_train_batch_size):
            chosen = wanted[start : start + settings.per_device_train_batch_size]
            flat = run.step.referenced([examples[i] for i in chosen])
            cursor = dict.fromkeys(slots, 0)
            for i in chosen:
                examples[i] = _with_logps(examples[i], flat, cursor)
    run.step.reference = None
    run.facts["reference_seconds"] = time.perf_counter() - begun


def _reached(run: Run) -> list[int]:
    """The training examples that this run will see, on this rank or another."""
    from halo.training.schedule import Schedule

    schedule = Schedule.of(run.settings, len(run.train), run.step.world.size)
    return sorted({i for step in range(schedule.total) for i in schedule.indices(step)})


def _with_logps(example: TokenizedExample, flat: dict[str, Tensor], cursor: dict[str, int]) -> TokenizedExample:
    from halo.scoring.rows import scored_counts

    found: dict[str, tuple[tuple[float, ...], ...]] = {}
    for slot in cursor:
        rows = []
        for count in scored_counts(example, slot):
            rows.append(tuple(flat[slot][cursor[slot] : cursor[slot] + count].tolist()))
            cursor[slot] += count
        found[slot] = tuple(rows)
    return replace(example, ref_logps=found)
