"""A function of somebody's own, with the signature that rewards have elsewhere: f(prompts, completions, completion_ids, **columns)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from halo.completions.scoring import ScoreGroup, ScorerContext, Verdict
from halo.errors import Place, RunFailed, SettingsError


class Function:
    """One call for each group: as many prompts as completions, and each column of the prompt's row as often."""

    def __init__(self, context: ScorerContext) -> None:
        self.name = str(context.options.name)
        self.call = _found(self.name)

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        return [self._of(group) for group in groups]

    def _of(self, group: ScoreGroup) -> Verdict:
        size = len(group.completions)
        columns = {name: [value] * size for name, value in group.row.items() if name not in ("prompt", "completions", "completion_ids")}
        ids = [list(one.ids) if one.ids is not None else None for one in group.completions]
        texts = [one.text for one in group.completions]
        try:
            found = self.call(prompts=[group.prompt] * size, completions=texts, completion_ids=ids, **columns)
        except Exception as problem:  # a failure is no score; the next command asks again
            return Verdict((None,) * size, (f"{type(problem).__name__}: {problem}",) * size)
        return checked(found, size, self.name)


def checked(found: Any, size: int, name: str) -> Verdict:
    """A verdict of what a third party gave: numbers or None, one for each. Raises RunFailed for another count."""
    given = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else None
    if given is None or len(given) != size:
        what = f"{len(given)} scores" if given is not None else f"a {type(found).__name__}"
        raise RunFailed("plugin", f"{name} gave {what} for {size} completions", hint="a number or null for each, in their order")
    scores, reasons = [], []
    for one in given:
        good = isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= sys.float_info.max
        scores.append(float(one) if good else None)
        reasons.append("" if good else f"{name} gave {one!r}")
    return Verdict(tuple(scores), tuple(reasons))


def _found(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    if not module:
        raise SettingsError("wrong-value", "function names none", place=Place("--scorer"), hint="function:name=MODULE.FUNCTION")
    sys.path.insert(0, os.getcwd())
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as problem:
        message = f"{name} cannot be imported: {problem}"
        raise SettingsError("not-found", message, place=Place("--scorer"), hint="is its folder this one?") from None
    finally:
        sys.path.pop(0)
    return found
