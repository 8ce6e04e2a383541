"""What the objective needs, held against what the settings, the reference and the backend supply, before anything is loaded."""

from __future__ import annotations

from halo.backends.placement import Placement
from halo.compiler.graph import Needs
from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, PluginError, SettingsError
from halo.objective.vocabulary import INPUTS
from halo.options import as_text
from halo.plugin.registry import supplied
from halo.reference.interface import ReferenceStrategy
from halo.training.model.lora import require_peft, trains_adapter
from halo.training.run.references import chosen_reference
from halo.training.settings import Settings


def check_trackers(settings: Settings) -> None:
    """accelerate leaves out a tracker that is not installed without a word; we do not."""
    from accelerate.tracking import get_available_trackers

    available = {str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()}
    for name in settings.report_to:
        if name not in available:
            hint = f"installed: {', '.join(sorted(available)) or 'none'}; metrics.jsonl is always written"
            raise SettingsError("unknown-setting", f"the tracker {name!r} is not installed", place=Place("--report-to"), hint=hint)


def check_needs(compiled: CompiledObjective, settings: Settings) -> None:
    """Raises PluginError, SettingsError for what the objective needs and nothing supplies, and for settings that exclude one another."""
    needs = compiled.graph.needs
    if trains_adapter(settings):
        require_peft()
    strategy, _ = chosen_reference(settings)
    if needs.reference:
        _check_gives(compiled.graph.name, needs, strategy, settings)
    if needs.divergences and settings.precompute_ref_log_probs:
        message = f"{compiled.graph.name} reads {', '.join(needs.divergences)}: the reference's whole distribution, beside the policy's"
        hint = "log-probs that were computed ahead hold one number for each token; leave the setting out"
        raise SettingsError("wrong-value", message, place=Place("--precompute-ref-log-probs"), hint=hint)
    moves = "moves" in strategy.abilities
    if needs.moving and not moves:
        moving = [f"--reference {s.name}" for s in supplied("reference") if "moves" in s.thing.abilities]
        hint = next(iter(moving), "the package halo-align-references has one")
        message = f"{compiled.graph.name} needs a reference that follows the policy, and {strategy.name} does not"
        raise PluginError("plugin", message, hint=hint)
    if settings.reference_model_name_or_path and "loads_model" not in strategy.abilities:
        place = Place("--reference-model-name-or-path")
        raise SettingsError("wrong-value", f"--reference {strategy.name} loads no model", place=place, hint="--reference frozen")
    if moves and settings.precompute_ref_log_probs:
        place = Place("--precompute-ref-log-probs")
        raise SettingsError("wrong-value", f"--reference {strategy.name} moves", place=place, hint="its log-probs cannot be computed ahead")


def _check_gives(name: str, needs: Needs, strategy: ReferenceStrategy, settings: Settings) -> None:
    """Log-probs at least, and whole distributions where one of the reference's is read."""
    asked = as_text(settings.reference)
    if strategy.gives == "nothing":
        raise SettingsError("plugin", f"{name} needs a reference, and --reference is {asked}", hint="--reference frozen")
    if strategy.gives != "distributions" and any(INPUTS[word].reference for word in needs.words):
        hint = f"strategies that give it: {', '.join(s.name for s in supplied('reference') if s.thing.gives == 'distributions')}"
        message = f"{name} reads {', '.join(needs.words)}, and --reference {asked} gives no whole distribution"
        raise SettingsError("plugin", message, hint=hint)


def check_moves(settings: Settings, backend: str, placement: Placement) -> None:
    """A reference that follows the policy must be able to read it."""
    if not placement.moves and "moves" in chosen_reference(settings)[0].abilities:
        followed = f"--reference {as_text(settings.reference)} follows the policy"
        message = f"{followed}, and the backend {backend} keeps its parameters where nothing reads them"
        raise SettingsError("plugin", message, place=Place("--backend"), hint="--backend fsdp or ddp")
