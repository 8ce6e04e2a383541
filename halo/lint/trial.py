"""An objective with one key mended, and what is true of it then: the experiment behind every diagnosis.

A mistake is not recognised by its looks. An edit of the file is tried, the mended file is compiled and examined, and only
an edit that makes something right, and nothing else worse, is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halo.analysis.points import points
from halo.analysis.scalar import variables
from halo.analysis.sign import sign_of
from halo.analysis.values import sure_value
from halo.checks import gradients, human_aware, reach, value_function, well_formed
from halo.checks.pulls import roles
from halo.checks.results import Belief
from halo.checks.subject import Check, Finding, Subject
from halo.compiler.graph import Node, Part
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import HaloError
from halo.objective.document import Path
from halo.objective.formula import Formula, parse

Believed = Callable[[CompiledObjective, Sequence[Finding]], list[Belief]]

RELEVANT: dict[str, Check] = {
    "domain": well_formed.domain,
    "reach": reach.reach,
    "halo": human_aware.halo,
    "bounded": value_function.bounded,
    "no_overflow": well_formed.no_overflow,
    "saturates": value_function.saturates,
    "monotone": value_function.monotone,
    "direction": gradients.direction,
    "at_reference": well_formed.at_reference,
}
KEPT = ("domain", "reach", "halo", "bounded", "no_overflow")
"""What no cure may make worse."""
USUAL = {"chosen": "up", "rejected": "down", "desirable": "up", "undesirable": "down", "best": "up", "worst": "down", "gold": "up"}
"""Where a completion is pulled unless `expect: direction` says otherwise."""
RANK = {"refuted": 0, "undecided": 1, "proved": 2}
SLOTS = ("reward", "normalizer", "reference_point", "margin", "value", "weight", "constant")


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
        names = [".".join(map(str, path if path[:-1] != home and len(self.changes) > 1 else path[-1:])) for path, _ in self.changes]
        return " and ".join(f"`{name}: {_yaml(path, value)}`" for name, (path, value) in zip(names, self.changes, strict=True))


def _yaml(path: Path, value: Any) -> str:
    """The value as it stands in a YAML file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml((key, ''), item)}" for key, item in value.items()) + "}"
    quoted = "," in str(value) and (path[-1] in ("domain", "") or len(path) > 1)
    return f'"{value}"' if quoted else str(value)


class Case:
    """An objective under suspicion, or mended; verdicts are found when asked for."""

    def __init__(self, subject: Subject, believed: Believed, found: Sequence[Finding] | None = None) -> None:
        self.compiled, self.subject, self.believed = subject.compiled, subject, believed
        self.declaration, self.values = self.compiled.objective.declaration, self.compiled.objective.values
        self.known: dict[str, list[Finding]] = {}
        self.starts: dict[str, str] = {}
        if found is not None:
            self.known = {name: [f for f in found if f.check.split(".")[0] == name] for name in RELEVANT}

    def findings(self, check: str) -> list[Finding]:
        """The findings of one check."""
        if check not in self.known:
            self.known[check] = list(RELEVANT[check](self.subject))
        return self.known[check]

    def rank(self, check: str) -> int:
        """The worst verdict as a number; of `halo`, that of the core."""
        found = self.findings(check)
        found = found[-1:] if check == "halo" else found
        return min((RANK[f.verdict] for f in found), default=2)

    @cached_property
    def beliefs_met(self) -> bool:
        """Whether the file's `expect:` holds."""
        found = [f for check in ("halo", "direction", "at_reference") for f in self.findings(check)]
        return all(b.met for b in self.believed(self.compiled, found) if b.check != "log_partition_cancels")

    # -- the pull on each completion -------------------------------------------------------------------------------------

    @cached_property
    def directions(self) -> dict[str, str]:
        """The way each role is pulled: up, down, none, both, or `?`."""
        return {f.scope: f.value or "?" for f in self.findings("direction")}

    @cached_property
    def wanted(self) -> dict[str, str]:
        """The way each role should be pulled: as `expect:` says, else as its name says."""
        expect = self.declaration.expect
        usual = dict(USUAL, completion="up") if self.declaration.kind.imitates else dict(USUAL)
        if self.declaration.control:  # every answer is imitated, each after its control text
            usual.pop("undesirable")
        return usual | dict((expect.direction if expect else None) or {})

    @cached_property
    def levels(self) -> dict[str, int]:
        """How right each pull is: 3 always, 2 at the reference, 1 not known, 0 or less wrong."""
        return {role: self._level(way, self.wanted[role], role) for role, way in self.directions.items() if role in self.wanted}

    def _level(self, way: str, wanted: str, role: str) -> int:
        if way == wanted:  # an author who expects both ways expects the usual one at the start, as in IPO
            return -1 if way == "both" and self.start(role) == {"up": "down", "down": "up"}.get(USUAL.get(role, "")) else 3
        if way in ("up", "down", "none"):
            return 1 if "none" in (way, wanted) else -2
        at_start = self.start(role)
        if wanted not in ("up", "down"):
            return 1
        return {wanted: 2, "none": 1, "both": 0, "?": 1}.get(at_start, -1)

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
        found = [sure_value(pull, point) for point in points(box, variables(pull), 60, self.subject.view.first)]
        signs = {1 if value > 0 else -1 for value in found if value is not None and abs(value) > 1e-20}
        return "both" if len(signs) == 2 else "?"

    def pull_at_start(self, role: str) -> Node | None:
        """d loss / d log-probability of a role where policy = reference."""
        for name, slot, parts in roles(self.subject):
            if name == role:
                own = [p for p in parts if not self.subject.feedback.labels or p.role in (role, "completion")]
                pull = gradients.total_pull(self.subject, slot, own, role)
                view = self.subject.view
                return None if pull is None else well_formed.where_equal(view.s, view.unstopped(pull))
        return None

    @property
    def health(self) -> tuple[int, ...]:
        """What the best of several cures is best in."""
        return (sum(self.levels.values()), *(self.rank(check) for check in (*KEPT, "monotone")))

    # -- the file --------------------------------------------------------------------------------------------------------

    def at(self, path: Path) -> Any:
        """The value at a path of the file, or None."""
        value: Any = self.values
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def path(self, part: Part, key: str) -> Path:
        """Where a key of a term's part stands: the term's own or the top level's, and the role's entry in a map."""
        own: Path = ("terms", part.name, key)
        path: Path = own if self.at(own) is not None else (key,)
        value = self.at(path)
        return (*path, part.role) if isinstance(value, dict) and part.role in value else path

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
            entries = [((*base, role), item) for role, item in value.items()] if isinstance(value, dict) else [(base, value)]
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
            return Case(Subject(compile_source(changed)), self.believed)
        except HaloError:
            return None
