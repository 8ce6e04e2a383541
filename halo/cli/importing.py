"""`halo import trl ...`: what a configuration of another framework is in halo."""

from __future__ import annotations

from halo.cli.arguments import one_word
from halo.errors import Place, SettingsError, nearest
from halo.interop.trl_combinations import written
from halo.interop.trl_config import table, translate
from halo.training.settings import ALIASES, Settings

HELP = """halo import trl [--trainer NAME] [--loss-type TYPE] [--TRL_PARAMETER VALUE ...] [--TRL_SETTING VALUE ...]

Prints the objective and the command that train what a TRL configuration trains, with every parameter converted:

  halo import trl --loss-type ipo --beta 0.1
  halo import trl --trainer cpo --loss-type simpo --beta 2 --simpo-gamma 1 --cpo-alpha 0 --learning-rate 1e-6
  halo import trl --loss-type sigmoid,bco_pair,sft --loss-weights 0.8,0.2,1 > mpo.yaml
  halo import trl --loss-type hinge --f-divergence-type js_divergence > mine.yaml

The last two are no shipped objectives: what is printed is a file of your own. Trainers and their loss types:
"""


def run(arguments: list[str]) -> int:
    """Prints the translation."""
    if not arguments or "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        for trainer, types in table().items():
            print(f"  {trainer:<6}{', '.join(loss for loss in types if loss != 'default')}")
        return 0
    words, given = _split(arguments)
    framework = one_word(words, "framework")
    if framework != "trl":
        raise SettingsError("wrong-value", f"nothing is known of {framework!r}", hint=nearest(framework, ("trl",)))
    trainer, loss_type = given.pop("trainer", "dpo"), given.pop("loss_type", None)
    found = translate(trainer, loss_type, given, {**Settings.model_fields, **ALIASES})
    name, declared = found.objective.name, found.objective.declaration
    flags = [f"--set {key}={written(value)}" for key, value in found.parameters.items() if value != declared.parameters[key].default]
    flags += [f"--{key.replace('_', '-')} {value}" for key, value in found.settings.items()]
    if found.text is not None:  # all but the objective is a comment: the output is the file
        print("".join(f"# {said}: left out.\n" for said in found.unread), end="")
        print(f"# No shipped objective is this. Save it as {name}.yaml, then:\n#   halo check ./{name}.yaml")
        print(f"#   halo train {' '.join([f'./{name}.yaml', *flags])}\n{found.text}", end="")
        return 0
    print(f"{name}: {declared.title or ''}")
    if declared.notes:
        print(f"  {declared.notes}")
    print("".join(f"  {said}: left out.\n" for said in found.unread), end="")
    print(f"\nhalo check {name}\nhalo train {' '.join([name, *flags])}")
    return 0


def _split(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Words, and every flag with its value: TRL's names are not ours to list."""
    words, given, rest = [], dict[str, str](), list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        flag, equals, value = word.removeprefix("--").partition("=")
        key = flag.replace("-", "_")
        if not equals and (not rest or rest[0].startswith("--")):
            raise SettingsError("wrong-value", "a value is missing", place=Place(f"--{flag}"), hint=f"--{flag} VALUE")
        if key in given:
            raise SettingsError("duplicate-key", "the flag stands twice", place=Place(f"--{flag}"), hint="give it once")
        if not equals:
            value = rest.pop(0)
        given[key] = value
    return words, given
