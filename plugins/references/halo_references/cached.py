"""A reference whose log-probs are kept on disk: its model is loaded only where a row is missing, and scores only what is missing."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from halo.plugin import Place, ReferenceContext, ScoredModel, SettingsError
from halo_references.store import Store, Unusable, folder_of, row_key


class CachedReference:
    """The model that the policy starts from, through a file of its log-probs.

    asked  the rows that were asked for, by key: whether each was there the first time
    """

    def __init__(self, context: ReferenceContext) -> None:
        """Raises DataError or SettingsError for a file or folder that is no good, ModelError for weights without a fingerprint."""
        self._context, self._keeping = context, True
        self._score: ScoredModel | None = None
        self.store = Store(folder_of(context.options.folder), context.fingerprint(), context.numerics, context.name)
        self._type = {"d": torch.float64, "f": torch.float32}[self.store.type]
        self.asked: dict[bytes, bool] = {}

    @torch.no_grad()
    def logps(self, rows: Any) -> Tensor:
        """Flat log-probs of the scored tokens. Raises SettingsError for rows that are more than ids, which the keys do not tell apart."""
        if rows.tensors:
            message = f"log-probs are kept by token ids, and the model reads {', '.join(rows.tensors)} beside them"
            raise SettingsError("wrong-value", message, place=Place("--reference"), hint="--reference frozen")
        wanted = [key for key, count in keyed(rows) if count]
        stored = self.store.get(wanted)
        found = {key: torch.frombuffer(bytearray(x), dtype=self._type) for key, x in zip(wanted, stored, strict=True) if x is not None}
        for key in wanted:
            self.asked.setdefault(key, key in found)
        if len(found) < len(set(wanted)):
            found |= self._scored(unknown(rows, found))
        return torch.cat([found[key] for key in wanted]).to(rows.tail_ids.device)

    def _scored(self, rows: Any) -> dict[bytes, Tensor]:
        """What the model says, by key; kept if that can be done."""
        if self._context.sharded:
            message = "rows are missing, and a reference in parts on several processes is not asked for by one of them alone"
            hint = "first halo reference build on one process, of as many examples as all see"
            raise SettingsError("wrong-value", message, place=Place("--reference"), hint=hint)
        if self._score is None:
            model: Any = self._context.load_model()
            model.requires_grad_(False)
            self._score = self._context.scorer(model)
        flat = self._score(rows).to("cpu", self._type)
        keys, counts = zip(*keyed(rows), strict=True)
        fresh = {key: part for key, part in zip(keys, torch.split(flat, counts), strict=True) if len(part)}
        if self._keeping:
            self._keep({key: part.numpy().tobytes() for key, part in fresh.items()})
        return fresh

    def _keep(self, rows: dict[bytes, bytes]) -> None:
        """A run is not stopped for what it can do without."""
        try:
            self.store.put(rows)
        except Unusable as problem:
            self._keeping, self.store.trouble = False, problem.message
            print(f"halo: {problem}; the run goes on and keeps no more of them", file=sys.stderr)

    def describe(self) -> str:
        """One line for the run's output."""
        where = f"kept in {self.store.path}"
        if self.store.trouble:
            where = f"for this run only, {self.store.trouble}"
        return f"log-probs of {self._context.name} {where}, {len(self.store)} rows known"


def keyed(rows: Any) -> list[tuple[bytes, int]]:
    """The key of every row and how many of its tokens are scored, in the order of flat log-probs.

    A prefix whose log-probs are wanted is a row like any other: itself and the first token of its tails, all but the first token scored.
    """
    rows = rows.to("cpu")
    owners = rows.owner.tolist()
    prefixes, tails = _lists(rows.prefix_ids, rows.prefix_length), _lists(rows.tail_ids, rows.tail_length)
    result = []
    if rows.score_prefix:
        for prefix, ids in enumerate(prefixes):
            first = tails[owners.index(prefix)][0]
            result.append((row_key([*ids, first], range(1, len(ids) + 1)), len(ids)))
    temperatures = [1.0] * len(owners)
    if rows.temperature is not None:
        temperatures = rows.temperature.tolist()
    for owner, ids, scored, temperature in zip(owners, tails, rows.scored.tolist(), temperatures, strict=True):
        begin = len(prefixes[owner])
        places = [begin + column for column, is_scored in enumerate(scored) if is_scored]
        result.append((row_key(prefixes[owner] + ids, places, temperature), len(places)))
    return result


def unknown(rows: Any, known: Collection[bytes]) -> Any:
    """The batch without what is known: fewer tails, of fewer prefixes, in the same order; the same batch if nothing is known.

    A prefix that is wanted alone keeps a tail, unscored, that says which token follows it.
    """
    owners, wanted = rows.owner.tolist(), [bool(count) and key not in known for key, count in keyed(rows)]
    prefixes = wanted[: len(wanted) - len(owners)]
    tails = wanted[len(prefixes) :]
    first = {owners.index(prefix) for prefix, is_wanted in enumerate(prefixes) if is_wanted}
    kept = [tail for tail, is_wanted in enumerate(tails) if is_wanted or tail in first]
    of = sorted({owners[tail] for tail in kept})
    return replace(
        rows,
        prefix_ids=rows.prefix_ids[of],
        prefix_length=rows.prefix_length[of],
        tail_ids=rows.tail_ids[kept],
        tail_length=rows.tail_length[kept],
        owner=torch.tensor([of.index(owners[tail]) for tail in kept], device=rows.owner.device),
        scored=rows.scored[kept] & torch.tensor([tails[tail] for tail in kept], device=rows.scored.device)[:, None],
        score_prefix=bool(first),
        temperature=rows.temperature[kept] if rows.temperature is not None else None,
    )


def _lists(ids: Tensor, lengths: Tensor) -> list[list[int]]:
    return [row[:length] for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)]
