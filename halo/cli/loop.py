"""`halo loop RECIPE`: a whole workflow from one file, stage by stage, each one of halo's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo.cli.arguments import one_word, split
from halo.cli.console import quieten, say
from halo.errors import Place, SettingsError
from halo.plugin.recipes import find_recipe
from halo.recipes.checks import checked
from halo.recipes.loading import FLAGS, check_texts, load_recipe, read_change
from halo.visible import visible

KNOWN = ("model", "prompts", "held_out", "seed", "rounds", "out", "dry_run", "plan", "status", "json", "list")
BARE = ("dry_run", "plan", "status", "json", "list")
HELP = """halo loop RECIPE [--model MODEL] [--prompts FILE] [--held-out FILE] [--out FOLDER] [--set STAGE.OPTION=VALUE ...]

RECIPE is a shipped or plugged-in name (halo loop --list), or a file. Each stage is one of halo's commands, printed before it runs; the same
command again goes on where it was, runs what a change has an effect on, and nothing else. Without --model the recipe runs on the embedded
policy, with what its `miniature` says.

  --set     STAGE.OPTION=VALUE or KEY=VALUE, as often as you like: --set drawn.n=8 --set rounds=3
  --seed, --rounds  as in the file
  --allow   what the recipe would run or talk to and may, in its words, as often as you like: a scorer of your own, an endpoint,
            trust_remote_code, report_to, backend
  --plan    prints the commands and runs nothing; --status says which are done
  --dry-run prints them with rows, tokens, steps, seconds and bytes, from a probe of a few prompts and two steps that leaves nothing behind;
            what asks a service is counted and not asked. --json prints any of the three for a program
Exit code: 0; 1 if a stage failed; 2 for bad input.
"""


def run(arguments: list[str]) -> int:
    """Runs, plans, or says what is done."""
    check_texts(arguments, Place("halo loop"))
    rest, texts, allowed = _apart(arguments)
    given = split(rest, KNOWN, lambda name: name in BARE)
    if given.help:
        print(HELP, end="")
        return 0
    flags = {name.lstrip("-").replace("-", "_"): value for name, value in given.flags.items()}
    if "list" in flags:
        return _listed()
    changes: dict[str, Any] = {name: _plain(name, flags[name]) for name in FLAGS if name in flags}
    changes |= dict(map(read_change, texts))
    name = one_word(given.words, "recipe")
    loaded = load_recipe(name, changes, embedded=True)
    out = Path(flags.get("out") or Path("loops") / loaded.recipe.recipe)
    if "dry_run" in flags:
        return _probed(loaded, out, "json" in flags)
    if {"plan", "status", "json"} & set(flags):
        return _shown(loaded, out, flags)
    quieten()
    from halo.recipes.run import run_loop

    steps = run_loop(loaded, out, allowed, say)
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

    if "json" in flags:
        print(as_json(status(loaded, out)), end="")
        return 0
    if "plan" in flags:
        print("\n".join(step.command for step in checked(loaded, out)))
        return 0
    for step, done in status(loaded, out):
        print(f"{'done' if done else 'to do':<6} {step.command}")
    return 0


def _apart(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The command line without `--set KEY=VALUE` and `--allow WORDS`, and what stands behind these: both as often as one likes."""
    rest, found, words = list[str](), {"--set": list[str](), "--allow": list[str]()}, iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in found:
            rest.append(word)
            continue
        given = value if equals else next(words, "")
        if not given:
            hint = {"--set": "--set KEY=VALUE", "--allow": "--allow function:name=my.score"}[flag]
            raise SettingsError("wrong-value", "a value is missing", place=Place(flag), hint=hint)
        found[flag].append(given)
    return rest, found["--set"], found["--allow"]


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
        print(f"{name:<24} {visible(recipe.title)}")
    return 0
