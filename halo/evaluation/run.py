"""`halo eval` from its settings to a folder with a report: contestants sampled, scored, measured. What is done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from halo.completions.evaluating import EvaluationContext
from halo.completions.scoring import CompletionScorer
from halo.errors import DataError, Place, SettingsError
from halo.evaluation.answers import Answered, check_column, read_answers
from halo.evaluation.asked import Chosen, check_evaluation
from halo.evaluation.comparisons import compared
from halo.evaluation.contestants import Contestant, named, score_name, scored, scoring, writing
from halo.evaluation.numbers import Number, missing, numbers, warnings
from halo.evaluation.report import Report, as_json
from halo.evaluation.settings import EvaluationSettings
from halo.files.lines import as_line
from halo.files.stage import STAGE, StageFolder, unwritten
from halo.files.whole import write_text
from halo.options import parts
from halo.plugin.registry import choose
from halo.tables.table import as_latex, as_markdown
from halo.training.run.identity import versions
from halo.training.saving.folder import is_main_process

Say = Callable[[str], None]


def run_evaluation(which: Sequence[str], targets: Sequence[str], settings: EvaluationSettings, say: Say) -> Report | None:
    """The report, which stands in the folder too; None on a process that only helped to sample. Raises HaloError."""
    chosen, everyone, columns = check_evaluation(which, targets, settings)
    folder = StageFolder(Path(settings.out), _made_with(everyone, columns, settings), {"versions": versions()})
    if not is_main_process():
        if columns is None:
            writing(everyone, settings, say)
        return None
    folder.take()
    report = None
    try:
        report = _report(chosen, everyone, columns, settings, say)
        _write(folder, report)
    except OSError as problem:
        raise unwritten(folder.path, problem) from None
    finally:
        if report is None:
            folder.forget()
        folder.give_back()
    return report[0]


def _made_with(everyone: Sequence[str], columns: str | None, settings: EvaluationSettings) -> dict[str, Any]:
    """Who is compared: other evaluators and scorers find the samples there and write another report. Samples, scores and comparisons
    have manifests of their own.
    """
    told: dict[str, Any] = {"kind": "evaluation", "contestants": named(everyone) if everyone else []}
    return told | {"against": bool(settings.against), "given": columns}


def _report(
    chosen: Sequence[Chosen], everyone: Sequence[str], columns: str | None, settings: EvaluationSettings, say: Say
) -> tuple[Report, Answered]:
    """Everything but the files."""
    relative: CompletionScorer | None = None
    if settings.scorer is not None:
        scorer: CompletionScorer = choose("scorer", parts(settings.scorer)[0])
        relative = scorer if scorer.relative and columns is None else None
    if relative is not None and not settings.against:
        message = f"{relative.name} says how answers stand among one another: there must be a baseline"
        raise SettingsError("missing-key", message, place=Place("--against"), hint="a model or folder of samples")
    contestants = _contestants(everyone, columns, relative is not None, settings, say)
    answered = read_answers(contestants)
    if settings.column is not None:
        check_column(answered, settings.column)
    prompts = answered.prompts
    if relative is not None:
        prompts = compared(prompts, contestants, relative, settings, say)
    names, baseline = tuple(one.name for one in contestants), settings.against is not None
    score = "" if columns else score_name(settings)
    found: list[Number] = []
    for evaluator, options in chosen:
        context = EvaluationContext(names, baseline, answered.count, score or "score", relative is not None, options)
        found += numbers(evaluator.name, evaluator.measures(context), prompts, names, baseline, settings.column)
    told = [said for evaluator, _ in chosen for said in missing(evaluator.name, found, names, "baseline" in evaluator.needs)]
    if not found:
        raise DataError("no-rows", f"nothing could be measured: {told[0]}", hint="look at the scores and their reasons")
    units = len({asked.unit or asked.key for asked in prompts})
    told += warnings(found, units)
    report = Report(names, baseline, score, settings.column, tuple(found), tuple(prompts), len(answered.left_out), tuple(told))
    return report, answered


def _contestants(everyone: Sequence[str], columns: str | None, together: bool, settings: EvaluationSettings, say: Say) -> list[Contestant]:
    if columns is not None:
        return scoring(everyone, columns, settings, say)
    found = writing(everyone, settings, say)
    return found if together else scored(found, settings, say)


def _write(folder: StageFolder, found: tuple[Report, Answered]) -> None:
    """Every file whole or absent, and the folder finished only when all are there."""
    report, answered = found
    (folder.path / STAGE).unlink(missing_ok=True)
    tables = report.tables()
    texts = {"report.json": as_json(report), "report.md": as_markdown(tables), "report.tex": as_latex(tables), "report.html": report.html()}
    for name, text in texts.items():
        write_text(folder.path / name, text)
    folder.write("left-out.jsonl", lambda stream: stream.writelines(map(as_line, answered.left_out)))
    folder.finish({"prompts": len(report.prompts), "left_out": report.left_out}, [])
