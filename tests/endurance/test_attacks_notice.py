"""That the random attacks can fail: halo is broken in memory, and each class notices it within a few cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trials.caches import CACHES
from trials.change import CHANGE
from trials.core import Attack, survived
from trials.damage import DAMAGE
from trials.disks import DISKS
from trials.extends import EXTENDS
from trials.folders import FOLDERS
from trials.kill import KILL
from trials.made import Made
from trials.objectives import OBJECTIVES
from trials.plugins import PLUGINS
from trials.processes import Nursery
from trials.rows import ROWS
from trials.settings import SETTINGS
from trials.signals import SIGNALS
from trials.third_parties import THIRD_PARTIES

WEIGHTS_STAY = """
import halo.training.saving.checkpoints as checkpoints
checkpoints._restore_weights = lambda *given: None
"""
NOTHING_VERIFIED = """
import halo.files.manifest as manifest
import halo.training.saving.checkpoints as checkpoints
checkpoints.verified = manifest.read_manifest
"""
ALL_IS_THE_SAME = """
import halo.training.run.loop as loop
loop.check_same = loop.check_goes_on = lambda *given: None
"""
BARE_JSON = """
import json
import halo.data.files as files
files._parsed = lambda line, place: json.loads(line)
"""
TAGS_ARE_OBEYED = """
import yaml
import halo.objective.loading as loading
read = loading.read_document
def trusting(text, *given, **more):
    yaml.unsafe_load(text)
    return read(text, *given, **more)
loading.read_document = trusting
"""
BARE_NUMBERS = """
import halo.training.settings as settings
settings._typed = lambda name, text, flag: float(text)
"""
ENTRIES_TRUSTED = """
import halo.cache as cache
import halo.examine.cache as examinations
def kept(room, name):
    file = cache.cache_folder(room) / name
    return file.read_text(errors="replace").partition("\\n")[2] if file.is_file() else None
examinations.kept = kept
"""
PLUGINS_TRUSTED = """
import halo.plugin.registry as registry
def load(entry, owner, state):
    state.manager.register(entry.load(), name=entry.name)
    state.owners[entry.name] = owner
registry._load = load
"""
DEAF = """
import halo.training.run.loop as loop
loop.Signals.__enter__ = lambda self: self
"""
NO_LOCK = """
import halo.files.lock as lock
lock.fcntl = None
"""
FULL_IS_A_BUG = """
import torch
import halo.training.saving.checkpoints as checkpoints
checkpoints._save_state = torch.save
"""
ANYWHERE = """
import halo.objective.loading as loading
loading._base_document = lambda document, name, find, place: loading.read_document((document.home / name).read_text(), name)
"""
CODE_TRUSTED = """
import transformers
load = transformers.AutoTokenizer.from_pretrained
def trusting(name, **more):
    return load(name, **{**more, "trust_remote_code": True})
transformers.AutoTokenizer.from_pretrained = trusting
"""
PICKLES_ARE_RUN = """
import torch
load = torch.load
torch.load = lambda *given, **more: load(*given, **{**more, "weights_only": False})
"""
TEMPLATES_ARE_FREE = """
import jinja2.sandbox as sandbox
sandbox.SandboxedEnvironment.is_safe_attribute = lambda *given: True
sandbox.ImmutableSandboxedEnvironment.is_safe_attribute = lambda *given: True
"""

BROKEN: dict[str, tuple[Attack, str]] = {
    "a resumed run keeps the weights of its start": (KILL, WEIGHTS_STAY),
    "no file of a checkpoint is looked at": (DAMAGE, NOTHING_VERIFIED),
    "nothing that changed is noticed": (CHANGE, ALL_IS_THE_SAME),
    "what is no JSON is not refused": (ROWS, BARE_JSON),
    "tags of YAML are obeyed": (OBJECTIVES, TAGS_ARE_OBEYED),
    "a flag that is no number is not refused": (SETTINGS, BARE_NUMBERS),
    "an entry of the cache is believed": (CACHES, ENTRIES_TRUSTED),
    "a plugin may raise what it likes": (PLUGINS, PLUGINS_TRUSTED),
    "no signal is caught": (SIGNALS, DEAF),
    "a folder has no lock": (FOLDERS, NO_LOCK),
    "a full disk is no message": (DISKS, FULL_IS_A_BUG),
    "what is extended may lie anywhere": (EXTENDS, ANYWHERE),
    "a tokenizer's code is run": (THIRD_PARTIES, CODE_TRUSTED),
    "a pickle is run": (THIRD_PARTIES, PICKLES_ARE_RUN),
    "a template may do anything": (THIRD_PARTIES, TEMPLATES_ARE_FREE),
}
"""How halo is broken, and the class that must notice it."""
SEED, MOST = 1, 60


@pytest.fixture
def breaking(nursery: Nursery, made: Made) -> Iterator[Nursery]:
    """The nursery, which is as it was afterwards; what all cases share is made before."""
    assert all(run.is_dir() for run in (made.short, made.long, made.examined[0], *map(made.going_on, (2, 4, 6))))
    yield nursery
    nursery.before = ""


@pytest.mark.slow
@pytest.mark.parametrize("what", BROKEN)
def test_a_halo_that_is_broken_is_noticed(what: str, breaking: Nursery, made: Made, tmp_path: Path) -> None:
    """By a case that a whole halo survives."""
    attack, before = BROKEN[what]
    for number in range(MOST):
        wrong: list[str] = []
        for code in (before, ""):
            place = tmp_path / f"{number}-{len(wrong)}"
            place.mkdir()
            breaking.before = code
            wrong.append(survived(attack, number, place, breaking, made, SEED))
            if not wrong[0]:
                break
        if wrong[0] and not wrong[1]:
            print(wrong[0])  # shown with -s
            return
    pytest.fail(f"{MOST} cases of {attack.name} did not notice it")
