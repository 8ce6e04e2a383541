"""docs/relations.md shows what `halo diff` prints. HALO_UPDATE_GOLDEN=1 rewrites it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from related import FILES, RELATED, Pair

from halo.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "relations.md"
INTRODUCTION = """# Relations

Written by `tests/docs/test_relations_page.py` from `tests/support/related.py`; what halo prints below is what it prints.

`halo diff A B` decides how two objectives are related; `halo check my.yaml` says which known objective a new one is in disguise. Two objectives are the same if they teach the same: if the
gradients of their losses over a batch agree for all data and all declared parameter values.

| answer | what is proved |
| --- | --- |
| `equal` | the same loss, with the same names of the parameters |
| `scaled` | the same up to a positive factor: another learning rate |
| `shifted` | the same gradients, another value |
| `renamed` | each is the other after the substitution printed |
| `special-case` | one is the other with the parameters printed, and not the other way round as far as halo sees |
| `different` | neither is a special case of the other: at its defaults, no values of the other's parameters make them the same, and the numbers printed show it. (Families may still meet elsewhere, as two that both hold DPO do) |
| `distinct` | one is not a special case of the other, and the numbers printed show it; whether the other is one of it was not decided |
| `incomparable` | they take different examples |
| `undecided` | neither was shown |

How it is done. A loss over a batch is a sum of ratios, of a sum over examples over a sum of counts; two losses teach the same if the scalars over the same count do. The parameters of one are
fitted in floats until its gradients are those of the other; the numbers are recognised as formulas; and the formulas are proved by algebra, with detached quantities as symbols of their own. What
was only seen in floats is never said. A difference is said only where exact data exclude every choice of the parameters: a gradient that has another sign, a linear relation of gradients that the
other objective cannot have, or gradients that no box of its parameters explains, down to the ends of their ranges. Data are free log-probabilities of whole completions; sums over the vocabulary are
numbers that a policy can have beside them. Where a loss adds up something of each token that is not linear, completions have one token, or two of which the first is given; where examples change each
other's weight, two examples are looked at. A kink's slope is a convention, and no gradient is taken at one. A column is its level, its domain and its default, and a running statistic what it is of, how it runs and
where it starts: objectives that take other rows are related only as far as their rows are, and other names of columns are said.

`@` fixes parameters, or reads a side under a reference that needs no model: `dpo@uniform-token`, `cdpo@epsilon=0,beta=1/10`. Under `uniform-sequence` every completion has the same log-probability,
under `uniform-token` log ref = -length log V. Labelled and paired objectives are compared with each pair given as one desirable and one undesirable answer, where nothing is shared by the batch;
ranked and paired ones on lists of two.

The tests hold every positive answer against the compiled losses, by autograd on random data, and every number of a witness likewise.

## What halo finds
"""


def page(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    parts = [INTRODUCTION]
    parts += [section(pair, printed(pair, folder, capsys)) for pair in RELATED]
    parts += ["## The files that are not shipped\n"]
    parts += [f"`{name}`\n\n```yaml\n{text}```\n" for name, text in FILES.items()]
    return "\n".join(parts)


def section(pair: Pair, answer: str) -> str:
    why = f"{pair.why}\n\n" if pair.why else ""
    return f"{why}```console\n$ halo diff {pair.left} {pair.right}\n{answer}```\n"


def printed(pair: Pair, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    words = [str(folder / word) if word.split("@")[0] in FILES else word for word in (pair.left, pair.right)]
    assert main(["diff", *words]) == 0
    return capsys.readouterr().out


def test_the_page_says_what_halo_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    now = page(tmp_path, capsys)
    if os.environ.get("HALO_UPDATE_GOLDEN") == "1":
        PAGE.write_text(now)
    assert PAGE.read_text() == now, "HALO_UPDATE_GOLDEN=1 accepts what halo says now"
