"""The training loop: steps, logging, evaluation, checkpoints, the final folder."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch

from halo.data.tokenized import TokenizedExample
from halo.errors import Place, RunFailed, RunStopped, SettingsError
from halo.files.lines import Lines
from halo.reference.fingerprint import state_fingerprint
from halo.reference.interface import FollowingReference
from halo.training.data.feed import OnlineFeed
from halo.training.data.schedule import share
from halo.training.run.identity import check_same, identity
from halo.training.run.run import Run
from halo.training.run.signals import Signals
from halo.training.run.written import rescue, set_apart, write_beginning, write_end
from halo.training.saving.checkpoints import (
    Carried,
    check_finite,
    find_checkpoint,
    kept,
    known_good,
    restore,
    save_checkpoint,
)  # fmt: skip
from halo.training.saving.folder import unwritten
from halo.training.saving.resuming import check_goes_on
from halo.training.step.metrics import Sums, added, means, measure
from halo.training.step.step import StepOutput


class Observer(Protocol):
    """Sees a run's progress: the command line draws it, a test records it."""

    def progress(self, step: int, total: int, record: Mapping[str, float]) -> None:
        """Called after every logged step, with what goes into metrics.jsonl. A `total` of 0 is not known."""


@dataclass
class Result:
    """The last logged metrics and where everything was saved."""

    metrics: dict[str, float]
    folder: str
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)


def train(run: Run, observer: Observer | None = None) -> Result:
    """Trains to the end (or from a checkpoint on) and saves.

    Raises RunFailed if the loss, the gradient or the weights are not finite or the folder cannot be written, RunStopped after a signal.
    """
    run.folder.take(run.placement.is_main)
    try:
        with Signals() as signals, run.placement.watched():
            return _Loop(run, observer, signals).run_all()
    except RunFailed as problem:
        if problem.code != "non-finite" or "checkpoint" in problem.hint:
            raise
        hint = "; ".join(filter(None, [problem.hint, kept(run.output)]))
        raise RunFailed(problem.code, problem.message, place=problem.place, hint=hint) from None
    finally:
        run.folder.give_back()


@dataclass(frozen=True)
class _View:
    """What an online feed sees of the policy before a step."""

    run: Run
    step: int

    def fingerprint(self) -> str:
        """Of the trained model's parameters, each once; the main process has them whole, and tells the others."""
        placement, model = self.run.placement, self.run.model
        state, own = placement.weights(model), ""
        if placement.is_main:
            held = state or model.state_dict()
            own = state_fingerprint({name: held[name] for name, _ in model.named_parameters()})
        return str(placement.gather(own)[0])

    def generating(self) -> AbstractContextManager[Any]:
        return self.run.placement.generating(self.run.model)


class _Loop:
    def __init__(self, run: Run, observer: Observer | None, signals: Signals) -> None:
        self.run, self.observer, self.settings, self.signals = run, observer, run.settings, signals
        self.about = identity(run, run.feed)
        self.metrics = Lines(run.output / "metrics.jsonl")
        self.feed = run.feed
        self.scheduler = _scheduler(run, run.placement.optimizer, self.feed.total)
        self.carried = Carried(run.model, run.tokenizer, run.placement, self.scheduler, run.step.loss, run.feed, run.reference)
        self.sums: Sums = {}
        self.history: list[dict[str, float]] = []
        self.rate = self.norm = 0.0  # of the last step
        self.started, self.tokens, self.mark = time.perf_counter(), 0, (time.perf_counter(), 0)

    def run_all(self) -> Result:
        first = 0
        if self.settings.resume_from_checkpoint:
            first = self._resume()
        self._open()
        done = first
        for step in self._steps(first):
            batch = self._batch(step)
            if not batch:
                break
            self._safely(step, batch)
            done = step + 1
            self._stop_if_asked(done)
        if not self.feed.total:
            self._end(done)
        self._close()
        return Result(self._last, str(self.run.output), time.perf_counter() - self.started, self.history)

    @property
    def _last(self) -> dict[str, float]:
        """The metrics that were logged last."""
        return next(reversed(self.history), {})

    def _steps(self, first: int) -> Iterator[int]:
        """Those that are left; without an end where the feed has none that is known."""
        if not self.feed.total:
            return count(first)
        return iter(range(first, self.feed.total))

    def _safely(self, step: int, batch: list[TokenizedExample]) -> None:
        """One step; where what it is to write cannot be written, the run as it then is goes elsewhere. Of several processes the others
        would have to take part and wait at another place: then only what was saved before is left.
        """
        try:
            self._one(step, batch)
        except RunFailed as problem:
            if problem.code != "output-folder" or self.run.placement.size > 1:
                raise

            def save(place: Path) -> Path:
                return save_checkpoint(place, step + 1, self.carried, self.sums, None, self.about)

            raise RunFailed(problem.code, problem.message, hint=rescue(self.run, self.history, save)) from None

    # -- one step --------------------------------------------------------------------------------------------------

    def _batch(self, step: int) -> list[TokenizedExample]:
        if isinstance(self.feed, OnlineFeed):
            self.feed.see(_View(self.run, step))
        return self.feed.batch(step)

    def _one(self, step: int, batch: list[TokenizedExample]) -> None:
        run, settings = self.run, self.settings
        world = run.step.world
        found = run.step.run(share(batch, world.rank, world.size, settings.per_device_train_batch_size))
        self.rate = self.scheduler.get_last_lr()[0]
        self.norm = run.placement.update(settings.max_grad_norm)
        self.scheduler.step()
        if isinstance(run.reference, FollowingReference):
            run.reference.follow(run.model, step + 1)
        self.tokens += found.tokens * run.step.world.size
        self.sums = added([self.sums, measured(run, found)])
        done = step + 1
        if done % settings.logging_steps == 0 or done == self.feed.total:
            self._log(done)
        if self._evaluates(done):
            self._evaluate(done)
        if settings.save_steps and (done % settings.save_steps == 0 or done == self.feed.total):
            self._checkpoint(done)

    def _stop_if_asked(self, done: int) -> None:
        """After a signal to any process: a checkpoint, and the end. Raises RunStopped."""
        caught = max(self.run.placement.gather(self.signals.caught))
        if not caught:
            return
        name = signal.Signals(caught).name
        if done == self.feed.total:
            self.run.say(f"{name} came with the last step: the run is being finished")
            return
        where = self._checkpoint(done)
        hint = f"go on with halo train {self.run.compiled.graph.name} --resume {self.run.output}"
        raise RunStopped(caught, f"stopped by {name} after step {done}, which is saved in {where}", hint=hint)

    def _end(self, done: int) -> None:
        """What the last step of a feed does whose end was not known before."""
        if self.sums:
            self._log(done)
        if self.settings.eval_strategy != "no" and not self._evaluates(done):
            self._evaluate(done)

    def _evaluates(self, done: int) -> bool:
        strategy, every = self.settings.eval_strategy, self.settings.eval_steps
        if strategy == "epoch":
            every = self.feed.per_epoch
        if strategy == "no":
            return False
        return done == self.feed.total or (every > 0 and done % every == 0)

    # -- logging ---------------------------------------------------------------------------------------------------

    def _log(self, done: int) -> None:
        now = time.perf_counter()
        seconds, tokens = now - self.mark[0], self.tokens - self.mark[1]
        self.mark = (now, self.tokens)
        record = {
            "step": done,
            "epoch": self.feed.epoch(done),
            **means(self.sums),
            "grad_norm": self.norm,
            "learning_rate": self.rate,
            "tokens_per_second": tokens / max(seconds, 1e-9),
        }
        self.sums = {}
        self._write(record)
        if self.observer and self.run.placement.is_main:
            self.observer.progress(done, self.feed.total, record)

    def _evaluate(self, done: int) -> None:
        """Of the held-out examples, if there are any."""
        if not self.run.data.held_out:
            return
        record = {"step": done, "epoch": self.feed.epoch(done), **evaluate(self.run)}
        self._write(record)
        said = {name: record[f"eval_{name}"] for name in ("loss", "rewards/margins", "rewards/accuracies") if f"eval_{name}" in record}
        self.run.say(f"eval       step {record['step']:.0f}: " + ", ".join(f"{name} {value:.3f}" for name, value in said.items()))

    def _write(self, record: dict[str, float]) -> None:
        self.history.append(record)
        if self.run.placement.is_main:
            try:
                self.metrics.add(record)
            except OSError as problem:
                raise unwritten("metrics", self.run.output, problem, kept(self.run.output)) from None
        if self.settings.report_to:
            self.run.placement.track({k: v for k, v in record.items() if k != "step"}, step=int(record["step"]))

    # -- the folder ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Creates the folder and writes what the run is, before the first step."""
        run = self.run
        if self.run.placement.is_main:
            write_beginning(run)
        if self.settings.report_to:
            name = self.settings.run_name or run.compiled.graph.name
            told = {k: v for k, v in self.settings.model_dump().items() if isinstance(v, (int, float, str))}
            run.placement.open_trackers(name, told)

    def _resume(self) -> int:
        folder, checkpoint = find_checkpoint(str(self.settings.resume_from_checkpoint))
        check_goes_on(folder, self.run.compiled, self.settings, self.feed.total, self.run.say)
        told = known_good(checkpoint)
        check_same(told.get("about", {}), self.about, self.settings.resume_anyway, str(checkpoint), self.run.say)
        step, self.sums = restore(checkpoint, self.carried, self.settings)
        if self.run.placement.is_main:
            set_apart(self.run, self.metrics, step)
        self.run.say(f"resume     {checkpoint}, {step} steps done")
        return step

    def _checkpoint(self, done: int) -> Path:
        found = save_checkpoint(self.run.output, done, self.carried, self.sums, self.settings.save_total_limit, self.about)
        self.run.placement.barrier()
        return found

    def _close(self) -> None:
        run = self.run
        if run.data.stream is not None:
            run.say(f"data       read of the stream: {run.data.stream.report}")
            for line in run.data.stream.report.oddities(run.template):
                run.say(f"warning    {line}")
        weights = run.placement.weights(run.model)  # every process takes part
        check_finite(run.output, self.carried, weights, int(self._last.get("step", 0)))
        if self.run.placement.is_main:
            write_end(run, weights, self.history, self.about)
        if self.settings.report_to:
            run.placement.close_trackers()
        run.placement.barrier()


def measured(run: Run, found: StepOutput) -> Sums:
    """The metrics of what a step saw."""
    return measure(found.output, found.inputs, run.compiled.graph.feedback, found.sources, found.rounds)


@torch.no_grad()
def evaluate(run: Run) -> dict[str, float]:
    """The metrics on the held-out examples, under `eval_` names. Every rank sees all of them."""
    world = run.step.world
    size = run.settings.per_device_eval_batch_size * world.size
    parts = []
    for start in range(0, len(run.data.held_out), size):
        own = share(run.data.held_out[start : start + size], world.rank, world.size, size)
        parts.append(measured(run, run.step.run(own, train=False)))
    return {f"eval_{name}": value for name, value in means(added(parts)).items()}


def _scheduler(run: Run, optimizer: Any, total: int) -> Any:
    from transformers import get_scheduler

    settings = run.settings
    name, warmup = settings.lr_scheduler_type, settings.warmup_steps
    if warmup is None:
        warmup = round(settings.warmup_ratio * total)
    if name == "constant" and warmup:
        name = "constant_with_warmup"
    if not total and name not in ("constant", "constant_with_warmup"):
        message = f"the learning rate is to follow {name} to the run's last step, and nobody knows which that is"
        raise SettingsError("wrong-value", message, place=Place("--lr-scheduler-type"), hint="constant, with --warmup-steps if at all")
    return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
