"""An endless stream of tokenized examples out of sets that need not fit into memory.

Rows pass through a shuffle buffer, from which the mismatched completions are drawn too. The same seed gives the same
stream, so a resumed run reads again what it has seen and goes on behind it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from halo.data.columns import Wanted
from halo.data.conversion import converter
from halo.data.examples import Example
from halo.data.interface import DataFormat
from halo.data.preparing import usable, with_mismatched
from halo.data.reading import Reader, Source, rows_of
from halo.data.tokenizing import Report, Template, TokenizedExample
from halo.errors import DataError, RowLeftOut
from halo.objective.feedback import Feedback

Kept = tuple[Example, TokenizedExample]


@dataclass
class Stream:
    """Iterate over it for examples without end. `report` counts what was read so far; `laps` the passes over each set.

    buffer  examples that are held and drawn from at random, at most the sets once; 1 keeps the data's order
    """

    sources: Sequence[Source]
    formats: Sequence[DataFormat]
    feedback: Feedback
    template: Template
    slots: tuple[str, ...]
    control: Mapping[str, str]
    max_length: int | None
    seed: int
    buffer: int
    columns: Sequence[Wanted] = ()
    split: str = "train"
    report: Report = field(default_factory=Report)
    laps: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[TokenizedExample]:
        """Raises DataError for a row that is wrongly built, and if a whole pass over a set gives nothing."""
        self.report, self.laps = Report(), {}
        rng, chance = random.Random(f"stream {self.seed}"), random.Random(f"mismatched {self.seed}")
        held: list[Kept] = []
        last: dict[str, Kept] = {}  # an example of each of the last two prompts: the buffer alone may hold one prompt only
        for one in self._mixed():
            last.pop(one[1].prompt_key, None)
            last[one[1].prompt_key] = one
            if len(last) > 2:
                del last[next(iter(last))]
            wanting = len(held) < self.buffer or ("mismatched" in self.slots and len(last) < 2)
            if not held or (wanting and not self._lapped()):
                held.append(one)
                continue
            place = rng.randrange(len(held)) if self.buffer > 1 else 0
            example, tokenized = held.pop(place)
            held.append(one)
            if "mismatched" in self.slots:
                others = [*held, *last.values()]
                tokenized = with_mismatched(
                    example, tokenized, others, chance, self.template, self.slots, self.control, self.max_length, self.columns)  # fmt: skip
            yield tokenized

    def _lapped(self) -> bool:
        """Whether every set was read to its end: a larger buffer would hold the same rows again."""
        return all(source.label in self.laps for source in self.sources)

    def _mixed(self) -> Iterator[Kept]:
        """The sets in the ratio of their weights, each passed over again and again."""
        rng = random.Random(f"mix {self.seed}")
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
        change: Callable[[Example], Iterator[Example]] | None = None
        for row, place in rows_of(source, self.split, streaming=True):
            try:
                example = reader.read(row, place)
            except RowLeftOut:
                self.report.drop("with a prompt or transcript that cannot be used", place)
                continue
            change = change or converter(example, self.feedback)[1]
            for new in change(example):
                result = usable(new, self.template, self.slots, self.control, self.max_length, self.columns)
                if isinstance(result, str):
                    self.report.drop(result, new.place)
                else:
                    self.report.kept += 1
                    yield new, result
