"""A `halo sample` of which everything is known and nothing is loaded but the tokenizer: prompts, plan, folder, what its rows depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from halo.backends.choosing import backend_name
from halo.backends.context import BackendContext
from halo.backends.placement import Placement
from halo.completions.sampling import Sampler, SamplerContext, Sampling
from halo.data.reading import Source
from halo.data.text.template import Template
from halo.errors import Place, SettingsError
from halo.files.stage import StageFolder
from halo.options import as_text, parts
from halo.plugin.registry import choose, supplied
from halo.reference.fingerprint import weights_fingerprint
from halo.sampling.plan import Plan, Prompt
from halo.sampling.prompts import Prompts, read_prompts
from halo.sampling.rows import Made
from halo.sampling.settings import SamplingSettings
from halo.sampling.turns import Answers, next_turn
from halo.starter.defaults import EMBEDDED, POLICY, PROMPTS
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.run.identity import versions
from halo.training.saving.published import shortened
from halo.training.settings import Settings

Say = Callable[[str], None]
LONGEST = 256
"""Tokens after which a completion is cut, unless the settings say it or the model reads less."""


@dataclass
class Job:
    """What is to be done. `count`: completions of each prompt; `limit`: ids that a prompt may have."""

    settings: SamplingSettings
    sampler: Sampler
    options: Any
    template: Template | None
    limit: int | None
    prompts: Prompts
    count: int
    placement: Placement
    folder: StageFolder
    say: Say

    @cached_property
    def made(self) -> Made:
        """What a row says of the folder that it was made in."""
        return Made(_digest(self.folder.made_with)[:12], str(self.folder.made_with.get("weights", ""))[:12])

    def first(self) -> Stage:
        """What is asked of a model that has said nothing yet."""
        return Stage(1, self._plan(self.prompts.kept, self.count), [])

    def following(self, number: int, answers: Answers) -> Stage:
        """The turn of that number, from all answers of the turn before it."""
        found = next_turn(self.prompts.conversations, number, self.count, answers, self.template, self.limit)
        return Stage(number, self._plan(found.prompts, 1), found.left_out)

    def _plan(self, prompts: list[Prompt], count: int) -> Plan:
        return Plan(prompts, count, self.settings.batch_size, self.settings.seed, self.sampler.together)

    def built(self) -> Sampling:
        """The sampler at work: a model is loaded."""
        settings, template = self.settings, self.template
        model = settings.model or str(POLICY)

        def policy() -> Any:
            loaded = load_model(model, _as_training(settings, model)).to(self.placement.device)
            loaded.config.use_cache = True
            return loaded.eval()

        def tokenizer() -> Any:
            return template.tokenizer if template else None

        end, longest = tuple(self.folder.made_with.get("end", ())), int(self.folder.made_with.get("max_new_tokens", 0))
        stop, device = tuple(settings.stop), self.placement.device
        context = SamplerContext(policy, tokenizer, end, longest, stop, self.count, device, self.options, self.say)
        return self.sampler.build(context)


@dataclass(frozen=True)
class Stage:
    """What is asked at once, in parts: the prompts of a turn; and those of it that cannot be asked, with why."""

    turn: int
    plan: Plan
    left_out: list[dict[str, Any]]

    @cached_property
    def by_key(self) -> dict[str, Prompt]:
        """The prompts."""
        return {prompt.key: prompt for prompt in self.plan.prompts}

    @property
    def parts(self) -> list[str]:
        """The files that its rows are written to."""
        before = f"turn-{self.turn}-" if self.turn > 1 else ""
        return [f"{before}part-{part}.jsonl" for part in range(self.plan.parts)]


def job_of(settings: SamplingSettings, say: Say) -> Job:
    """Everything but the model. Raises HaloError."""
    name, given = parts(settings.sampler)
    sampler: Sampler = choose("sampler", name)
    options = sampler.with_options(given)
    model = settings.model or str(POLICY)
    trained = _as_training(settings, model)
    template: Template | None = None
    end: tuple[int, ...] = ()
    longest, limit = settings.max_new_tokens or LONGEST, None
    if sampler.writes:
        template = Template.of(load_tokenizer(model, trained), settings.chat_template, special=settings.special_tokens)
        end = _end(model, template)
        longest, limit = _lengths(model, settings)
    path = settings.prompts or str(PROMPTS)
    source = Source.model_validate({"path": path, "columns": settings.data_columns, "format": settings.data_format})
    formats = [item.thing for item in supplied("format")]
    prompts = read_prompts(source, formats, template, limit, say, settings.data_split, given=not sampler.writes and not sampler.random)
    count = sampler.count(options, settings.n)
    _check_turns(sampler, prompts)
    placement = _placement(settings)
    made_with: dict[str, Any] = {"kind": "samples", "sampler": sampler.name, "options": options.model_dump(), "n": count}
    made_with["prompts"] = _digest(prompts.keys)
    if template is None:
        made_with["given"] = _digest([prompt.row for prompt in prompts.kept])
        asked = {"max_new_tokens": settings.max_new_tokens, "stop": settings.stop}  # of whatever writes them, where something does
        made_with |= {name: value for name, value in asked.items() if value}
    else:
        made_with |= _written_with(settings, template, model, end, longest)
        made_with["temperature"] = sampler.temperature(options)
    if sampler.random:
        made_with["seed"] = settings.seed
    numerics = " ".join(filter(None, [settings.dtype, settings.attn_implementation, placement.device.type]))
    named = {"model": shortened(model) or EMBEDDED} if template is not None else {}
    beside = {**named, "batch_size": settings.batch_size, "processes": placement.size, "versions": versions(), "numerics": numerics}
    folder = StageFolder(Path(settings.out or "samples"), made_with, beside)
    what = f"{len(prompts.kept):,} prompts"
    if prompts.conversations:
        what += f" with {len(prompts.conversations):,} conversations of up to {prompts.turns} turns"
    say(f"sample     {what}, {len(prompts.left_out):,} left out; {count} completions each by {as_text(settings.sampler)}")
    return Job(settings, sampler, options, template, limit, prompts, count, placement, folder, say)


def _check_turns(sampler: Sampler, prompts: Prompts) -> None:
    """Raises SettingsError for conversations that a sampler cannot go on with: the data's completions follow no answer of a model, and
    beams of one prompt have no own conversation each.
    """
    if prompts.conversations and (sampler.together or not (sampler.writes or sampler.random)):
        message = f"{sampler.name} asks no second question, and the data has conversations of {prompts.turns} turns"
        raise SettingsError("wrong-value", message, place=Place("--sampler"), hint="sample and greedy do")


def _as_training(settings: SamplingSettings, model: str) -> Settings:
    """How the model is loaded, in the words of `halo train`."""
    names = ("dtype", "attn_implementation", "trust_remote_code", "use_cpu")
    return Settings.model_validate({"model_name_or_path": model, **{name: getattr(settings, name) for name in names}})


def _end(model: str, template: Template) -> tuple[int, ...]:
    """The ids that end a completion, training's first."""
    from transformers import GenerationConfig

    try:
        own = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError:  # a folder without one
        own = None
    found = [template.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _lengths(model: str, settings: SamplingSettings) -> tuple[int, int | None]:
    """Tokens after which a completion is cut, and that a prompt may have. Raises SettingsError where none are left for a prompt."""
    from transformers import AutoConfig

    positions = getattr(AutoConfig.from_pretrained(model, trust_remote_code=settings.trust_remote_code), "max_position_embeddings", None)
    if positions is None:
        return settings.max_new_tokens or LONGEST, None
    longest = settings.max_new_tokens or min(LONGEST, positions // 2)
    if longest >= positions:
        message = f"{longest} tokens leave no room for a prompt: the model reads {positions} in all"
        raise SettingsError("wrong-value", message, place=Place("--max-new-tokens"), hint=f"such as --max-new-tokens {positions // 2}")
    return longest, positions - longest


def _written_with(settings: SamplingSettings, template: Template, model: str, end: tuple[int, ...], longest: int) -> dict[str, Any]:
    """What a model's completions depend on beside the sampler. Names are of no path of this machine."""
    tokenizer = template.tokenizer
    return {
        "weights": weights_fingerprint(model),
        "dtype": settings.dtype,
        "max_new_tokens": longest,
        "stop": settings.stop,
        "end": list(end),
        "template": _digest([getattr(tokenizer, "chat_template", None), template.chat, template.special]),
        "tokenizer": _digest(sorted(tokenizer.get_vocab().items())),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _placement(settings: SamplingSettings) -> Placement:
    """One process, or those of a launcher: each writes parts of its own."""
    name, _ = backend_name("auto", os.environ, [item.name for item in supplied("backend")])
    found: Placement = choose("backend", name).build(BackendContext("no", (), settings.out or "samples", settings.use_cpu))
    return found
