"""Intervals: their coverage is simulated, and numbers of several samples are held against every choice that there is."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from halo.statistics.best_of import best_of, kl_bound, kl_estimate, pass_at
from halo.statistics.bootstrap import Estimate, _student, difference, estimate
from halo.statistics.combining import exp_ratio, ratio
from halo.statistics.length import controlled_rate, length_coefficient

TRIALS = 400
CLOSE = 1e-12
"""Of sums of a few float64 numbers in another order."""


def covered(found: Estimate, truth: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def simulated(draw, truth: float, prompts: int, seed: int) -> float:  # type: ignore[no-untyped-def]
    """The share of intervals that hold the truth."""
    generator = np.random.default_rng(seed)
    return sum(covered(draw(generator, prompts), truth) for _ in range(TRIALS)) / TRIALS


def win_rate(generator: np.random.Generator, prompts: int) -> Estimate:
    """Four comparisons of each prompt, which are alike: some prompts are won, others lost. The mean is 0.6."""
    chance = generator.beta(1.2, 0.8, size=prompts)
    return estimate((generator.random((prompts, 4)) < chance[:, None]).mean(1)[:, None], bounds=(0, 1))


def paired_gap(generator: np.random.Generator, prompts: int) -> Estimate:
    """Two models on the same prompts, of which some are easy: what they have in common is taken out. The gap is 0.3."""
    easy = generator.normal(0, 5, size=prompts)
    ours, theirs = easy + 0.3 + generator.normal(size=prompts), easy + generator.normal(size=prompts)
    return difference(ours[:, None], theirs[:, None])


def rate_of_all(generator: np.random.Generator, prompts: int) -> Estimate:
    """A ratio of sums. Of each unit one half, whatever its prompt."""
    size = generator.integers(1, 20, size=prompts)
    return estimate(np.stack([generator.binomial(size, 0.5), size], 1), ratio)


# Of 400 trials at 95 %, a share below 0.92 or above 0.98 comes up once in a hundred times or less.
@pytest.mark.parametrize(
    ("draw", "truth", "prompts"),
    [(win_rate, 0.6, 15), (win_rate, 0.6, 60), (paired_gap, 0.3, 12), (paired_gap, 0.3, 50), (rate_of_all, 0.5, 40)],
)
def test_an_interval_holds_the_truth_as_often_as_it_says(draw, truth: float, prompts: int) -> None:  # type: ignore[no-untyped-def]
    assert 0.92 <= simulated(draw, truth, prompts, seed=1) <= 0.98


def test_rows_in_place_of_prompts_would_be_too_sure() -> None:
    """Why prompts are drawn: of the same data, rows drawn apart give an interval that misses far more often."""

    def by_rows(generator: np.random.Generator, prompts: int) -> Estimate:
        chance = generator.beta(0.3, 0.2, size=prompts)
        return estimate((generator.random((prompts, 5)) < chance[:, None]).reshape(-1, 1).astype(float), bounds=(0, 1))

    assert simulated(by_rows, 0.6, 16, seed=2) < 0.8


def test_what_belongs_together_is_drawn_together() -> None:
    """Three rows of a unit that are the same say no more than one."""
    generator = np.random.default_rng(4)
    values = generator.normal(size=(30, 1))
    units = [place for place in range(30) for _ in range(3)]
    found = estimate(np.repeat(values, 3, axis=0), units=units)
    alone = estimate(values)
    assert (found.n, found.value) == (30, pytest.approx(alone.value, abs=CLOSE))
    assert (found.low, found.high) == (pytest.approx(alone.low, abs=CLOSE), pytest.approx(alone.high, abs=CLOSE))
    by_row = estimate(np.repeat(values, 3, axis=0))
    assert by_row.high is not None
    assert found.high is not None
    assert 1.5 * (by_row.high - by_row.value) < found.high - found.value


def test_pairs_are_surer_than_two_numbers() -> None:
    generator = np.random.default_rng(3)
    easy = generator.normal(0, 5, size=60)
    ours, theirs = (easy + 0.3)[:, None], (easy + generator.normal(0, 0.5, size=60))[:, None]
    gap, alone = difference(ours, theirs), estimate(ours)
    assert gap.high is not None
    assert alone.high is not None
    assert 5 * (gap.high - gap.value) < alone.high - alone.value


@pytest.mark.parametrize("prompts", [2, 10, 50])
def test_where_all_agree_the_interval_is_that_of_what_may_be_unseen(prompts: int) -> None:
    """Nothing of n: the exact upper end is where nothing of n has a chance of 2.5 %."""
    found = estimate([[0.0]] * prompts, bounds=(0, 1))
    assert found.low == 0
    assert found.high is not None
    assert (1 - found.high) ** prompts == pytest.approx(0.025, rel=1e-9)
    other = estimate([[1.0]] * prompts, bounds=(0, 1))
    assert (other.low, other.high) == (pytest.approx(1 - found.high), 1)


def test_one_prompt_has_no_interval() -> None:
    assert estimate([[0.5]]) == Estimate(0.5, None, None, 1)


def test_students_quantiles_are_those_of_the_tables() -> None:
    for freedom, quantile in ((1, 12.706), (4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)):
        assert _student(0.975, freedom) == pytest.approx(quantile, abs=5e-4)


def test_ratios_are_of_sums() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    weights = np.array([[1.0, 1.0], [2.0, 0.0]])
    assert ratio(weights, values).tolist() == [4 / 6, 1 / 2]
    assert exp_ratio(weights, values) == pytest.approx([math.exp(4 / 6), math.exp(1 / 2)], rel=CLOSE)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_best_of_n_is_the_mean_over_every_choice(n: int) -> None:
    scores = [0.3, -1.0, 2.5, 2.5, 0.0]
    choices = [max(choice) for choice in itertools.combinations(scores, n)]
    assert best_of(scores, n) == pytest.approx(sum(choices) / len(choices), abs=CLOSE)


@pytest.mark.parametrize(("right", "k"), [(0, 1), (1, 1), (2, 3), (4, 2), (5, 5)])
def test_pass_at_k_is_the_share_of_choices_with_a_right_one(right: int, k: int) -> None:
    answers = [True] * right + [False] * (6 - right)
    choices = [any(choice) for choice in itertools.combinations(answers, k)]
    assert pass_at(6, right, k) == pytest.approx(sum(choices) / len(choices), abs=CLOSE)


def kl_of_masses(masses: list[float], n: int) -> float:
    """KL(best of n || policy): the best of n is of a class with the chance F^n - F_below^n, and within a class as the policy is."""
    below, total = 0.0, 0.0
    for mass in masses:
        chance = (below + mass) ** n - below**n
        total += chance * math.log(chance / mass)
        below += mass
    return total


def by_every_draw(masses: list[float], n: int) -> float:
    """KL of the best of n, from every sequence of n draws: ties go to the first."""
    best = [0.0] * len(masses)
    for draw in itertools.product(range(len(masses)), repeat=n):
        best[max(draw)] += math.prod(masses[one] for one in draw)
    return sum(q * math.log(q / p) for q, p in zip(best, masses, strict=True) if q)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_oracle_of_the_kl_is_that_of_every_draw_and_below_the_bound(n: int) -> None:
    masses = [0.1, 0.2, 0.3, 0.4]
    assert kl_of_masses(masses, n) == pytest.approx(by_every_draw(masses, n), abs=CLOSE)
    assert kl_of_masses(masses, n) <= kl_bound(n) + CLOSE


def test_two_equal_answers_are_far_from_the_bound() -> None:
    """The example of arXiv:2401.01879: log 2, where the formula says 3.174."""
    assert kl_of_masses([0.5, 0.5], 64) == pytest.approx(math.log(2), abs=1e-9)
    assert kl_bound(64) == pytest.approx(3.1745, abs=5e-5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_estimate_of_the_kl_lies_between_it_and_the_bound(n: int, seed: int) -> None:
    """On policies with a few likely answers in random order of reward, where the bound is far off."""
    generator = np.random.default_rng(seed)
    masses = generator.dirichlet(np.full(8, 0.7)).tolist()
    below, mean = 0.0, 0.0
    for mass in masses:
        mean += ((below + mass) ** n - below**n) * kl_estimate(n, math.log(mass))
        below += mass
    assert kl_of_masses(masses, n) - CLOSE <= mean <= kl_bound(n) + CLOSE


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_estimate_of_the_kl_is_near_it_on_a_uniform_policy(n: int) -> None:
    """On a uniform policy the estimator's mean over the best is within a twentieth of the truth, and of one rare answer the bound."""
    size = 200
    chances = [((place + 1) / size) ** n - (place / size) ** n for place in range(size)]
    mean = sum(chance * kl_estimate(n, -math.log(size)) for chance in chances)
    assert mean == pytest.approx(kl_of_masses([1 / size] * size, n), rel=0.05)
    assert kl_estimate(n, -400.0) == pytest.approx(kl_bound(n), abs=1e-9)


def planted(generator: np.random.Generator, prompts: int, a: float, b: float) -> np.ndarray:
    """Comparisons of which a model says the truth, two a prompt."""
    longer = generator.normal(20, 50, size=(prompts, 2))
    spread = longer.std(ddof=1)
    chance = 1 / (1 + np.exp(-(a + b * np.tanh(longer / spread))))
    won = (generator.random((prompts, 2)) < chance).astype(float)
    return np.stack([won, longer], 2).reshape(prompts, 4)


def test_the_length_that_was_planted_is_found() -> None:
    values = planted(np.random.default_rng(5), 4000, 0.2, 1.5)
    whole = np.ones((1, len(values)))
    assert controlled_rate(whole, values)[0] == pytest.approx(1 / (1 + math.exp(-0.2)), abs=0.02)
    assert length_coefficient(whole, values)[0] == pytest.approx(1.5, abs=0.15)


def test_the_fit_has_no_slope_left() -> None:
    """At the maximum of the likelihood the residuals sum to nothing, alone and against x."""
    values = planted(np.random.default_rng(6), 50, -0.3, 0.7)
    whole = np.ones((1, 50))
    a = math.log(controlled_rate(whole, values)[0] / (1 - controlled_rate(whole, values)[0]))
    b = length_coefficient(whole, values)[0]
    won, longer = values[:, 0::2].ravel(), values[:, 1::2].ravel()
    x = np.tanh(longer / longer.std(ddof=1))
    gap = won - 1 / (1 + np.exp(-(a + b * x)))
    assert abs(gap.sum()) < 1e-3  # the ridge that keeps parted data finite moves a and b by about 1e-6
    assert abs((gap * x).sum()) < 1e-3


def test_without_any_length_the_rate_is_the_win_rate() -> None:
    values = np.array([[1.0, 0.0], [0.0, 0.0], [0.5, 0.0], [1.0, 0.0]])
    assert controlled_rate(np.ones((1, 4)), values)[0] == pytest.approx(0.625, abs=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        [[1.0, 10.0], [1.0, 30.0], [0.0, -10.0], [0.0, -20.0]],
        [[1.0, place] for place in range(-4, 5)],
        [[0.0, place] for place in range(-4, 5)],
    ],
    ids=["length parts wins from losses", "all are won", "all are lost"],
)
def test_a_fit_without_an_end_gives_no_number(values: list[list[float]]) -> None:
    whole, table = np.ones((1, len(values))), np.array(values)
    assert np.isnan(length_coefficient(whole, table)).all()
    assert np.isnan(controlled_rate(whole, table)).all()


@pytest.mark.parametrize(("share", "prompts"), [(2 / 3, 30), (0.1, 12), (0.7, 12), (1 / 3, 45)])
def test_rounding_does_not_hide_that_all_agree(share: float, prompts: int) -> None:
    found = estimate([[share]] * prompts, bounds=(0, 1))
    unseen = 1 - 0.025 ** (1 / prompts)
    assert (found.low, found.high) == (pytest.approx(share * (1 - unseen)), pytest.approx(share + (1 - share) * unseen))


def test_rows_of_a_unit_count_by_their_shares() -> None:
    """Of two units the one has a row and three that together count as one."""
    values, units, shares = [[1.0], [0.0], [3.0], [6.0], [5.0]], ["a", "a", "a", "a", "b"], [1, 1 / 3, 1 / 3, 1 / 3, 1]
    found = estimate(values, units=units, shares=shares)
    assert (found.n, found.value) == (2, pytest.approx((1 + 3 + 5) / 3))
