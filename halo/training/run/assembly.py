"""Names become objects: what the objective needs is matched with what data, reference and backend supply."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

from halo.backends.choosing import backend_name
from halo.backends.context import BackendContext
from halo.backends.interface import Backend
from halo.backends.placement import Placement
from halo.compiler.pipeline import CompiledObjective
from halo.data.template import Template
from halo.data.tokenizing import TokenizedExample
from halo.errors import SettingsError
from halo.loss.function import LossFunction
from halo.options import parts
from halo.plugin.registry import choose, supplied
from halo.scoring.capability import choose_path
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.training.data.datasets import Say, load_data
from halo.training.model.loading import load_policy, load_tokenizer, wants_bf16
from halo.training.model.optimizer import adamw
from halo.training.run.needs import check_moves, check_needs, check_trackers
from halo.training.run.references import attach_reference
from halo.training.run.run import Run
from halo.training.settings import Settings
from halo.training.step.step import Step


def assemble(compiled: CompiledObjective, settings: Settings, say: Say = print) -> Run:
    """Builds a run. Raises HaloError for whatever does not fit, before anything is written."""
    loss = LossFunction(compiled)
    check_needs(compiled, settings)
    check_trackers(settings)
    output = output_folder(compiled.graph.name, settings)
    tokenizer = load_tokenizer(str(settings.model_name_or_path), settings)
    template = Template.of(tokenizer, settings.chat_template, settings.loss_on)
    data = load_data(compiled, settings, template, say)
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
    vocabulary = model.get_output_embeddings().weight.shape[0]
    placement.prepare(scorer, lambda: adamw(model, settings))
    shortest = min(data.train, key=lambda example: example.longest)
    step = Step(loss, placement.module, None, placement.device, placement, vocabulary, filler=shortest)
    feed = data.feed(settings, placement.size)
    run = Run(compiled, settings, model, tokenizer, template, data, feed, step, scorer, placement, output, say)
    attach_reference(run)
    return run


def output_folder(name: str, settings: Settings) -> Path:
    """The run's folder: as set and empty (or being resumed), or a new one under runs/. Nothing is created yet."""
    if settings.output_dir is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folders = (Path("runs") / f"{name}-{stamp}{suffix}" for suffix in ("", *(f"-{i}" for i in range(2, 1000))))
        return next(folder for folder in folders if not folder.exists())
    folder = Path(settings.output_dir)
    if folder.is_file():
        raise SettingsError("output-folder", f"{folder} is a file")
    if folder.is_dir() and any(folder.iterdir()) and settings.resume_from_checkpoint is None:
        raise SettingsError(
            "output-folder", f"the output folder {folder} is not empty", hint=f"choose another, or continue it with --resume {folder}"
        )
    return folder


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
        backend.with_options(given),
    )
    placement = backend.build(context)
    check_moves(settings, name, placement)
    device = f"{placement.size} x {placement.device.type}, backend {name} ({because})"
    return placement, f"{'bfloat16 autocast' if use else settings.dtype + ' products'} ({why}), {device}"


def _sizes(model: Any) -> str:
    whole, trained = (sum(p.numel() for p in model.parameters() if p.requires_grad or not only) for only in (False, True))
    return f"{whole:,} parameters" + (f", of which {trained:,} are trained" if trained < whole else "")


def _scorer(model: Any, settings: Settings, train: list[TokenizedExample], slots: tuple[str, ...], say: Say) -> Scorer:
    """The policy's scorer, its fast path chosen on the shortest example and checked against the model's own logits."""
    scorer = Scorer(model, "auto")
    shortest = min(train, key=lambda example: example.longest)
    rows, _ = build_rows([shortest], [slot for slot in slots if slot != "prompt"] or slots)
    quantised = settings.load_in_4bit or settings.load_in_8bit  # 8-bit products depend on what else is in a batch
    path = choose_path(scorer, rows, settings.packing, torch.float16 if quantised else getattr(torch, settings.dtype))
    say(f"scoring    log-probs agree with the model's own logits; {path}")
    return scorer

