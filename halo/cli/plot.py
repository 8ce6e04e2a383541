"""`halo plot OBJECTIVE ... --out FILE`: value function, loss and gradient weight as a figure. Never imports torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from halo.api.drawing import pinned
from halo.cli.arguments import Arguments, split
from halo.cli.console import say
from halo.errors import Place, SettingsError, nearest

HELP = """halo plot OBJECTIVE ... --out FILE [--from LOW] [--to HIGH] [--against z|gap] [--set NAME=VALUE ...]

Draws v(z), the loss of an item and its gradient weight -d loss / dz into FILE, a .png or .svg. Kinks, minima of the loss and the
place where policy and reference agree are marked. One objective: at several values of the first parameter that matters (the file's
`search` values); --set fixes one. Several objectives: one figure, each at its defaults.
  --from, --to   the range of z (-8 and 8)
  --against gap  the reward gap before normalizer and margin instead of z, so that DPO's beta is seen
"""


def run(arguments: list[str]) -> int:
    """Draws one figure."""
    given = split(arguments, ("out", "from", "to", "against"))
    if given.help:
        print(HELP, end="")
        return 0
    if not given.words:
        raise SettingsError("missing-key", "expected an objective, got 0", hint="such as halo plot dpo ipo --out figure.svg")
    out = given.flags.get("--out")
    if not out:
        raise SettingsError("missing-key", "where should the figure go?", place=Place("--out"), hint="--out figure.svg or figure.png")
    low, high = _number(given, "--from", -8.0), _number(given, "--to", 8.0)
    if low >= high:
        raise SettingsError(
            "wrong-value", f"the range from {low:g} to {high:g} is empty", place=Place("--from"), hint="--from is below --to"
        )
    against = _against(given)
    from halo.figures.plot import check_file, drawn, save

    check_file(Path(out))
    compiled = pinned(list(dict.fromkeys(given.words)), given.parameters, "--set")
    save(drawn(compiled, low, high, tuple(given.parameters), against), Path(out))
    say(f"{out}: {', '.join(one.objective.name for one in compiled)}, {against} from {low:g} to {high:g}")
    return 0


def _number(given: Arguments, flag: str, default: float) -> float:
    text = given.flags.get(flag)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e6:
        raise SettingsError("wrong-value", f"{text!r} is not a number up to 1e6", place=Place(flag), hint=f"such as {flag} {default:g}")
    return number


def _against(given: Arguments) -> Literal["z", "gap"]:
    text = given.flags.get("--against") or "z"
    if text == "z":
        return "z"
    if text != "gap":
        raise SettingsError("wrong-value", f"{text!r} is neither z nor gap", place=Place("--against"), hint=nearest(text, ("z", "gap")))
    return "gap"
