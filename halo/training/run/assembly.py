"""Names become objects: what the objective needs is matched with what data, reference and backend supply."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from halo.backends.choosing import backend_name
from halo.backends.context import BackendContext
from halo.backends.interface import Backend
from halo.backends.placement import Placement
from halo.compiler.pipeline import CompiledObjective
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.loss.function import LossFunction
from halo.options import parts
from halo.plugin.registry import choose, supplied
from halo.reference.interface import Reference
from halo.scoring.capability import choose_path
from halo.scoring.head import wide
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.training.data.datasets import Data, Say, load_data
from halo.training.data.feed import Feed, Table
from halo.training.model.loading import load_policy, load_tokenizer, wants_bf16
from halo.training.model.optimizer import adamw
from halo.training.run.needs import check_moves, check_needs, check_trackers
from halo.training.run.on_policy import say_on_policy
from halo.training.run.references import build_reference, check_agreement, scored_ahead, starts_as_policy
from halo.training.run.run import Policy, Run
from halo.training.saving.folder import Folder, is_main_process
from halo.training.settings import Settings
from halo.training.step.step import Step


def assemble(compiled: CompiledObjective, settings: Settings, say: Say = print) -> Run:
    """Builds a run. Raises HaloError for whatever does not fit; of its folder nothing is left then.

    Nothing is written yet: `taken` is for a run that is to be trained.
    """
    folder = Folder.chosen(compiled.graph.name, settings)
    return _assembled(compiled, settings, say, folder)


def taken(compiled: CompiledObjective, settings: Settings, say: Say = print) -> Run:
    """As `assemble`, in a folder that no other run has, nor can have as long as this process lives."""
    folder = Folder.chosen(compiled.graph.name, settings)
    folder.take(is_main_process())
    try:
        return _assembled(compiled, settings, say, folder)
    except BaseException:
        folder.give_back()
        raise


def _assembled(compiled: CompiledObjective, settings: Settings, say: Say, folder: Folder) -> Run:
    loss = LossFunction(compiled)
    check_needs(compiled, settings)
    check_trackers(settings)
    tokenizer = load_tokenizer(str(settings.model_name_or_path), settings)
    template = Template.of(tokenizer, settings.chat_template, settings.loss_on, settings.special_tokens)
    data = load_data(compiled, settings, template, say)
    policy = _policy(compiled, settings, tokenizer, template, data, folder.path, say)
    reference = build_reference(policy, say)
    step = _step(loss, policy, reference, min(data.train, key=lambda example: example.longest))
    feed = data.feed(settings, policy.placement.size)
    if reference is not None and starts_as_policy(settings):
        check_agreement(step, data.train[:2])
    say_on_policy(step, data.train, say)
    facts: dict[str, float] = {}
    if reference is not None and settings.precompute_ref_log_probs:
        begun = time.perf_counter()
        data, feed, filler = _ahead(step, data, feed, settings)
        reference, step = None, _step(loss, policy, None, filler)
        facts["reference_seconds"] = time.perf_counter() - begun
    of_policy = {part.name: getattr(policy, part.name) for part in fields(policy)}
    return Run(**of_policy, data=data, feed=feed, reference=reference, step=step, folder=folder, say=say, facts=facts)


def _policy(
    compiled: CompiledObjective, settings: Settings, tokenizer: Any, template: Template, data: Data, output: Path, say: Say
) -> Policy:
    """The policy loaded, its scorer checked, and both laid on the devices."""
    torch.manual_seed(settings.seed)  # a new adapter begins with random numbers
    model = load_policy(str(settings.model_name_or_path), settings)
    placement, why = _placement(model, settings, output)
    say(f"model      {settings.model_name_or_path}: {_sizes(model)}, {settings.dtype} weights, {why}")
    scorer = _scorer(model, settings, data.train, tuple(compiled.graph.needs.slots), say)
    if settings.gradient_checkpointing:
        # activation_checkpointing_enable is its name in transformers 6
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    model.config.use_cache = False
    vocabulary = model.get_output_embeddings().weight.shape[0]  # read before a backend splits the weights
    placement.prepare(scorer, lambda: adamw(model, settings))
    return Policy(compiled, settings, model, tokenizer, template, scorer, placement, vocabulary)


def _step(loss: LossFunction, policy: Policy, reference: Reference | None, filler: TokenizedExample) -> Step:
    placement = policy.placement
    dtype = wide(getattr(torch, policy.settings.dtype))
    gives = policy.scorer.gives
    return Step(loss, placement.module, reference, placement.device, placement, policy.vocabulary, filler, gives, dtype)


def _ahead(step: Step, data: Data, feed: Feed, settings: Settings) -> tuple[Data, Feed, TokenizedExample]:
    """Every example that the run sees, with its reference log-probs: the reference is not needed again."""
    assert isinstance(feed, Table), "a stream was refused before"
    assert step.filler is not None, "assembly gives one"
    size = settings.per_device_train_batch_size
    train = scored_ahead(step, data.train, feed.reached(), size)
    held_out = scored_ahead(step, data.held_out, range(len(data.held_out)), size)
    filler = step.filler
    if step.world.size > 1:
        filler = scored_ahead(step, [filler], [0], 1)[0]
    return Data(train, held_out), Table(train, feed.schedule), filler


def _placement(model: Any, settings: Settings, output: Path) -> tuple[Placement, str]:
    use, why = wants_bf16(settings, sum(p.numel() for p in model.parameters()))
    asked, given = parts(settings.backend)
    name, because = backend_name(asked, os.environ, [item.name for item in supplied("backend")])
    backend: Backend = choose("backend", name)
    context = BackendContext(
        "bf16" if use else "no",
        tuple(settings.report_to),
        str(output),
        settings.use_cpu,
        settings.max_grad_norm,
        settings.ddp_timeout,
        backend.with_options(given),
    )
    placement = backend.build(context)
    check_moves(settings, name, placement)
    device = f"{placement.size} x {placement.device.type}, backend {name} ({because})"
    products = f"{settings.dtype} products"
    if use:
        products = "bfloat16 autocast"
    return placement, f"{products} ({why}), {device}"


def _sizes(model: Any) -> str:
    whole = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if trained == whole:
        return f"{whole:,} parameters"
    return f"{whole:,} parameters, of which {trained:,} are trained"


def _scorer(model: Any, settings: Settings, train: list[TokenizedExample], slots: tuple[str, ...], say: Say) -> Scorer:
    """The policy's scorer, its fast path chosen on the shortest example and checked against the model's own logits."""
    scorer = Scorer(model, "auto")
    shortest = min(train, key=lambda example: example.longest)
    rows, _ = build_rows([shortest], [slot for slot in slots if slot != "prompt"] or slots)
    quantised = settings.load_in_4bit or settings.load_in_8bit  # 8-bit products depend on what else is in a batch
    path = choose_path(scorer, rows, settings.packing, torch.float16 if quantised else getattr(torch, settings.dtype))
    say(f"scoring    log-probs agree with the model's own logits; {path}")
    return scorer
