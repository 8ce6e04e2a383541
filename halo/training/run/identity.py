"""What a run is about, beside its settings: the examples, models and texts that its weights come from. A checkpoint knows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from halo.errors import HaloError, Place, SettingsError
from halo.plugin.registry import loaded
from halo.reference.fingerprint import weights_fingerprint
from halo.training.data.datasets import Say
from halo.training.data.feed import Feed
from halo.training.data.schedule import step_size
from halo.training.run.references import chosen_reference, numerics
from halo.training.run.run import Policy

BOUND = {
    "examples": "the examples or their order",
    "start": "the weights that training began with",
    "reference": "the reference",
    "tokenizer": "the tokenizer",
    "template": "the chat template, or how it is used",
    "batch": "the number of examples in a step",
}
"""What a run goes on with or not at all, in words."""
TOLD = {"ranks": "processes", "numerics": "numerics", "versions": "versions"}
"""What may change, and is said."""
PACKAGES = ("halo-align", "torch", "transformers")

Identity = Mapping[str, Any]


def identity(policy: Policy, feed: Feed) -> dict[str, Any]:
    """Plain values, the same on every rank."""
    settings, tokenizer = policy.settings, policy.tokenizer
    strategy, options = chosen_reference(settings)
    name = str(settings.model_name_or_path)
    other = settings.reference_model_name_or_path
    reference = "none"
    if policy.compiled.graph.needs.reference:
        reference = f"{strategy.name} {options} {_fingerprint(str(other or name))}"
    chat = getattr(tokenizer, "chat_template", None)
    return {
        "examples": feed.state_dict().get("examples", "a stream"),
        "start": _fingerprint(name),
        "reference": reference,
        "tokenizer": _digest(sorted(tokenizer.get_vocab().items())),
        "template": _digest([chat, policy.template.chat, settings.loss_on]),
        "batch": step_size(settings, policy.placement.size),
        "ranks": policy.placement.size,
        "numerics": numerics(policy),
        "versions": versions(),
    }


def check_same(before: Identity, now: Identity, anyway: bool, place: str, say: Say) -> None:
    """Raises SettingsError where a run would go on with something else than it was about; says what else changed."""
    for key, words in BOUND.items():
        if key not in before or before[key] == now[key]:
            continue
        changed = f"{words} changed since this checkpoint ({_short(before[key])}, now {_short(now[key])})"
        if not anyway:
            raise SettingsError("resume", changed, place=Place(place), hint=HINTS.get(key, ANYWAY))
        say(f"resume     {changed}: from here on it is another run, as --resume-anyway asks")
    for key, words in TOLD.items():
        if key in before and before[key] != now[key]:
            say(f"resume     {words} were {_plain(before[key])} and are {_plain(now[key])} from here on")


ANYWAY = "put it back as it was, or give --resume-anyway to go on all the same"
HINTS = {
    "batch": "--per-device-train-batch-size and --gradient-accumulation-steps times the number of processes must give what they gave, "
    "or give --resume-anyway"
}


def _fingerprint(name: str) -> str:
    """Of a model's files; of one that has none here, nothing but its name is known."""
    try:
        return weights_fingerprint(name)
    except (HaloError, OSError):
        return name


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of halo, what it computes with, and every plugin's distribution."""
    plugins = {owner.distribution: owner.version for owner in loaded().owners.values()}
    return {**{one: _version(one) for one in PACKAGES}, **plugins}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _short(value: Any) -> str:
    return " ".join(word[:12] for word in str(value).split())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)
