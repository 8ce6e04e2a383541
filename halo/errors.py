"""One tree of errors: where, what is wrong, what would be right.

    HaloError              a user's mistake: one message, no traceback, exit code 2
    ├── ObjectiveError     an objective file or formula
    ├── SettingsError      a settings file or a command-line flag
    ├── DataError          a data file, a row, a format
    │   └── RowLeftOut     a row that nothing can be learnt from: counted, the run goes on
    ├── ModelError         a model, tokenizer or reference that cannot be used
    ├── PluginError        a plugin that cannot be loaded or chosen
    ├── RunFailed          a check or a run failed although the input was good: exit code 1
    └── RunStopped         a signal ended the run after a step: exit code 128 + its number

Everything else that is raised is a bug of halo's and shows its traceback. Every code below has a heading in
`docs/errors.md` that says more.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from halo.visible import visible

CODES = {
    "yaml-syntax": "the file is not readable as YAML",
    "yaml-trap": "YAML would read this as something else than it looks like",
    "duplicate-key": "a key stands twice in one mapping",
    "empty-file": "there is nothing in the file",
    "unknown-key": "a key that this place does not have",
    "missing-key": "a key that this place must have",
    "wrong-value": "a value of the wrong type or out of its choices",
    "not-found": "a file or a name that does not exist",
    "formula-syntax": "a formula that cannot be read",
    "formula-limit": "a formula past the size that is read",
    "unknown-name": "a name in a formula that nothing defines",
    "unknown-role": "a role that this kind of feedback does not have",
    "wrong-level": "a token, list or batch quantity where another level is wanted",
    "wrong-unit": "a sum mixed with a mean, or a length divided out twice",
    "cycle": "a definition that needs itself",
    "unused": "a declaration that nothing uses",
    "out-of-domain": "a number outside its declared domain",
    "no-gradient": "a loss that has a value and no gradient, or not its own",
    "unknown-setting": "a setting that does not exist",
    "data-row": "a row of data that cannot be used",
    "data-format": "data in no known format, or not what the objective needs",
    "no-rows": "no row is left to train on",
    "model": "a model or tokenizer that cannot be used",
    "output-folder": "an output folder that is in use",
    "resume": "a checkpoint that cannot be continued",
    "plugin": "a plugin or plugged-in name that cannot be used",
    "wrong-package": "another package named halo is in the way",
    "validation": "generated code does not compute what the objective declares",
    "expectation": "an objective is not what its file expects",
    "self-test": "a check before the first step failed",
    "non-finite": "the loss is not a finite number",
    "stopped": "a run was asked to stop, and saved what it had",
}


@dataclass(frozen=True)
class Place:
    """A position in a file: `line` and `column` count from 1; `text` is the line itself, for the excerpt.

    foreign  of a file that another one names: a message quotes nothing that stands in it
    """

    file: str
    line: int | None = None
    column: int | None = None
    text: str | None = None
    foreign: bool = False

    def __str__(self) -> str:
        parts = [self.file] + [str(n) for n in (self.line, self.column) if n is not None]
        return ":".join(parts)

    def excerpt(self) -> str:
        """The line with a caret below its column, or nothing if the line is not known."""
        if self.text is None or self.column is None:
            return ""
        shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in self.text.expandtabs(1))
        start = max(0, self.column - 1 - 60)
        return f"\n    {shown[start : start + 100]}\n    {' ' * (self.column - 1 - start)}^"


LONGEST, LINES, MANY = 600, 10, 30
"""Characters of a message or hint that are shown, lines of both, and names in a hint."""


QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class HaloError(Exception):
    """A mistake that the user can mend. `code` is a key of `CODES`; `hint` says what would be right.

    shared  every process of a run raises the same: the first one says it
    """

    exit_code = 2
    shared = False

    def __init__(self, code: str, message: str, *, place: Place | None = None, hint: str = "") -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code, self.message, self.place, self.hint = code, message, place, hint

    def __str__(self) -> str:
        """In printable characters and a few lines, whatever stands in the file that it quotes."""
        message, hint = self.message, self.hint
        if self.place is not None and self.place.foreign:
            message, hint = QUOTED.sub("'...'", message), "look at that file with halo show"
        said = visible(message, LONGEST)
        if hint:
            said += f"; {visible(hint, LONGEST)}"
        said = "\n".join(said.split("\n")[:LINES]) + f" [{self.code}]"
        if self.place is None:
            return said
        return f"{visible(str(self.place), LONGEST)}: {said}{self.place.excerpt()}"


class ObjectiveError(HaloError):
    """An objective file or a formula in it."""


class SettingsError(HaloError):
    """A settings file or a command-line flag."""


class DataError(HaloError):
    """A data file, a row of it, or its format."""


class RowLeftOut(DataError):
    """A row that is built rightly and that nothing can be learnt from (an empty prompt, a tie): counted and left out, the run goes on."""


class ModelError(HaloError):
    """A model, tokenizer or reference that cannot be used."""


class PluginError(HaloError):
    """A plugin that cannot be loaded, or a name that no plugin supplies."""


class RunFailed(HaloError):
    """The input was good, yet a check or the run failed."""

    exit_code = 1


class RunStopped(HaloError):
    """A run was asked to stop and did, after a step: `number` is the signal's. The exit code is what a shell has for it."""

    shared = True

    def __init__(self, number: int, message: str, *, hint: str = "") -> None:
        super().__init__("stopped", message, hint=hint)
        self.exit_code = 128 + number


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'beta'?` for the closest known word, else the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(word[:LONGEST], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return ""
    more = f" and {len(names) - MANY:,} more" if len(names) > MANY else ""
    return f"known: {', '.join(names[:MANY])}{more}"
