"""What a person sees: lines, a live progress view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from halo.progress import as_clock
from halo.visible import visible

SHOWN = {
    "loss": "loss", "rewards/margins": "margin", "rewards/accuracies": "accuracy", "kl": "kl", "tokens_per_second": "tok/s",
}  # fmt: skip
LONGEST = 4000  # characters of a line
PLAIN_EVERY = 10.0  # seconds between lines without a terminal


def say(line: str) -> None:
    """One line, at once; of several processes the first says it. Where nobody listens any more, the run goes on in silence."""
    if os.environ.get("RANK", "0") != "0":
        return
    try:
        print(visible(line, LONGEST), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def summary(step: int, total: int, record: Mapping[str, float], left: float | None) -> str:
    """`step 12/120  loss 0.61  margin 0.2 ...  left 0:31`: what the objective defines, nothing else."""
    parts = [f"step {step}/{total}"]
    for key, name in SHOWN.items():
        if key in record:
            value = f"{record[key]:,.0f}" if name == "tok/s" else f"{record[key]:.3f}"
            parts.append(f"{name} {value}")
    if left is not None:
        parts.append(f"left {as_clock(left)}")
    return "  ".join(parts)


class Progress:
    """Draws progress: a bar that rewrites itself on a terminal, else a line now and then. Use as a context."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.first_step: int | None = None
        self.last_line = 0.0
        self.live = sys.stdout.isatty()

    def __enter__(self) -> Progress:
        if self.live:
            from rich.progress import BarColumn, Progress, TextColumn

            self.bar = Progress(BarColumn(bar_width=24), TextColumn("{task.description}"))
            self.task = self.bar.add_task("the first step ...", total=None)
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.bar.stop()

    def progress(self, step: int, total: int, record: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if self.first_step is None:
            self.first_step, self.begun = step, now
        done = step - self.first_step
        left = (now - self.begun) / done * (total - step) if done else None  # one step tells nothing yet
        text = summary(step, total, record, left)
        if self.live:
            self.bar.update(self.task, completed=step, total=total, description=text)
        elif now - self.last_line > PLAIN_EVERY or step in (1, total):
            self.last_line = now
            say(text)


def quieten() -> None:
    """The libraries' own progress bars and advice would drown a command's lines."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
