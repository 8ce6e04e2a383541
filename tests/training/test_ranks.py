"""Two processes are one: every way a batch can couple, shares that are not equal, held-out batches that do not divide."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import launched
import pytest
import tiny
import torch
import yaml
from every_column import WITH_KL, with_columns
from launched import CARRIED, EXACT, assert_alike, labels, rows, two_ranks
from tolerances import RUN, assert_near

import halo
from halo.cli.main import main
from halo.scoring.scorer import Scorer
from halo.training.data.schedule import Schedule, share
from halo.training.settings import Settings
from halo.training.step.step import Step
from halo.training.step.world import World

pytestmark = pytest.mark.workflow

COUPLED = ("beta_dpo", "bco")  # two running statistics with a batch mean, one over all of the data
UNEVEN = {
    "kto": (labels, 11),
    "aot": (rows, 7),
}  # measured first, sorted; by six: 6 and 5 examples, two and three passes; 6 and 1, none and one
CASES = ("dpo", *COUPLED, "carried", "columns-and-kl", *(f"{name}-uneven" for name in UNEVEN))
WHOLE = ["--per-device-train-batch-size", "8"]
SPLIT = ["--per-device-train-batch-size", "2", "--gradient-accumulation-steps", "2"]


def written(folder: Path, source: dict[str, Any]) -> str:
    file = folder / f"{source['name']}.yaml"
    file.write_text(yaml.safe_dump(source))
    return str(file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run of this module on two processes in one launch, and the same in this process."""
    base, runs = tmp_path_factory.mktemp("ranks"), []

    def both(name: str, common: list[str], whole: list[str], split: list[str]) -> None:
        assert main(["train", *common, *EXACT, *whole, "--output-dir", str(base / "one" / name)]) == 0
        runs.append(["train", *common, *EXACT, *split, "--output-dir", str(base / "two" / name)])

    few = rows(base / "24.jsonl", 0, 24)
    for name in ("dpo", *COUPLED):
        both(name, [name, "--data", few], WHOLE, SPLIT)
    both("carried", [written(base, CARRIED), "--data", few], WHOLE, SPLIT)
    both("columns-and-kl", [written(base, WITH_KL), "--data", str(with_columns(base))], WHOLE, SPLIT)
    for name, (write, count) in UNEVEN.items():
        held_out = write(base / f"{name}-held-out.jsonl", 100, 9)  # by four: 4, 4 and 1, of which one process has none
        common = [name, "--data", write(base / f"{name}.jsonl", 0, count), "--eval-data", held_out, "--eval-strategy", "epoch"]
        whole = ["--per-device-train-batch-size", "6", "--per-device-eval-batch-size", "4"]
        split = ["--per-device-train-batch-size", "1", "--gradient-accumulation-steps", "3", "--per-device-eval-batch-size", "2"]
        if name == "aot":
            common.append("--precompute-ref-log-probs")  # the reference is gone when a process has no example left
        both(f"{name}-uneven", common, whole, split)
    (base / "said").write_text(two_ranks(base, runs))
    return base


@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(name: str, trained: Path) -> None:
    """Plain objectives, sorts, statistics that are carried, columns of every level with divergences, shares that are not equal."""
    assert_alike(trained / "one" / name, trained / "two" / name)


def test_the_launcher_is_obeyed_and_what_is_held_out_is_evaluated(trained: Path) -> None:
    said = (trained / "said").read_text()
    assert said.count("backend ddp (the launcher started several processes)") == len(CASES)  # by the first process alone
    assert any("eval_loss" in record for record in launched.records(trained / "two" / "kto-uneven"))
    assert any("statistics/gap_mean" in record for record in launched.records(trained / "two" / "carried"))


class Start:
    """The embedded policy where it started, its passes counted."""

    def __init__(self) -> None:
        self.scorer, self.passes = Scorer(tiny.policy()), 0

    def logps(self, batch: Any) -> torch.Tensor:
        self.passes += 1
        return self.scorer(batch)["logp"].detach()

    def describe(self) -> str:
        return "the start"


class Rank:
    """One of several ranks in a thread: its step, and the passes of policy and reference that it ran."""

    def __init__(self, loss: Any, filler: Any, world: World) -> None:
        self.model, self.reference, self.passes = tiny.policy(seed=1), Start(), 0
        scorer = Scorer(self.model)

        def counted(batch: Any) -> torch.Tensor:
            self.passes += 1
            return scorer(batch)

        self.step = Step(loss, counted, self.reference, torch.device("cpu"), world, filler=filler)

    @property
    def gradient(self) -> torch.Tensor:
        return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in self.model.parameters()])


def in_threads(loss: Any, shares: list[list[Any]], train: bool) -> tuple[list[Rank], list[Any]]:
    """The ranks after one step of these shares, one example in a pass, and what each gave. `gather` waits for all of them."""
    barrier, table, lock = threading.Barrier(len(shares), timeout=30), dict[int, Any](), threading.Lock()
    filler = next(example for share in shares for example in share)

    def gather(rank: int, value: Any) -> list[Any]:
        with lock:
            table[rank] = value
        barrier.wait()
        everyone = [table[i] for i in range(len(shares))]
        barrier.wait()
        return everyone

    worlds = [World(i, len(shares), lambda value, i=i: gather(i, value)) for i in range(len(shares))]  # type: ignore[misc]
    ranks = [Rank(loss, filler, world) for world in worlds]
    stepped: list[Any] = [None] * len(shares)

    def work(i: int) -> None:
        stepped[i] = ranks[i].step.run([[example] for example in shares[i]], train)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(shares))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(stepped)
    return ranks, stepped


@pytest.mark.numeric
@pytest.mark.parametrize("sizes", [(0, 3), (2, 1), (0, 1, 2)])
@pytest.mark.parametrize("name", ["dpo", "kto", "aot"])
def test_every_rank_runs_as_many_passes_and_the_gradient_is_that_of_one_batch(name: str, sizes: tuple[int, ...]) -> None:
    loss = halo.compile_objective(name)
    examples = tiny.examples(loss.feedback, loss.needs.slots, sum(sizes))
    shares = [examples[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]
    alone = Rank(loss, None, World())
    whole = alone.step.run([examples])
    ranks, stepped = in_threads(loss, shares, train=True)
    assert len({(rank.passes, rank.reference.passes) for rank in ranks}) == 1
    assert ranks[0].passes >= max(sizes)
    for seen in stepped:
        assert seen.output.loss.item() == pytest.approx(whole.output.loss.item(), rel=RUN)
    mean = torch.stack([rank.gradient for rank in ranks]).mean(0)
    assert_near(mean, alone.gradient, RUN)
    ranks, stepped = in_threads(loss, shares, train=False)
    assert len({(rank.passes, rank.reference.passes) for rank in ranks}) == 1
    assert not any(rank.gradient.any() for rank in ranks)


def test_no_example_of_an_epoch_is_left_out() -> None:
    schedule = Schedule.of(
        Settings(per_device_train_batch_size=3, shuffle=False), tiny.examples("paired", ("chosen", "rejected"), 7), world=2
    )
    assert [schedule.indices(step) for step in range(schedule.total)] == [[0, 1, 2, 3, 4, 5], [6]]
    assert [share(schedule.indices(1), rank, 2, 3) for rank in (0, 1)] == [[], [[6]]]
