"""A halo objective as the loss of TRL's `DPOTrainer` or `KTOTrainer`.

    Trainer = for_trl(DPOTrainer, halo.compile_objective("simpo", {"gamma": 0.5}))
    Trainer(model=model, args=DPOConfig(...), train_dataset=rows)       # everything else is TRL's

TRL runs its own loss for what it logs; the per-token log-probs of policy and reference are overheard with forward hooks, and
the objective's loss of them is what is trained on. Relied upon are public names only: `compute_loss`, `log`, `model`,
`ref_model`, `loss_is_scaled_for_ga`, the masks in a batch, and `log_probs` in what the models return.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from torch import Tensor

from halo.errors import Place, PluginError, SettingsError
from halo.interop.parts import check_whole, compiled_loss, processes, weighed_by
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.objective.feedback import LABELLED, PAIRED
from halo.training.step.metrics import Sums, added, means, measure

TESTED = "1.16.0"
KINDS = {"DPOTrainer": PAIRED, "KTOTrainer": LABELLED}
"""TRL's trainer -> the feedback it reads, of which it scores every slot."""
SCORED_BY = {"KL_completion_mask": "mismatched", "completion_mask": "completion"}
"""The masks of a batch, in the order in which TRL scores what they mark, and the slots of labelled feedback."""
OF_THEIR_LOSS = (
    "loss_type", "loss_weights", "label_smoothing", "ld_alpha", "f_divergence_type", "f_alpha_divergence_coef", "discopop_tau",
    "use_weighting", "desirable_weight", "undesirable_weight",
)  # fmt: skip
"""Settings of the loss that is replaced. `loss_type` stays open to KTOTrainer, which takes from it whether it scores mismatched
completions."""


def for_trl(base: Any, loss: Any, parameters: Mapping[str, float] | None = None, *, per_micro_batch: bool = False) -> Any:
    """A subclass of TRL's `DPOTrainer` or `KTOTrainer` (or of a subclass of theirs) whose loss is the objective's.

    loss             a loss, or the source of an objective (see `halo.compile_objective`)
    parameters       those of an objective that is compiled here; `beta` of TRL's configuration is not among them
    per_micro_batch  accepts that means, sorts and statistics over a batch are over one micro-batch of one process
    Raises HaloError: here for what such a trainer cannot supply, and when it is made for settings that would have no effect.
    """
    objective = compiled_loss(loss, parameters)
    name = objective.compiled.graph.name
    kind = next((kind.__name__ for kind in base.__mro__ if kind.__name__ in KINDS and kind.__module__.startswith("trl.")), None)
    if kind is None:
        raise PluginError("plugin", f"{base.__name__} is none of TRL's trainers that halo knows", hint=f"known: {', '.join(KINDS)}")
    _check_needs(objective, name, kind)
    state = {"halo_objective": objective, "halo_kind": kind, "halo_per_micro_batch": per_micro_batch, "__module__": __name__}
    return type(f"{base.__name__}_{name}", (_WithObjective, base), state)


class _WithObjective:
    """Before a TRL trainer in the order of classes: its loss is `halo_objective`'s, its logs get halo's metrics under `halo/`."""

    halo_objective: LossFunction
    halo_kind: str
    halo_per_micro_batch: bool

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.halo_sums = {"": Sums(), "eval_": Sums()}  # by what TRL puts before the names of its metrics
        _check_trainer(self)

    def compute_loss(self: Any, model: Any, inputs: Mapping[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        with _overheard(self.model, self.ref_model) as heard:
            theirs = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
        batch = _inputs(self.halo_kind, inputs, heard, self.halo_objective)
        prefix = _prefix(self.model)
        if not prefix:
            self.halo_objective.update_statistics(batch)
        output = self.halo_objective(batch)
        self.halo_sums[prefix] = added([self.halo_sums[prefix], measure(output, batch, self.halo_objective.feedback)])
        if return_outputs:
            return output.loss, theirs[1]
        return output.loss

    def log(self: Any, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        prefix = _prefix(self.model)
        logs |= {f"{prefix}halo/{name}": value for name, value in means(self.halo_sums[prefix]).items()}
        self.halo_sums[prefix] = Sums()
        super().log(logs, *args, **kwargs)  # type: ignore[misc]


def _prefix(model: Any) -> str:
    """What TRL puts before the names of its metrics."""
    return "" if model.training else "eval_"


@contextmanager
def _overheard(*models: Any) -> Iterator[list[Tensor]]:
    """The per-token log-probs that the models return, in the order in which they run."""
    heard: list[Tensor] = []

    def listen(module: Any, args: Any, output: Any) -> None:
        if getattr(output, "log_probs", None) is not None:
            heard.append(output.log_probs)

    handles = [model.register_forward_hook(listen) for model in models if model is not None]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _inputs(kind: str, inputs: Mapping[str, Any], heard: list[Tensor], objective: LossFunction) -> LossInputs:
    """TRL's batch and what was overheard of it as the inputs of the loss."""
    names = [name for name in SCORED_BY if name in inputs]
    passes = len(heard) // max(len(names), 1)
    if "completion_mask" not in names or len(heard) not in (len(names), 2 * len(names)) or passes <= bool(objective.needs.reference):
        raise _unknown("gives no per-token log-probs of policy and reference that halo could overhear")
    found: dict[str, Completions] = {}
    for index, name in enumerate(names):
        mask = inputs[name][:, 1:].bool()
        logp, *ref = (x[:, -mask.shape[1] :] for x in heard[index :: len(names)])  # prompt-tuning puts virtual tokens before
        completions = Completions(token_logps=logp, mask=mask, ref_token_logps=next(iter(ref), None))
        if KINDS[kind].is_pair:
            found |= _halves(completions)
        else:
            found[SCORED_BY[name]] = completions
    return LossInputs(found, desirable=inputs.get("label"))


def _halves(both: Completions) -> dict[str, Completions]:
    """A batch of pairs: the chosen completions, then the rejected ones."""
    masks, logps = both.mask.chunk(2), both.token_logps.chunk(2)
    refs: Sequence[Tensor | None] = (None, None)
    if both.ref_token_logps is not None:
        refs = both.ref_token_logps.chunk(2)
    return {
        slot: Completions(token_logps=logp, mask=mask, ref_token_logps=ref)
        for slot, logp, mask, ref in zip(PAIRED.completions, logps, masks, refs, strict=True)
    }


def _check_needs(objective: LossFunction, name: str, kind: str) -> None:
    """Raises PluginError for what an objective needs and the trainer does not supply."""
    feedback = KINDS[kind]
    needs = objective.needs
    if objective.feedback is not feedback:
        others = [f"for_trl({other}, ...)" for other, wanted in KINDS.items() if wanted is objective.feedback]
        hint = next(iter(others), "halo.interop.hf_trainer.for_trainer")
        raise PluginError("plugin", f"{name} wants {objective.feedback} feedback, {kind} reads {feedback}", hint=hint)
    lacking = [slot for slot in needs.slots if slot not in feedback.slots] + [*needs.words, *needs.columns]
    lacking += [column for columns in needs.own_columns.values() for column in columns]
    lacking += ["a gradient in mismatched completions"] if "mismatched" in needs.gradient else []
    lacking += ["old_logp"] if needs.sampler else []
    lacking += ["vocab_size"] if needs.vocab_size else []
    lacking += ["control"] if needs.control else []
    if lacking:
        raise PluginError(
            "plugin", f"{name} needs {', '.join(lacking)}, which {kind} does not supply", hint="halo.interop.hf_trainer.for_trainer"
        )


def _check_trainer(trainer: Any) -> None:
    """Raises PluginError for a TRL that is not as expected, SettingsError for settings that would silently have no effect."""
    objective, args, kind = trainer.halo_objective, trainer.args, trainer.halo_kind
    name, graph, needs = objective.compiled.graph.name, objective.compiled.graph, objective.needs
    if not hasattr(trainer, "ref_model") or getattr(trainer, "loss_is_scaled_for_ga", None) is not False:
        raise _unknown(f"has another {kind} than halo relies on")
    defaults = {field.name: _default(field) for field in dataclasses.fields(args)}
    names = [field for field in OF_THEIR_LOSS if field in defaults and not (field == "loss_type" and kind == "KTOTrainer")]
    idle = [field for field in names if getattr(args, field) != defaults[field]]
    idle += ["beta"] if args.beta not in (defaults["beta"], objective.objective_parameters.get("beta")) else []
    if idle:
        message = f"of TRL's loss, which {name} replaces"
        raise SettingsError("wrong-value", message, place=Place(", ".join(idle)), hint="give the objective's parameters to for_trl")
    if getattr(trainer, "aux_loss_enabled", False):
        raise SettingsError(
            "wrong-value", "is added to TRL's loss, not to halo's", place=Place("router_aux_loss_coef"), hint="set it to 0.0"
        )
    if needs.reference and args.precompute_ref_log_probs:
        message = f"keeps one number for a completion, and {name} reads tokens"
        raise SettingsError("wrong-value", message, place=Place("precompute_ref_log_probs"), hint="leave it False")
    if needs.moving and not getattr(args, "sync_ref_model", False):
        raise SettingsError(
            "wrong-value", f"{name} needs a reference that follows the policy", place=Place("sync_ref_model"), hint="set it to True"
        )
    if "mismatched" in needs.slots and args.loss_type != "kto":
        raise SettingsError("wrong-value", f"{name} needs mismatched completions", place=Place("loss_type"), hint='leave it "kto"')
    if weighed_by(graph) != "examples" and not trainer.halo_per_micro_batch:
        check_whole(name, graph, args.gradient_accumulation_steps == 1 and processes() == 1)


def _default(field: Any) -> Any:
    if field.default_factory is dataclasses.MISSING:
        return field.default
    return field.default_factory()


def _unknown(what: str) -> PluginError:
    return PluginError("plugin", f"trl {version('trl')} {what}", hint=f"the adapter was tested with trl {TESTED}")
