"""The model card of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from halo.compiler.pipeline import CompiledObjective
from halo.training.settings import Settings


def model_card(compiled: CompiledObjective, settings: Settings, history: Sequence[Mapping[str, float]]) -> str:
    """README.md of the output folder: base model, data, objective, parameters, last metrics."""
    declaration = compiled.objective.declaration
    paper = declaration.paper
    front = {"base_model": settings.model_name_or_path, "tags": ["halo", compiled.graph.name], "library_name": "transformers"}
    parameters = ", ".join(f"{name} = {value:g}" for name, value in compiled.parameters.items()) or "none"
    cited = ""
    if paper:
        number = f" (arXiv:{paper.arxiv})" if paper.arxiv else ""
        cited = f"\nPaper: {paper.title}{number}.\n"
    sets = ", ".join(f"`{source.path}`" for source in settings.sources(settings.data))
    last = next(reversed(history), {})
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in last.items())
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n"
        f"# {declaration.title or compiled.graph.name}\n\n"
        f"Trained with halo on {sets} from `{settings.model_name_or_path}`.\n{cited}\n"
        f"Objective `{compiled.graph.name}` ({declaration.feedback} feedback), parameters: {parameters}. "
        "`objective.yaml`, `settings.yaml` and the generated `loss.py` in this folder are exactly what ran.\n\n"
        f"| metric at the end | value |\n| --- | --- |\n{rows}\n"
    )
