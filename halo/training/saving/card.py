"""The model card of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import yaml

from halo.compiler.pipeline import CompiledObjective
from halo.training.saving.published import shortened
from halo.training.settings import Settings

EMBEDDED = "halo's embedded policy"


def model_card(
    compiled: CompiledObjective, settings: Settings, results: Mapping[str, float], facts: Mapping[str, str] = MappingProxyType({})
) -> str:
    """README.md of the output folder: base model, data, objective, parameters, last metrics, and what is needed to do it again.

    It names no path of this machine.
    """
    base = shortened(settings.model_name_or_path) or EMBEDDED
    declaration = compiled.objective.declaration
    paper = declaration.paper
    front = {"base_model": base, "tags": ["halo", compiled.graph.name], "library_name": "transformers"}
    parameters = ", ".join(f"{name} = {value:g}" for name, value in compiled.parameters.items()) or "none"
    cited = ""
    if paper:
        number = f" (arXiv:{paper.arxiv})" if paper.arxiv else ""
        cited = f"\nPaper: {paper.title}{number}.\n"
    sets = ", ".join(f"`{shortened(source.path) or 'the embedded feedback'}`" for source in settings.sources(settings.data))
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in results.items())
    told = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n"
        f"# {declaration.title or compiled.graph.name}\n\n"
        f"Trained with halo on {sets} from `{base}`.\n{cited}\n"
        f"Objective `{compiled.graph.name}` ({declaration.feedback} feedback), parameters: {parameters}. "
        "`objective.yaml`, `settings.yaml` and the generated `loss.py` in this folder are exactly what ran.\n\n"
        f"| metric at the end | value |\n| --- | --- |\n{rows}\n\n"
        f"| run | |\n| --- | --- |\n{told}\n"
    )
