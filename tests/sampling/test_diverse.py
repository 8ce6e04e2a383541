"""Diverse beam search against another program of it: plain Python, without a cache or tensors, on models that are tables."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from test_sampling import PROMPTS, read

from halo.cli.main import main
from halo.sampling.samplers.diverse import search

END = 0
Answer = tuple[int, ...]


class Table:
    """A model of a few tokens: its log-probs follow from the answer so far alone."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size

    def __call__(self, answer: Answer) -> list[float]:
        rng = random.Random(f"{self.seed} {answer}")
        logits = [rng.gauss(0, 1.5) for _ in range(self.size)]
        total = math.log(sum(map(math.exp, logits)))
        return [logit - total for logit in logits]


def by_hand(model: Table, groups: int, width: int, penalty: float, power: float, longest: int) -> list[Answer]:
    """Group by group at each position, as the paper's algorithm says: each scores all its continuations, minus what was chosen before."""
    live: list[dict[Answer, float]] = [{(): 0.0} for _ in range(groups)]
    done: list[dict[Answer, float]] = [{} for _ in range(groups)]
    for _ in range(longest):
        chosen = Counter[int]()
        for group in range(groups):
            continued = {}
            for answer, score in live[group].items():
                for token, log_p in enumerate(model(answer)):
                    continued[(*answer, token)] = score + log_p - penalty * chosen[token]
            ordered = sorted(continued, key=lambda answer: -continued[answer])
            seen = ordered[: 2 * width]
            for answer in seen:
                if answer[-1] == END:
                    done[group][answer] = continued[answer] / len(answer) ** power
            live[group] = {answer: continued[answer] for answer in [one for one in seen if one[-1] != END][:width]}
            if len(done[group]) >= width:
                live[group] = {}
            chosen.update(answer[-1] for answer in live[group])
    found = []
    for group in range(groups):
        whole = done[group] | {answer: score / len(answer) ** power for answer, score in live[group].items()}
        found += sorted(whole, key=lambda answer: -whole[answer])[:width]
    return found


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize(("penalty", "power"), [(0.0, 1.0), (0.5, 1.0), (2.0, 0.0)])
def test_it_is_what_the_paper_says(groups: int, width: int, penalty: float, power: float) -> None:
    for seed in range(12):
        model = Table(seed, 6)

        def step(rows: list[Answer], came_from: list[int], model: Table = model) -> torch.Tensor:
            return torch.tensor([model(row) for row in rows], dtype=torch.float64)

        assert search(step, groups, width, penalty, power, (END,), 5) == by_hand(model, groups, width, penalty, power, 5)


def test_a_beam_says_which_row_it_continues() -> None:
    """So that a cache is put into the same order."""
    model, before = Table(3, 6), list[Answer]()

    def step(rows: list[Answer], came_from: list[int]) -> torch.Tensor:
        if before:
            assert [row[:-1] for row in rows] == [before[place] for place in came_from]
        before[:] = rows
        return torch.tensor([model(row) for row in rows], dtype=torch.float64)

    search(step, 3, 2, 0.7, 1.0, (END,), 6)


def test_the_penalty_makes_first_tokens_differ() -> None:
    model = Table(1, 8)
    found = search(lambda rows, came: torch.tensor([model(row) for row in rows]), 4, 1, 100.0, 1.0, (7,), 1)
    assert len({answer[0] for answer in found}) == 4


def sampled(folder: Path, *more: str) -> dict[tuple[str, int], list[int]]:
    file = folder / "few.jsonl"
    file.write_text("".join(f'{{"prompt": "{row["prompt"]}"}}\n' for row in PROMPTS[:5]))
    out = folder / "samples"
    assert main(["sample", "--prompts", str(file), "--out", str(out), "--n", "4", "--max-new-tokens", "10", "--use-cpu", *more]) == 0
    return {key: row["tokens"] for key, row in read(out).items()}


def test_groups_without_a_penalty_are_greedy(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    found = sampled(tmp_path / "one", "--sampler", "diverse-beam:penalty=0")
    (tmp_path / "two").mkdir()
    file = tmp_path / "one" / "few.jsonl"
    out = tmp_path / "two" / "samples"
    greedy = ["--sampler", "greedy", "--max-new-tokens", "10", "--use-cpu"]
    assert main(["sample", "--prompts", str(file), "--out", str(out), *greedy]) == 0
    most_likely = {key[0]: row["tokens"] for key, row in read(out).items()}
    assert all(tokens == most_likely[prompt] for (prompt, _), tokens in found.items())


def test_groups_with_a_penalty_differ(tmp_path: Path) -> None:
    found = sampled(tmp_path, "--sampler", "diverse-beam")
    for prompt in {prompt for prompt, _ in found}:
        assert len({tuple(found[(prompt, k)]) for k in range(4)}) > 1


def test_groups_must_be_of_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "few.jsonl"
    file.write_text('{"prompt": "sort 1"}\n')
    given = ["sample", "--prompts", str(file), "--out", str(tmp_path / "samples"), "--n", "4", "--sampler", "diverse-beam:groups=3"]
    assert main(given) == 2
    assert "4 completions are not 3 groups of equal size" in capsys.readouterr().err
