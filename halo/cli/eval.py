"""`halo eval EVALUATOR,... CONTESTANT...`: what models' answers are worth, with intervals, beside one another."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from halo.cli.arguments import one_word, split
from halo.cli.console import quieten, say
from halo.cli.supplied import supplied_help
from halo.errors import Place, SettingsError, nearest
from halo.evaluation.report import as_json
from halo.evaluation.run import run_evaluation
from halo.evaluation.settings import EvaluationSettings
from halo.fields import described_flags, read_flags
from halo.interop.lm_eval import LmEvalSettings, run_lm_eval
from halo.options import described
from halo.plugin.registry import collected
from halo.tables.table import as_latex, as_markdown, as_text

WRITTEN = {"text": as_text, "md": as_markdown, "latex": as_latex}
FORMATS = (*WRITTEN, "json")
HELP = """halo eval EVALUATOR[+EVALUATOR...] CONTESTANT... [--against CONTESTANT] [--scorer NAME[:OPTION=VALUE,...]] [--out FOLDER]

A contestant is a folder of samples, a model or a run (sampled here, all with the same noise), a file of answers (FILE, or FILE:COLUMN), or
`embedded`. With --given COLUMN+... contestants write nothing: they score these texts of --prompts (accuracy takes chosen+rejected).
Every number has its n, what it leaves out, and a 95 % interval by a bootstrap over prompts. FOLDER holds report.html, .json, .md and .tex,
the samples and comparisons; killed and started again, it goes on. --format json, md or latex prints that in place of text.
Exit code: 0; 1 if a disk is full or a scorer gave what is no score; 2 for bad input.
halo eval lm-eval RUN --tasks TASK,... runs an installed lm-evaluation-harness on a model or a run.
"""
HARNESS = "lm-eval"
HARNESS_HELP = """halo eval lm-eval MODEL_OR_RUN --tasks TASK,... [--limit N] [--out FOLDER]

Runs the lm-evaluation-harness, where it is installed (pip install "lm_eval[hf]"), on a model, a run or an adapter; prints its command.
"""


def run(arguments: list[str]) -> int:
    """Prints the tables, and where the page is."""
    if arguments[:1] == [HARNESS]:
        return _harness(arguments[1:])
    given = split(arguments, [*EvaluationSettings.model_fields, "format"], lambda name: name in ("trust_remote_code", "use_cpu"))
    if given.help:
        print(HELP + described_flags(EvaluationSettings) + "\n".join([*_evaluators(), *supplied_help("scorer", "scorer")]))
        return 0
    form = given.flags.pop("--format", "text") or ""
    if form not in FORMATS:
        raise SettingsError("wrong-value", f"there is no format {form!r}", place=Place("--format"), hint=nearest(form, FORMATS))
    if not given.words:
        raise SettingsError("missing-key", "what should it measure, and of whom?", hint="halo eval win RUN --against MODEL --scorer NAME")
    settings = read_flags(EvaluationSettings, given.flags, {}, "eval")
    quieten()
    which, *targets = given.words
    with nullcontext() if form == "text" else redirect_stdout(sys.stderr):  # a scorer of somebody's own may print
        report = run_evaluation(which.split("+"), targets, settings, say if form == "text" else _silent)
    if report is None:
        return 0
    if form == "json":
        print(as_json(report), end="")
        return 0
    print(WRITTEN[form](report.tables()), end="")
    if form != "text":
        return 0
    for warning in report.warnings:
        print(f"warning: {warning}")
    say(f"report in {Path(settings.out) / 'report.html'}")
    return 0


def _harness(arguments: list[str]) -> int:
    """The lm-evaluation-harness on a model or a run."""
    given = split(arguments, LmEvalSettings.model_fields, lambda name: name in ("chat_template", "trust_remote_code"))
    if given.help:
        print(HARNESS_HELP + described_flags(LmEvalSettings), end="")
        return 0
    model = one_word(given.words, "model or run")
    folder = run_lm_eval(model, read_flags(LmEvalSettings, given.flags, {}, "eval lm-eval"), say)
    say(f"results in {folder}")
    return 0


def _silent(line: str) -> None:
    """Standard output is the report's alone."""


def _evaluators() -> list[str]:
    lines = ["\nEVALUATOR NAME or NAME:OPTION=VALUE,...; several with +"]
    for item in collected("evaluator")[0]:
        lines.append(f"  {item.name:<20} {item.thing.meaning}")
        lines += [f"    {option:<18} {meaning}" for option, meaning in described(item.thing.options)]
    return lines
