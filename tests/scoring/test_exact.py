"""Fast paths are exact: same log-probs and gradients as the model's own full logits."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from refusals import refused
from tolerances import RUN, assert_near
from torch.utils.flop_counter import FlopCounterMode

from halo.errors import ModelError
from halo.scoring.capability import choose_path, compare_with_logits, own_logps
from halo.scoring.head import token_logps
from halo.scoring.packed import Packing, attention, kernels, register
from halo.scoring.rows import RowBatch, build_rows
from halo.scoring.scorer import Scorer

SLOTS = ("chosen", "rejected")


def packed_policy() -> Any:
    model = tiny.policy()
    register(model)
    return model


@pytest.mark.numeric
@pytest.mark.parametrize("path", ["plain", "packed"])
def test_paths_agree_with_the_models_logits(path: str) -> None:
    rows, _ = build_rows(tiny.examples("paired", SLOTS), SLOTS)
    assert compare_with_logits(Scorer(packed_policy()), rows, path) < 10 * RUN  # log-probs of up to ten nats


@pytest.mark.numeric
def test_paths_agree_in_gradient_with_the_models_logits() -> None:
    rows, _ = build_rows(tiny.examples("paired", SLOTS), SLOTS)
    gradients = []
    for path in ("plain", "packed", "own"):
        model = packed_policy()
        flat = own_logps(model, rows) if path == "own" else Scorer(model, path)(rows)["logp"]  # type: ignore[arg-type]
        (flat * torch.linspace(-1, 1, len(flat))).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert_near(gradients[0], gradients[2], RUN)
    assert_near(gradients[1], gradients[2], RUN)


@pytest.mark.numeric
def test_prompt_tokens_are_scored_but_the_first() -> None:
    examples = tiny.examples("paired", SLOTS, count=3)
    rows, layout = build_rows(examples, (*SLOTS, "prompt"))
    model = packed_policy()
    for path in ("plain", "packed"):
        flat = Scorer(model, path)(rows)["logp"][layout.flat["prompt"]]  # type: ignore[arg-type]
        cursor = 0
        for example in examples:
            ids = torch.tensor([[*example.prefix, example.tails["chosen"][0].ids[0]]])
            logps = torch.log_softmax(model(input_ids=ids).logits[0], -1)
            own = logps[:-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
            assert_near(flat[cursor : cursor + len(own)], own, RUN)
            cursor += len(own)
        assert cursor == len(flat)


@pytest.mark.numeric
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_chunked_head_equals_log_softmax(bias: bool, frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo.scoring.head.CHUNK_BYTES", 4 * 37 * 5)  # many chunks
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(41, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(37, 16, generator=generator, dtype=torch.float64, requires_grad=not frozen)
    shift = torch.randn(37, generator=generator, dtype=torch.float64, requires_grad=not frozen) if bias else None
    targets, upstream = torch.randint(37, (41,), generator=generator), torch.randn(41, generator=generator, dtype=torch.float64)
    leaves = [x for x in (hidden, weight, shift) if x is not None and x.requires_grad]
    ours = token_logps(hidden, targets, weight, shift)
    logits = hidden @ weight.T + (shift if shift is not None else 0)
    true = torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)
    assert_near(ours, true, RUN)
    for a, b in zip(torch.autograd.grad(ours, leaves, upstream), torch.autograd.grad(true, leaves, upstream), strict=True):
        assert_near(a, b, RUN)


def flops(rows: RowBatch, path: str) -> int:
    scorer = Scorer(packed_policy(), path)  # type: ignore[arg-type]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        scorer(rows)
    return counter.get_total_flops()


def test_packed_rows_save_what_the_bound_says() -> None:
    """At most padded over packed tokens; attention and the head, which packing does not touch, keep it a little below."""
    rows, _ = build_rows(tiny.examples("paired", SLOTS), SLOTS)
    padded = len(rows.owner) * int((rows.prefix_length[rows.owner] + rows.tail_length).max())
    saved, bound = flops(rows, "plain") / flops(rows, "packed"), padded / rows.tokens
    assert 1.0 < saved <= bound * 1.02
    assert saved > 1 + 0.5 * (bound - 1)


def test_on_a_gpu_attention_keeps_off_kernels_that_build_a_plan_for_each_shape() -> None:
    with kernels(torch.device("cuda")):
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_a_head_with_a_softcap_is_refused() -> None:
    model = tiny.policy()
    head = model.lm_head
    model.lm_head = type("Capped", (torch.nn.Linear,), {"forward": lambda self, x: torch.tanh(torch.nn.functional.linear(x, self.weight))})(
        *head.weight.shape[::-1], bias=False
    ).double()
    model.lm_head.weight = head.weight
    rows, _ = build_rows(tiny.examples("paired", SLOTS, count=1), SLOTS)
    with refused(ModelError, "self-test"):
        choose_path(Scorer(model), rows, True, torch.float64)


def test_a_model_without_sdpa_falls_back_and_says_so() -> None:
    rows, _ = build_rows(tiny.examples("paired", SLOTS, count=1), SLOTS)
    model = tiny.policy()
    model.set_attn_implementation("eager")
    scorer = Scorer(model)
    assert "cannot be packed" in choose_path(scorer, rows, True, torch.float64)
    assert scorer.path == "plain"
    assert model.config._attn_implementation == "eager"


def test_a_sliding_window_is_not_packed() -> None:
    x = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ValueError, match="sliding_window"):
        attention(None, x, x, x, None, Packing([(0, 1)], [[(1, 2)]]), sliding_window=4)


def test_packing_survives_gradient_checkpointing() -> None:
    rows, _ = build_rows(tiny.examples("paired", SLOTS), SLOTS)
    gradients = []
    for checkpointing in (False, True):
        model = tiny.policy()
        register(model)
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        Scorer(model, "packed")(rows)["logp"].sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.equal(*gradients)
