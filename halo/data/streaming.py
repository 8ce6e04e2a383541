"""An endless stream of tokenized examples out of sets that need not fit into memory.

Rows pass through a shuffle buffer, from which the mismatched completions are drawn too. The same seed gives the same
stream, so a resumed run reads again what it has seen and goes on behind it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from halo.data.conversion import Change, converter
from halo.data.interface import DataFormat
from halo.data.preparing import Draws, Kept, usable
from halo.data.reading import Reader, Source, rows_of
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation, Report
from halo.errors import DataError, Place, RowLeftOut


@dataclass
class Stream:
    """Iterate over it for examples without end. `report` counts what was read so far; `laps` the passes over each set.

    buffer  examples that are held and drawn from at random, at most the sets once; 1 keeps the data's order
    """

    sources: Sequence[Source]
    formats: Sequence[DataFormat]
    how: Preparation
    buffer: int
    split: str = "train"
    report: Report = field(default_factory=Report)
    laps: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[TokenizedExample]:
        """Raises DataError for a row that is wrongly built, and if a whole pass over a set gives nothing."""
        self.report, self.laps = Report(), {}
        rng, chance = random.Random(f"stream {self.how.seed}"), random.Random(f"mismatched {self.how.seed}")
        held: list[Kept] = []
        last: dict[str, Kept] = {}  # an example of each of the last two prompts: the buffer alone may hold one prompt only
        for one in self._mixed():
            last.pop(one[1].prompt_key, None)
            last[one[1].prompt_key] = one
            if len(last) > 2:
                del last[next(iter(last))]
            wanting = len(held) < self.buffer or (self.how.draws and len(last) < 2)
            if not held or (wanting and not self._lapped()):
                held.append(one)
                continue
            place = rng.randrange(len(held)) if self.buffer > 1 else 0
            example, tokenized = held.pop(place)
            held.append(one)
            if self.how.draws:
                tokenized = Draws(self.how, [*held, *last.values()], chance).completed(example, tokenized)
            yield tokenized

    def _lapped(self) -> bool:
        """Whether every set was read to its end: a larger buffer would hold the same rows again."""
        return all(source.label in self.laps for source in self.sources)

    def _mixed(self) -> Iterator[Kept]:
        """The sets in the ratio of their weights, each passed over again and again."""
        rng = random.Random(f"mix {self.how.seed}")
        streams = [self._endless(source) for source in self.sources]
        weights = [source.weight or 1.0 for source in self.sources]
        while True:
            yield next(rng.choices(streams, weights)[0])

    def _endless(self, source: Source) -> Iterator[Kept]:
        while True:
            found = False
            for one in self._once(source):
                found = True
                yield one
            if not found:
                raise DataError("no-rows", f"{source.path} gives no example to train on ({self.report})", hint="look at it with halo data")
            self.laps[source.label] = self.laps.get(source.label, 0) + 1

    def _once(self, source: Source) -> Iterator[Kept]:
        reader = Reader(self.formats, source.format, source.columns, source.name)
        change: Change | None = None
        for example in reader.examples(rows_of(source, self.split, streaming=True), self._left_out):
            change = change or converter(example, self.how.feedback)[1]
            for new in change(example):
                result = usable(new, self.how)
                if isinstance(result, str):
                    self.report.drop(result, new.place)
                else:
                    self.report.keep(new, self.how)
                    yield new, result

    def _left_out(self, problem: RowLeftOut, place: Place) -> None:
        self.report.drop("with a prompt or transcript that cannot be used", place)
