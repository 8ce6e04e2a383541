"""`halo loop RECIPE`: a whole workflow from one file, stage by stage, each one of halo's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo.cli.arguments import one_word, split
from halo.cli.console import quieten, say
from halo.errors import Place, SettingsError
from halo.plugin.recipes import find_recipe
from halo.recipes.loading import load_recipe, read_change

KNOWN = ("model", "prompts", "held_out", "seed", "rounds", "out", "allow", "dry_run", "plan", "status", "json", "list")
BARE = ("dry_run", "plan", "status", "json", "list")
FROM_FLAGS = ("model", "prompts", "held_out", "seed", "rounds")
HELP = """halo loop RECIPE [--model MODEL] [--prompts FILE] [--held-out FILE] [--out FOLDER] [--set STAGE.OPTION=VALUE ...]

RECIPE is a shipped or plugged-in name (halo loop --list), or a file. Each stage is one of halo's commands, printed before it runs; the same
command again goes on where it was, runs what a change has an effect on, and nothing else. Without --model the recipe runs on the embedded
policy, with what its `miniature` says.

  --set     STAGE.OPTION=VALUE or KEY=VALUE, as often as you like: --set drawn.n=8 --set rounds=3
  --seed, --rounds  as in the file
  --allow   what the recipe would run or talk to and may, in its words, several with `;`: a scorer of your own, an endpoint
  --plan    prints the commands and runs nothing; --status says which are done
  --dry-run prints them with rows, tokens, steps, seconds and bytes, from a probe of a few prompts and two steps that leaves nothing behind;
            what asks a service is counted and not asked. --json prints any of the three for a program
Exit code: 0; 1 if a stage failed; 2 for bad input.
"""


def run(arguments: list[str]) -> int:
    """Runs, plans, or says what is done."""
    rest, texts = _apart(arguments)
    given = split(rest, KNOWN, lambda name: name in BARE)
    if given.help:
        print(HELP, end="")
        return 0
    flags = {name.lstrip("-").replace("-", "_"): value for name, value in given.flags.items()}
    if "list" in flags:
        return _listed()
    changes: dict[str, Any] = {name: _plain(name, flags[name]) for name in FROM_FLAGS if name in flags}
    changes |= dict(map(read_change, texts))
    name = one_word(given.words, "recipe")
    loaded = load_recipe(name, changes, embedded=not changes.get("model"))
    out = Path(flags.get("out") or Path("loops") / loaded.recipe.recipe)
    if "dry_run" in flags:
        return _probed(loaded, out, "json" in flags)
    if {"plan", "status", "json"} & set(flags):
        return _shown(loaded, out, flags)
    quieten()
    from halo.recipes.run import run_loop

    steps = run_loop(loaded, out, _several(flags.get("allow")), say)
    reports = [step.out / "report.html" for step in steps if step.kind == "eval"]
    say(f"loop       all {len(steps)} commands are done; " + (f"reports: {', '.join(map(str, reports))}" if reports else f"in {out}"))
    return 0


def _probed(loaded: Any, out: Path, as_json: bool) -> int:
    """The plan with what it costs."""
    quieten()
    from halo.recipes import probe

    costs = probe.probed(loaded, out)
    print(probe.as_json(costs) if as_json else probe.as_text(costs), end="")
    return 0


def _shown(loaded: Any, out: Path, flags: dict[str, Any]) -> int:
    """The plan: every command, and whether it is done."""
    from halo.recipes.run import as_json, status

    steps = status(loaded, out)
    if "json" in flags:
        print(as_json(steps), end="")
        return 0
    for step, done in steps:
        print(step.command if "plan" in flags else f"{'done' if done else 'to do':<6} {step.command}")
    return 0


def _apart(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The command line without its `--set KEY=VALUE`, and these: their values are of any kind, where those of `halo train` are numbers."""
    rest, found, words = list[str](), list[str](), iter(arguments)
    for word in words:
        if word == "--set":
            found.append(next(words, ""))
        elif word.startswith("--set="):
            found.append(word.removeprefix("--set="))
        else:
            rest.append(word)
    return rest, found


def _several(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(";") if part.strip()]


def _plain(name: str, value: str | None) -> Any:
    """Seed and rounds are whole numbers. Raises SettingsError."""
    if name not in ("seed", "rounds"):
        return value
    try:
        return int(value or "")
    except ValueError:
        raise SettingsError("wrong-value", f"{value!r} is no whole number", place=Place(f"--{name}"), hint=f"--{name} 3") from None


def _listed() -> int:
    """Names and titles."""
    for name in find_recipe.names():
        recipe = load_recipe(name, {}, embedded=False).recipe
        print(f"{name:<24} {recipe.title}")
    return 0
