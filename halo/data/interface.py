"""What a data format supplies. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from halo.data.examples import Example
from halo.errors import Place
from halo.objective.feedback import Feedback, kind_of
from halo.options import Options, validated

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DataFormat:
    """A way rows can look.

    name      what `--data-format` and `halo plugins` call it
    kind      the kind of example it gives, or its name
    columns   the columns a row must have
    fits      whether a row that has the columns really is of this format; looks at types, not at whether the row is usable
    read      row, place -> Example; raises at `place` DataError for a row that is built wrongly, which ends the run, and
              RowLeftOut for one that nothing can be learnt from, which is counted. A format with options is given them: `options=`
    options   the model of its options

    Of the formats that fit a set's first row the one is taken whose columns include those of all the others; where
    there is none, the run stops and names them.
    """

    name: str
    kind: Feedback
    columns: tuple[str, ...]
    read: Callable[..., Example]
    fits: Callable[[Row], bool] = lambda row: True
    options: type[Options] = Options

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", kind_of(self.kind))

    def configured(self, given: Mapping[str, Any]) -> DataFormat:
        """The format as it reads with these options, validated. Raises SettingsError for one that is unknown or not as it must be."""
        chosen = validated(self.options, given, "data format", self.name, Place("--data-format"))
        if not self.options.model_fields:
            return self
        return replace(self, read=partial(self.read, options=chosen))
