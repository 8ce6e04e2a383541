"""Whether a folder of objectives keeps its contract: every file is found, compiles, is what it expects, and has finite slopes."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import HaloError
from halo.examine.supervisor import examine
from halo.loss.function import LossFunction
from halo.loss.samples import sample
from halo.plugin.objectives import find_objective, shipped_folder
from halo.testing.parts import require

POINTS = ("ordinary", "at_reference")
"""Where value and gradient are finite: a random batch, and one on which policy and reference agree."""


def check_objectives(folder: Path) -> None:
    """Raises AssertionError unless every objective file of the folder keeps its contract."""
    require(isinstance(folder, Path) and folder.is_dir(), f"{folder!r} is no folder; a Path such as Path(__file__).parent / 'objectives'")
    files = sorted(folder.glob("*.yaml"))
    require(files, f"{folder} holds no .yaml file; does the wheel include it?")
    overlooked = [file for file in sorted(folder.rglob("*.y*ml")) if file not in files]
    require(
        not overlooked,
        f"{folder}: {', '.join(map(str, overlooked))} is not looked at; objectives end in .yaml and lie in the folder itself",
    )
    for file in files:
        check_objective(file)


def check_objective(file: Path) -> None:
    """The same for one file. What it extends is looked up in its folder first, then among what is installed."""
    try:
        compiled = compile_source(file, None, lambda name: _beside(file, name))
    except HaloError as problem:
        raise AssertionError(f"{file.name} does not compile: {problem}") from problem
    _check_said(file, compiled)
    _check_kept(file, compiled)
    _check_finite(file, compiled)


def _beside(file: Path, name: str) -> Path | None:
    own = file.parent / f"{name}.yaml"
    if own.is_file():
        return own
    return find_objective(name)


def _check_said(file: Path, compiled: CompiledObjective) -> None:
    """Its name is the file's and nobody else's, and a reader learns what it is."""
    declared = compiled.objective.declaration
    require(
        declared.name == file.stem, f"{file.name}: its name is {declared.name!r}; a file is found by its name, which would be {file.stem!r}"
    )
    shipped = shipped_folder() / file.name
    same = not shipped.is_file() or shipped.resolve() == file.resolve()
    require(same, f"{file.name}: halo ships an objective {file.stem!r}; two of one name stop every run, choose another")
    require(declared.title, f"{file.name}: it has no title, which `halo list` and the gallery print")
    require(declared.paper or declared.notes, f"{file.name}: it has neither paper nor notes; say where it comes from, or why there is one")


def _check_kept(file: Path, compiled: CompiledObjective) -> None:
    examination = examine(compiled)
    require(not examination.failed, f"{file.name}: {examination.failures}; halo check {file} -v says why")


def _check_finite(file: Path, compiled: CompiledObjective) -> None:
    try:
        loss = LossFunction(compiled)
    except HaloError as problem:
        raise AssertionError(f"{file.name}: {problem}") from problem
    for kind in POINTS:
        batch = sample(compiled, kind)
        values = {name: torch.tensor(value, dtype=torch.float64) for name, value in batch.statistics.items()}
        output = loss(batch.inputs, statistics=values)
        value = output.loss.item()
        require(math.isfinite(value), f"{file.name}: its loss is {value} on the batch {kind!r} of random log-probs")
        slopes: tuple[torch.Tensor | None, ...] = ()
        if output.loss.requires_grad:
            slopes = torch.autograd.grad(output.loss, list(batch.leaves.values()), allow_unused=True)
        for (slot, name), slope in zip(batch.leaves, slopes, strict=False):
            finite = slope is None or torch.isfinite(slope).all()
            require(
                finite, f"{file.name}: the slope of its loss by {slot}.{name} is not finite on the batch {kind!r} (the loss is {value:g})"
            )
        moves = any(slope is not None and slope.abs().max() > 0 for slope in slopes)
        require(moves or kind != "ordinary", f"{file.name}: nothing in its loss depends on the policy; it cannot train")
