"""An objective with one key mended, and what is true of it then: the experiment behind every likely mistake.

A mistake is not recognised by its looks. An edit of the file is tried, the mended file is compiled and examined, and only
an edit that makes something right, and nothing else worse, is taken for what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halo.analysis.points import points
from halo.analysis.scalar import variables
from halo.analysis.sign import sign_of
from halo.analysis.values import sure_value
from halo.analysis.verdict import Finding
from halo.checks.catalogue import CHECKS, expectations
from halo.checks.pulls.total import total_pull
from halo.checks.pulls.ways import roles
from halo.checks.results import Expectation
from halo.checks.scalars.equal import where_equal
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part
from halo.compiler.pipeline import compile_source
from halo.errors import HaloError
from halo.objective.document import Path
from halo.objective.formula import Formula, parse
from halo.objective.propositions import BOUNDED, DIRECTION, DOMAIN, HALO, MONOTONE, NO_OVERFLOW, REACH, Proposition

KEPT = (DOMAIN, REACH, HALO, BOUNDED, NO_OVERFLOW)
"""What no fix may make worse."""
USUAL = {"chosen": "up", "rejected": "down", "desirable": "up", "undesirable": "down", "best": "up", "worst": "down", "gold": "up"}
"""Where a completion is pulled unless `expect: direction` says otherwise."""
RANK = {"refuted": 0, "undecided": 1, "proved": 2}
HOLDS = RANK["proved"]
ALWAYS, AT_START, OPEN = 3, 2, 1
"""How right the pull on a completion is: always, at the reference, not known; 0 or less is wrong."""
POINTS = 60
"""Tried for two pulls of opposite sign at the reference, where few variables are left."""
SURELY = 1e-20
"""A pull below this, of a value known to 60 digits, may as well be 0 where large terms cancel."""


@dataclass(frozen=True)
class Edit:
    """Keys set to other values. `anchor` is what the message points at: the first key, or the neighbour of a new one."""

    changes: tuple[tuple[Path, Any], ...]
    anchor: Path

    @classmethod
    def of(cls, path: Path, value: Any, anchor: Path | None = None) -> Edit:
        """One key set to one value."""
        return cls(((path, value),), anchor or path)

    def __str__(self) -> str:
        """As it would be typed; of several keys those elsewhere than the anchor in full."""
        home = self.anchor[:-1]
        told = []
        for path, value in self.changes:
            elsewhere = len(self.changes) > 1 and path[:-1] != home
            name = ".".join(map(str, path)) if elsewhere else path[-1]
            told.append(f"`{name}: {_yaml(path, value)}`")
        return " and ".join(told)


def _yaml(path: Path, value: Any) -> str:
    """The value as it stands in a YAML file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml((key, ''), item)}" for key, item in value.items()) + "}"
    quoted = "," in str(value) and (path[-1] in ("domain", "") or len(path) > 1)
    return f'"{value}"' if quoted else str(value)


class Case:
    """An objective under suspicion, or mended; verdicts are found when asked for."""

    def __init__(self, subject: Subject, found: Sequence[Finding] | None = None) -> None:
        self.compiled, self.subject = subject.compiled, subject
        self.declaration, self.values = self.compiled.objective.declaration, self.compiled.objective.values
        self.known: dict[str, list[Finding]] = {}
        self.starts: dict[str, str] = {}
        if found is not None:
            self.known = {name: [f for f in found if f.check.partition(".")[0] == name] for name in CHECKS}

    def findings(self, of: Proposition) -> list[Finding]:
        """The findings of one check."""
        if of.name not in self.known:
            self.known[of.name] = list(CHECKS[of.name].findings(self.subject))
        return self.known[of.name]

    def rank(self, of: Proposition) -> int:
        """The worst verdict as a number; of `halo`, that of the core."""
        found = self.findings(of)
        if of is HALO:
            found = found[-1:]
        return min((RANK[f.verdict] for f in found), default=HOLDS)

    @cached_property
    def unmet(self) -> list[Expectation]:
        """What of the file's `expect:` does not hold."""
        found = [finding for name in self.subject.expected for finding in self.findings(CHECKS[name].proposition)]
        return [one for one in expectations(self.subject, found) if not one.met]

    # -- the pull on each completion -------------------------------------------------------------------------------------

    @cached_property
    def directions(self) -> dict[str, str]:
        """The way each role is pulled: up, down, none, both, or `?`."""
        return {f.scope: f.value or "?" for f in self.findings(DIRECTION)}

    @cached_property
    def wanted(self) -> dict[str, str]:
        """The way each role should be pulled: as `expect:` says, else as its name says."""
        usual = dict(USUAL)
        if self.declaration.kind.imitates:
            usual["completion"] = "up"
        if self.declaration.control:  # every answer is imitated, each after its control text
            usual.pop("undesirable")
        usual.update(self.subject.expected.get(DIRECTION.name, {}))
        return usual

    @cached_property
    def levels(self) -> dict[str, int]:
        """How right each pull is."""
        return {role: self._level(way, self.wanted[role], role) for role, way in self.directions.items() if role in self.wanted}

    def _level(self, way: str, wanted: str, role: str) -> int:
        if way == wanted == "both":  # who expects both ways expects the usual one at the start, as in IPO
            opposite = {"up": "down", "down": "up"}.get(USUAL.get(role, ""))
            return -1 if self.start(role) == opposite else ALWAYS
        if way == wanted:
            return ALWAYS
        if way in ("up", "down", "none"):
            return OPEN if "none" in (way, wanted) else -2
        if wanted not in ("up", "down"):
            return OPEN
        return {wanted: AT_START, "none": OPEN, "both": 0, "?": OPEN}.get(self.start(role), -1)

    def start(self, role: str) -> str:
        """The way a role is pulled where policy = reference: up, down, none, both (it depends on a parameter) or `?`."""
        if role not in self.starts:
            self.starts[role] = self._start(role)
        return self.starts[role]

    def _start(self, role: str) -> str:
        pull = self.pull_at_start(role)
        if pull is None:
            return "?"
        box = self.subject.view.box
        sign = sign_of(pull, box)
        if sign is not None:
            return {1: "down", -1: "up", 0: "none"}[sign]
        if not self.compiled.declared.needs.reference:
            return "?"
        found = [sure_value(pull, point) for point in points(box, variables(pull), POINTS, self.subject.view.first)]
        signs = {value > 0 for value in found if value is not None and abs(value) > SURELY}
        return "both" if len(signs) == 2 else "?"

    def pull_at_start(self, role: str) -> Node | None:
        """d loss / d log-probability of a role where policy = reference."""
        for name, slot, parts in roles(self.subject):
            if name == role:
                own = [p for p in parts if not self.subject.feedback.labels or p.role in (role, "completion")]
                pull = total_pull(self.subject, slot, own, role)
                view = self.subject.view
                if pull is not None:
                    return where_equal(view.s, view.unstopped(pull))
        return None

    @property
    def health(self) -> tuple[int, ...]:
        """What the best of several fixes is best in."""
        return (sum(self.levels.values()), *(self.rank(check) for check in (*KEPT, MONOTONE)))

    # -- the file --------------------------------------------------------------------------------------------------------

    def at(self, path: Path) -> Any:
        """The value at a path of the file, or None."""
        value: Any = self.values
        for part in path:
            if not isinstance(value, dict):
                return None
            value = value.get(part)
        return value

    def path(self, part: Part, key: str) -> Path:
        """Where a key of a term's part stands: the term's own or the top level's, and the role's entry in a map."""
        path: Path = ("terms", part.name, key)
        if self.at(path) is None:
            path = (key,)
        value = self.at(path)
        if isinstance(value, dict) and part.role in value:
            return (*path, part.role)
        return path

    def formulas(self, *keys: str) -> Iterator[tuple[Path, Formula]]:
        """Every formula under the keys (`let` and `regularizers` are keys too), with its path."""
        bases: list[Path] = [(key,) for key in keys if key not in ("let", "regularizers")]
        bases += [("terms", name, key) for name in self.declaration.terms for key in keys]
        bases += [("let", name) for name in self.declaration.let if "let" in keys]
        bases += [
            ("regularizers", name, key)
            for name in self.declaration.regularizers
            for key in ("expression", "weight")
            if "regularizers" in keys
        ]
        for base in bases:
            value = self.at(base)
            entries = [(base, value)]
            if isinstance(value, dict):
                entries = [((*base, role), item) for role, item in value.items()]
            yield from ((path, parse(text)) for path, text in entries if text is not None)

    def mended(self, edit: Edit) -> Case | None:
        """The objective after the edit, or None if it does not compile."""
        changed: dict[str, Any] = {key: item for key, item in deepcopy(self.values).items() if key != "extends"}
        for path, value in edit.changes:
            inner = changed
            for part in path[:-1]:
                inner = inner[str(part)]
            inner[str(path[-1])] = value
        try:
            return Case(Subject(compile_source(changed)))
        except HaloError:
            return None
