"""Running statistics: a number over the effective batch that is carried from step to step, and the only state of a loss.

At each training step b = reduce(of) over the batch; then s becomes d s + (1 - d) b, or the same reduction over everything
seen; then the loss of this very step uses s. It is detached by nature, and starts at `start`.
"""

from __future__ import annotations

from fractions import Fraction

from halo.compiler.graph import AXES, Node, Statistic
from halo.compiler.lowering.context import Site
from halo.compiler.lowering.levels import Levels
from halo.objective.formula import Call, Formula, Name, Number
from halo.objective.schema import Interval

SHARE = Interval.parse("[0, 1)")
"""What an ema may keep of the past at each step."""


def statistic(of: Levels, formula: Name, site: Site) -> Node:
    """The node of a statistic; the first use lowers what it is of. Raises ObjectiveError, also for a cycle."""
    name = formula.name
    of.used.add(name)
    if name in of.open_lets:
        chain = " -> ".join([*of.open_lets[of.open_lets.index(name) :], name])
        hint = "a statistic may be of anything that it does not go into"
        raise of.fail("cycle", f"a statistic needs itself: {chain}", site.path, formula.offset, hint)
    if name not in of.statistics:
        of.open_lets.append(name)
        held, of.term_keys = of.term_keys, {}  # a term may replace `reward`; what is running is of the whole objective
        found = _lowered(of, name)
        of.term_keys = held
        of.open_lets.pop()
        of.statistics[name] = found  # after those that it is of: in the order of their updates
    return of.build.make(op="statistic", data=name)


def _lowered(of: Levels, name: str) -> Statistic:
    declared, path = of.declaration.statistics[name], ("statistics", name)
    where = (*path, "of")
    value, mask = of.over_everything(f"the statistic {name} is", of.objective.formula(where, declared.of), of.whole_batch(where))
    observed = of.build.reduce(declared.reduce, value, mask, AXES, batch=True)
    return Statistic(observed, _decay(of, name), Fraction(str(declared.start)))


def _decay(of: Levels, name: str) -> Fraction | str | None:
    """d of `ema(d)`, a number or the name of a parameter; None for `all`."""
    path, text = ("statistics", name, "update"), of.declaration.statistics[name].update
    update = of.objective.formula(path, text)
    if update == Name("all"):
        return None
    argument: Formula | None = None
    if isinstance(update, Call) and update.function == "ema" and len(update.arguments) == 1:
        (argument,) = update.arguments
    if isinstance(argument, Number) and float(argument.value) in SHARE:
        return argument.value
    if isinstance(argument, Name) and argument.role is None and argument.name in of.declaration.parameters:
        of.used.add(argument.name)
        return argument.name
    hint = "ema(0.9) keeps 0.9 of the past (a number from 0 to below 1, or a parameter); all takes in everything seen"
    raise of.fail("wrong-value", f"{text!r} is no way to update a statistic", path, hint=hint)
