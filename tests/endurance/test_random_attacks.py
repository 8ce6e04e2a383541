"""Random attacks on runs, files, settings and plugins, from a seed, by class: what is on the disk and what is said afterwards.

`pytest -m slow tests/endurance` tries each class at full size, the ordinary suite a few cases of each. HALO_ENDURANCE_SEED=7 tries
other cases, HALO_ENDURANCE_TRIES=200 that many of each class. A failure names its class, seed and number, and how to do it again.
"""

from __future__ import annotations

from collections.abc import Callable
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

pytestmark = pytest.mark.workflow

Recorded = Callable[[str, object], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The numbers of a class: a few, or many."""
    attack: Attack = metafunc.cls.attack
    numbers = attack.numbers(few="few" in metafunc.function.__name__)
    metafunc.parametrize("number", numbers, ids=[f"{attack.name}-{number}" for number in numbers])


class Attacked:
    """The tests of one class of attacks: a process of `pytest -n` takes a class, for what is made once."""

    attack: Attack

    def test_a_few_are_survived(self, number: int, tmp_path: Path, nursery: Nursery, made: Made, record_property: Recorded) -> None:
        self.one(number, tmp_path, nursery, made, record_property)

    @pytest.mark.slow
    def test_many_are_survived(self, number: int, tmp_path: Path, nursery: Nursery, made: Made, record_property: Recorded) -> None:
        self.one(number, tmp_path, nursery, made, record_property)

    def one(self, number: int, folder: Path, nursery: Nursery, made: Made, record_property: Recorded) -> None:
        record_property("endurance", self.attack.name)
        wrong = survived(self.attack, number, folder, nursery, made)
        if wrong:
            pytest.fail(wrong, pytrace=False)


class TestKill(Attacked):
    attack = KILL


class TestDamage(Attacked):
    attack = DAMAGE


class TestChange(Attacked):
    attack = CHANGE


class TestCaches(Attacked):
    attack = CACHES


class TestSignals(Attacked):
    attack = SIGNALS


class TestFolders(Attacked):
    attack = FOLDERS


class TestDisks(Attacked):
    attack = DISKS


class TestExtends(Attacked):
    attack = EXTENDS


class TestRows(Attacked):
    attack = ROWS


class TestObjectives(Attacked):
    attack = OBJECTIVES


class TestSettings(Attacked):
    attack = SETTINGS


class TestPlugins(Attacked):
    attack = PLUGINS


class TestThirdParties(Attacked):
    attack = THIRD_PARTIES
