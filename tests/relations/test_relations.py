"""Relations between objectives. What is said of gradients is held against the compiled losses, by autograd on random data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import sympy
import torch
from related import FILES, RELATED, Pair
from torch import Tensor

import halo
from halo.api.asking import side
from halo.compiler.pipeline import compile_source
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective
from halo.relations.relation import Relation, relation
from halo.relations.relatives import Known, relatives
from halo.relations.signature import Side

LOG_V, SEQUENCE = 2.5, -7.0
PARAMETERS = [{}, {"beta": 0.7, "delta": 0.3, "m": 0.9, "temperature": 2.5, "tau": 0.4}]
ids = [f"{pair.left} {pair.right}" for pair in RELATED]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("related")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def sides(pair: Pair, folder: Path) -> tuple[Side, Side]:
    words = [str(folder / word) if word.split("@")[0] in FILES else word for word in (pair.left, pair.right)]
    return side(words[0]), side(words[1])


@cache
def answer(pair: Pair, folder: Path) -> Relation:
    """Each pair is asked once, however many tests look at the answer."""
    return relation(*sides(pair, folder))


@pytest.mark.parametrize("pair", RELATED, ids=ids)
def test_the_table_of_relations(pair: Pair, files: Path) -> None:
    found = answer(pair, files)
    assert (found.word, found.sentence) == (pair.word, pair.sentence)
    assert not found.shifted


@pytest.mark.parametrize("pair", RELATED, ids=ids)
def test_the_answer_does_not_depend_on_the_order(pair: Pair, files: Path) -> None:
    left, right = sides(pair, files)
    assert relation(right, left).word == pair.word


@pytest.mark.parametrize("changes", PARAMETERS, ids=["defaults", "others"])
@pytest.mark.parametrize("pair", [p for p in RELATED if p.word not in ("different", "incomparable")], ids=lambda p: f"{p.left} {p.right}")
def test_gradients_of_the_compiled_losses_agree(pair: Pair, changes: dict[str, float], files: Path) -> None:
    both, found = sides(pair, files), answer(pair, files)
    special, general = both if found.special == both[0].name else both[::-1]
    values = {**special.compiled.parameters, **{k: v for k, v in changes.items() if k in special.compiled.parameters}}
    values |= {name: float(x) for name, x in special.pins.items()}
    factor = number(found.scale, values)
    given = {name: number(formula, values) for name, formula in found.substitution.items()} | {n: float(x) for n, x in general.pins.items()}
    for seed in range(3):
        mine, other = gradients(special, values, seed), gradients(general, given, seed)
        assert mine.abs().max() > 0
        torch.testing.assert_close(mine, factor * other, rtol=1e-9, atol=1e-12)


def number(formula: str, values: dict[str, float]) -> float:
    names = {name: sympy.Float(x, 30) for name, x in values.items()}
    return float(sympy.sympify(formula.replace("log V", "log_V"), locals={**names, "log_V": sympy.Float(LOG_V, 30)}))


def gradients(one: Side, parameters: dict[str, float], seed: int) -> Tensor:
    """d loss / d logp of four pairs, chosen then rejected, given to the loss in the form it takes."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(1, 6, (8, 1), generator=random)
    logp, ref = (-3 * torch.rand(8, 5, generator=random, dtype=torch.float64) * mask for _ in range(2))
    ref = {"uniform-token": -LOG_V * mask.double(), "uniform-sequence": SEQUENCE * mask.double() / mask.sum(1, keepdim=True)}.get(
        one.reference, ref
    )
    logp.requires_grad_()
    chosen, rejected = (lambda x: x[:4]), (lambda x: x[4:])
    loss = halo.compile_objective(one.compiled.objective.values, parameters)

    def completions(arranged: Callable[[Tensor], Tensor]) -> Completions:
        return Completions(mask=arranged(mask), token_logps=arranged(logp), ref_token_logps=arranged(ref.double()))

    if one.feedback.name == "paired":
        inputs = LossInputs({"chosen": completions(chosen), "rejected": completions(rejected)})
    elif one.feedback.name == "labelled":
        inputs = LossInputs({"completion": completions(lambda x: x)}, desirable=torch.arange(8) < 4)
    else:
        lists = completions(lambda x: torch.stack([chosen(x), rejected(x)], 1))
        inputs = LossInputs({"completion": lists}, ranks=torch.tensor([[1, 2]] * 4))
    return torch.autograd.grad(loss(inputs).loss, logp)[0]


@pytest.mark.parametrize("pair", [p for p in RELATED if p.word == "different"], ids=lambda p: f"{p.left} {p.right}")
def test_witnesses_of_a_difference_are_true_gradients(pair: Pair, files: Path) -> None:
    both = sides(pair, files)
    found = relation(*both)
    places = sorted({name.rpartition(" (")[2] for name in found.witness if name.endswith(("(1)", "(2)", "(3)"))}) or [""]
    for one in both:
        for place in places:
            end = f" ({place}" if place else ""
            _holds(one, found, end)


def _holds(one: Side, found: Relation, end: str) -> None:
    """The gradients printed for one place are those of the compiled loss there."""
    at = {name.removesuffix(end): value for name, value in found.witness.items() if name.endswith(end)}
    parameters = {n: float(sympy.Rational(found.witness[f"{one.name} {n}"])) for n in one.compiled.parameters if n not in one.pins}
    leaves, roles = {}, {}
    for role in ("chosen", "rejected"):
        length = int(at.get(f"{role}.length", 1))
        whole = torch.tensor(float(sympy.Rational(at[f"{role}.log π"])), dtype=torch.float64, requires_grad=True)
        log_v = float(found.witness.get(f"{one.name} log V", 10))
        ref = -log_v * length if one.reference else float(sympy.Rational(at.get(f"{role}.log ref", "0")))
        mask = torch.ones(1, length, dtype=torch.bool)
        leaves[role] = whole
        roles[role] = Completions(
            mask=mask,
            token_logps=whole.expand(1, length) / length,
            ref_token_logps=torch.full((1, length), ref / length, dtype=torch.float64),
        )
    inputs = LossInputs(roles)
    if one.feedback.name == "ranked":
        width = max(c.mask.shape[1] for c in roles.values())
        mask, logps, refs = [torch.stack([torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in xs], 1) for xs in zip(*((c.mask, c.logp, c.ref_logp) for c in roles.values()), strict=True)]  # fmt: skip
        inputs = LossInputs({"completion": Completions(token_logps=logps, mask=mask, ref_token_logps=refs)}, ranks=torch.tensor([[1, 2]]))
    loss = halo.compile_objective(one.compiled.objective.values, parameters)(inputs).loss
    for role, slope in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        printed = at.get(f"{one.name} d loss/d {role}.log π")
        assert printed is None or float(printed) == pytest.approx(slope.item(), rel=1e-9)


# -- a new loss is an old one ----------------------------------------------------------------------------------------------


def known() -> Known:
    return Known(find_objective.files(), find_objective)


def test_a_new_loss_in_disguise_is_named(files: Path) -> None:
    found = relatives(compile_source(files / "cpo_per_token.yaml", None, find_objective), known())
    assert [(k.known, k.relation, k.sentence) for k in found] == [("simpo", "renamed", "this is simpo with gamma = 2 * beta * m")]


def test_a_special_case_is_named_where_nothing_is_the_same(files: Path) -> None:
    found = relatives(compile_source(files / "cpo_preference.yaml", None, find_objective), known())
    assert ("cpo", "special-case", "this is cpo with lambda_nll = 0") in [(k.known, k.relation, k.sentence) for k in found]


def test_a_new_loss_has_no_relatives() -> None:
    new = "name: new\nfeedback: paired\nparameters: {beta: {default: 1, domain: '(0, inf)'}}\nreward: sum(logp - ref_logp)\nreference_point: rejected\nnormalizer: beta\nvalue: z/(1 + abs(z))\nsign: -1\n"  # fmt: skip
    assert relatives(compile_source(new), known()) == ()
