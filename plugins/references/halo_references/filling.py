"""The cache filled by the rows of a run, without the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from halo.cli.console import quieten
from halo.cli.train import asked
from halo.plugin import Place, SettingsError, parts
from halo_references.store import Store, Unusable

SAID_EVERY = 10.0  # seconds between lines while rows are scored


def build(words: list[str]) -> None:
    """`halo reference build`: scores every row that the run would read and that is not there yet."""
    compiled, settings, _ = asked_for(words)
    run = assembled(compiled, of_cache(settings))
    fill(run, [*trained(run, run.feed.reached()), *run.data.held_out])


def asked_for(words: list[str], *more: str) -> tuple[Any, Any, list[str]]:
    """The compiled objective, the settings, and the words behind the objective. Help was asked for before."""
    found = asked(words, more)
    assert found is not None
    return found


def of_cache(settings: Any) -> Any:
    """The settings of a run that reads the cache and writes nothing else. Raises SettingsError if it would read another reference."""
    name, _ = parts(settings.reference)
    if name not in ("cached", "frozen", "auto"):
        message = f"--reference {name} keeps no log-probs"
        raise SettingsError("wrong-value", message, hint="--reference cached, or leave it out")
    if settings.streaming:
        hint = "leave it out: the rows are read either way"
        raise SettingsError("wrong-value", "a stream has no last row", place=Place("--streaming"), hint=hint)
    changes: dict[str, Any] = {"output_dir": None, "resume_from_checkpoint": None, "report_to": [], "precompute_ref_log_probs": False}
    if name != "cached":
        changes["reference"] = "cached"
    return settings.model_copy(update=changes)


def assembled(compiled: Any, settings: Any, say: Callable[[str], None] = print) -> Any:
    """The run. Raises SettingsError if its objective reads no reference."""
    if not compiled.graph.needs.reference:
        raise SettingsError("plugin", f"{compiled.graph.name} needs no reference", hint="halo list --reference yes")
    quieten()
    from halo.training.run.assembly import assemble

    return assemble(compiled, settings, say)


def fill(run: Any, examples: Sequence[Any]) -> None:
    """Scores this rank's share of the examples and says how many rows there were. Raises Unusable if they cannot be kept."""
    reference, world, begun, size = run.reference, run.placement, time.monotonic(), run.settings.per_device_train_batch_size
    starts = range(size * world.rank, len(examples), size * world.size)
    check_kept(reference.store)
    for done, start in enumerate(starts, 1):
        run.step.referenced(examples[start : start + size])
        check_kept(reference.store)
        if time.monotonic() - begun > SAID_EVERY:
            begun = time.monotonic()
            print(f"{done} of {len(starts)} batches", flush=True)
    there: dict[bytes, bool] = {}
    for part in world.gather(reference.asked):
        there |= {key: known and there.get(key, True) for key, known in part.items()}
    if world.rank == 0:
        known = sum(there.values())
        print(f"{reference.store.path}: {known} rows were there already, {len(there) - known} scored")


def check_kept(store: Store) -> None:
    """Raises Unusable if what is put into the store is not kept."""
    if store.trouble:
        raise Unusable("output-folder", store.trouble, place=Place(str(store.path)))


def trained(run: Any, indices: Iterable[int] | None = None) -> list[Any]:
    """Training examples, all of them if none are named. Nothing else here knows how a run holds them."""
    examples = run.data.train
    if indices is None:
        return examples
    return [examples[i] for i in indices]
