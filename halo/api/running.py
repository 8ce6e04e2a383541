"""`halo.train`: a run from its settings to its result. Torch is loaded once objective and settings are known to be good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo.api.loading import Source, load_objective
from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, RunFailed, SettingsError
from halo.examine.supervisor import examine
from halo.starter.defaults import borrowed, with_defaults
from halo.training.saving.ownership import NAMED, TRUSTED, recorded, settings_changed
from halo.training.settings import Settings, read_settings, setting_name

if TYPE_CHECKING:  # a mistake answers at once, without torch
    from halo.training.run.loop import Result
    from halo.training.run.run import Run

Say = Callable[[str], None]


def train(
    source: Source,
    parameters: Mapping[str, float] | None = None,
    settings: Mapping[str, Any] | str | Path | None = None,
    *,
    say: Say = print,
) -> Result:
    """Trains a model with an objective as `halo train` does, saves it, and returns its metrics, history and folder.

    settings  a mapping with the names of `halo train --help`, or a YAML file; without model and data the embedded ones
    say       is given the lines that describe the run
    Raises HaloError: for bad input, an expectation of the objective that is not met, or a loss that is not finite.
    """
    compiled = load_objective(source, parameters)
    if isinstance(settings, str | Path):
        given = read_settings(str(settings), {})
    else:
        given = read_settings(None, {}, {setting_name(name, Place("settings")): value for name, value in (settings or {}).items()})
    run = assembled(compiled, completed(given, compiled, say), say)
    from halo.training.run.loop import train as turned

    return turned(run)


def assembled(compiled: CompiledObjective, settings: Settings, say: Say, ready: Callable[[], None] = lambda: None) -> Run:
    """The run, once the objective keeps what it expects and `ready` was called. Raises HaloError."""
    if settings.check:
        hold(compiled, say)
    ready()
    from halo.training.run.assembly import taken

    say(f"objective  {compiled.graph.name}: {', '.join(f'{k}={v:g}' for k, v in compiled.parameters.items()) or 'no parameters'}")
    if line := borrowed(settings.model_dump()):
        say(f"settings   {line}")
    return taken(compiled, settings, say)


def completed(first: Settings, compiled: CompiledObjective, say: Say = print) -> Settings:
    """The settings over those of the run that they resume, and the embedded defaults below."""
    given = first.model_dump(exclude_unset=True)
    if first.resume_from_checkpoint:
        given = _of_the_run(first.resume_from_checkpoint, given, say) | given
    return read_settings(None, {}, with_defaults(given, compiled.objective.declaration))


def _of_the_run(resumed: str, given: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """The settings that the run to be resumed was started with, its folder included.

    Of a run that this user did not start here nothing is taken that loads, runs or sends anything. Raises SettingsError.
    """
    from halo.training.saving.checkpoints import find_checkpoint

    folder, _ = find_checkpoint(resumed)
    found = read_settings(str(folder / "settings.yaml"), {})
    taken = found.model_dump(exclude_unset=True) | {"output_dir": str(folder)}
    own = recorded(folder)
    if own is not None:
        if settings_changed(folder):
            say(f"resume     {folder / 'settings.yaml'} is not as the run wrote it: it is taken as it stands")
        return taken | own
    for name in NAMED:
        if taken.pop(name, None) is not None and name not in given:
            flag = f"--{name.removesuffix('_name_or_path').replace('_', '-')}"
            message = f"the run in {folder} was not started by you on this machine, and names a model itself"
            hint = f"give {flag} (its settings.yaml says which it had), if you trust that model"
            raise SettingsError("resume", message, place=Place(flag), hint=hint)
    dropped = [name for name in TRUSTED if taken.pop(name, None) not in (None, False, [], "auto") and name not in given]
    if dropped:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in dropped)
        whose = "the run was not started by you on this machine"
        say(f"resume     {whose}: its {', '.join(dropped)} are not taken; give {flags} if you mean them")
    return taken


def hold(compiled: CompiledObjective, say: Say) -> None:
    """Holds the objective's expectations, before torch and the model are loaded. Raises RunFailed."""
    examination = examine(compiled)
    for mistake in examination.mistakes:
        say(f"mistake?   {mistake.where}: {mistake.what}; {mistake.wanted}")
    if examination.failed:
        hint = f"halo check {compiled.objective.file} -v says why; --check false trains it as it is"
        raise RunFailed("expectation", examination.failures, place=Place(compiled.objective.file), hint=hint)
