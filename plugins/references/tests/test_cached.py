"""The cached reference: what it gives, what it loads and scores, and runs that share it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from halo_references import store as stores
from halo_references.cached import CachedReference
from halo_references.hooks import Cached
from halo_references.store import Store, Unusable, files
from tolerances import KEPT, RUN, SINGLE, assert_near
from torch import Tensor

from halo.cli.main import main
from halo.data.tokenized import Tail, TokenizedExample
from halo.plugin import Place, ReferenceContext
from halo.reference.fingerprint import weights_fingerprint
from halo.reference.frozen import FrozenReference
from halo.scoring.capability import choose_path
from halo.scoring.rows import RowBatch, build_rows
from halo.scoring.scorer import Scorer
from halo.training.model import loading
from halo.training.run import references

PAIRS = ("chosen", "rejected")


class Counting:
    """A model whose log-prob of a token is a number made of the ids up to it; counts loads, and the rows and prefixes it scores."""

    def __init__(self) -> None:
        self.loads, self.batches = 0, list[tuple[int, int]]()

    def requires_grad_(self, wanted: bool) -> None:
        assert not wanted

    def load(self) -> Counting:
        self.loads += 1
        return self

    def score(self, rows: RowBatch) -> Tensor:
        prefixes = [ids[:n].tolist() for ids, n in zip(rows.prefix_ids, rows.prefix_length, strict=True)]
        self.batches.append((len(prefixes) if rows.score_prefix else 0, int(rows.scored.any(1).sum())))
        flat, owners = [], rows.owner.tolist()
        for i, prefix in enumerate(prefixes if rows.score_prefix else ()):
            flat += logps([*prefix, int(rows.tail_ids[owners.index(i), 0])], range(1, len(prefix) + 1))
        for owner, ids, n, scored in zip(owners, rows.tail_ids, rows.tail_length, rows.scored, strict=True):
            begin = len(prefixes[owner])
            flat += logps(prefixes[owner] + ids[:n].tolist(), [begin + int(c) for c in torch.nonzero(scored)])
        return torch.tensor(flat)

    def context(self, folder: Path, numerics: str = "float32") -> ReferenceContext:
        return ReferenceContext(
            self.load, "counting", lambda model: model.score, 9, Cached(folder=str(folder)), fingerprint=lambda: "f" * 64, numerics=numerics
        )


def logps(ids: Sequence[int], places: Sequence[int]) -> list[float]:
    return [-sum(ids[: place + 1]) - ids[place] / 128 for place in places]


def example(prefix: Sequence[int], **tails: Sequence[int]) -> TokenizedExample:
    """Tails repeat the token before them, as tokenizing leaves it; the rest of each is scored."""
    made = {slot: (Tail((9, *ids), (False, *(True for _ in ids))),) for slot, ids in tails.items()}
    return TokenizedExample(tuple(prefix), made, Place("row"), str(prefix))


def expected(examples: Sequence[TokenizedExample], slots: Sequence[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in examples:
        for slot in slots:
            if slot == "prompt":
                row, places = [*one.prefix, 9], range(1, len(one.prefix) + 1)
            else:
                row = [*one.prefix, *one.tails[slot][0].ids]
                places = range(len(one.prefix) + 1, len(row))
            found.setdefault(slot, []).extend(logps(row, places))
    return found


def by_slot(reference: CachedReference, examples: Sequence[TokenizedExample], slots: Sequence[str]) -> dict[str, list[float]]:
    rows, layout = build_rows(examples, slots)
    flat = reference.logps(rows)
    assert flat.dtype == torch.float32
    return {slot: flat[layout.flat[slot]].tolist() for slot in slots}


A = example([1, 2], chosen=[3, 4], rejected=[5], mismatched=[7, 7])
B = example([1, 2], chosen=[5], rejected=[3, 4, 6], mismatched=[3, 4])  # one row of A's, and the mismatched one is A's chosen
C = example([], chosen=[1, 1], rejected=[2], mismatched=[8])  # an empty prompt


def test_it_loads_nothing_that_it_knows_and_scores_only_what_it_does_not(tmp_path: Path) -> None:
    first, later = Counting(), Counting()
    reference = CachedReference(first.context(tmp_path))
    assert first.loads == 0
    assert by_slot(reference, [A], PAIRS) == expected([A], PAIRS)
    assert (first.loads, first.batches) == (1, [(0, 2)])
    assert by_slot(reference, [C, B, A], PAIRS) == expected([C, B, A], PAIRS)
    assert (first.loads, first.batches[1:]) == (1, [(0, 3)])  # both of C, one of B
    again = CachedReference(later.context(tmp_path))
    assert by_slot(again, [B, C, A], PAIRS) == expected([B, C, A], PAIRS)
    assert by_slot(again, [B], ["mismatched"]) == expected([B], ["mismatched"])  # a row like any other
    assert later.loads == 0
    assert by_slot(again, [A, B], ["mismatched"]) == expected([A, B], ["mismatched"])
    assert (later.loads, later.batches) == (1, [(0, 1)])
    assert set(again.asked.values()) == {True, False}
    assert list(again.asked.values()).count(False) == 1
    assert ", 6 rows known" in again.describe()


def test_prompts_that_are_scored_too(tmp_path: Path) -> None:
    model, slots = Counting(), ("prompt", *PAIRS)
    reference = CachedReference(model.context(tmp_path))
    assert by_slot(reference, [A], ("prompt",)) == expected([A], ("prompt",))
    assert by_slot(reference, [A, C, B], PAIRS) == expected([A, C, B], PAIRS)
    D = example([4, 4, 4], chosen=[1], rejected=[2])
    assert by_slot(reference, [A, D, B], slots) == expected([A, D, B], slots)
    assert model.batches == [(1, 0), (0, 6), (1, 2)]  # A and B have one prompt
    E = example([4, 4, 4], chosen=[1], rejected=[3])
    assert by_slot(reference, [E, A], slots) == expected([E, A], slots)
    assert by_slot(reference, [example([4, 4], chosen=[9], rejected=[9])], ("prompt",))["prompt"] == logps([4, 4, 9], [1, 2])
    assert model.batches[3:] == [(0, 1), (1, 0)]
    F = example([6, 6], chosen=[1], rejected=[2])
    assert by_slot(reference, [F], PAIRS) == expected([F], PAIRS)
    assert by_slot(reference, [F], slots) == expected([F], slots)
    assert model.batches[5:] == [(0, 2), (1, 0)]  # its tails are known: one stands there only to say which token follows


def test_what_cannot_be_kept_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(self: Store, rows: object) -> None:
        raise Unusable("output-folder", "the disk is full")

    monkeypatch.setattr(Store, "put", full)
    reference = CachedReference(Counting().context(tmp_path))
    for _ in range(2):
        assert by_slot(reference, [A, B], PAIRS) == expected([A, B], PAIRS)
    assert capsys.readouterr().err.count("the disk is full") == 1
    assert "for this run only" in reference.describe()


# -- the embedded policy ---------------------------------------------------------------------------------------------


def real(folder: Path, loaded: list[int], numerics: str = "float64 sdpa packed cpu") -> ReferenceContext:
    def load() -> Any:
        loaded.append(1)
        return tiny.policy() if numerics.startswith("float64") else tiny.policy().float()

    def scorer(model: Any) -> Any:
        result = Scorer(model, "auto")
        choose_path(result, build_rows(tiny.examples("paired", PAIRS, 1), PAIRS)[0], True, next(model.parameters()).dtype)
        return lambda rows: result(rows)["logp"]

    return ReferenceContext(load, "tiny", scorer, 99, Cached(folder=str(folder)), fingerprint=lambda: "e" * 64, numerics=numerics)


@pytest.mark.numeric
@pytest.mark.parametrize("numerics", ["float32 sdpa packed cpu", "float64 sdpa packed cpu"])
def test_the_bits_of_a_frozen_one_in_the_same_groups_and_its_numbers_in_others(numerics: str, tmp_path: Path) -> None:
    loaded: list[int] = []
    examples = tiny.examples("paired", PAIRS, 8)
    frozen = FrozenReference(real(tmp_path, [], numerics))
    cached = CachedReference(real(tmp_path, [], numerics))
    groups = [build_rows(examples[i : i + 4], PAIRS)[0] for i in (0, 4)]
    wanted = [frozen.logps(rows) for rows in groups]
    assert all(torch.equal(cached.logps(rows), flat) for rows, flat in zip(groups, wanted, strict=True))
    again = CachedReference(real(tmp_path, loaded, numerics))
    for rows, flat in zip(groups, wanted, strict=True):
        found = again.logps(rows)
        assert torch.equal(found, flat)
        assert found.dtype == flat.dtype
    others, layout = build_rows(examples[::-1][1:6], PAIRS)
    assert_near(again.logps(others), frozen.logps(others), RUN if numerics.startswith("float64") else SINGLE)
    assert loaded == []
    assert len(layout.flat["chosen"])


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that runs load, policies among them. The cache is a fresh one."""
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    found, real_one = list[str](), references.load_model
    for module in (references, loading):  # the reference's and the policy's
        monkeypatch.setattr(module, "load_model", lambda name, settings: found.append(name) or real_one(name, settings))
    return found


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """The flags of a small run on six pairs."""
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(tiny.FEEDBACK.read_text().splitlines()[:6]))
    quick = ["--num-train-epochs", "2", "--batch-size", "3", "--learning-rate", "1e-3", "--warmup-ratio", "0", "--check", "false", "--dtype", "float64"]
    return ["--model", str(tiny.POLICY), "--data", str(data), *quick]


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


def test_the_second_run_loads_no_reference_whatever_else_changes(loads: list[str], run: list[str], tmp_path: Path) -> None:
    def trained(name: str, objective: str, *flags: str, reference: str = "cached") -> int:
        loads.clear()
        assert main(["train", objective, *run, *flags, "--reference", reference, "--output-dir", str(tmp_path / name)]) == 0
        return len(loads)

    assert trained("frozen", "dpo", reference="frozen") == 2
    assert trained("first", "dpo") == 2
    assert trained("second", "dpo", "--set", "beta=0.5") == 1
    assert trained("other", "ipo") == 1
    assert trained("same", "dpo") == 1
    assert losses(tmp_path / "first") == pytest.approx(losses(tmp_path / "frozen"), rel=RUN)
    assert losses(tmp_path / "same") == losses(tmp_path / "first")
    run[run.index("--batch-size") + 1] = "1"
    assert trained("split", "dpo", "--gradient-accumulation-steps", "3", "--precompute-ref-log-probs") == 1
    assert losses(tmp_path / "split") == pytest.approx(losses(tmp_path / "frozen"), rel=KEPT)
    run[run.index("--dtype") + 1] = "float32"
    assert trained("single", "dpo") == 2
    assert len(files(tmp_path / "cache" / "reference")) == 2


def test_a_trained_folder_has_a_file_of_its_own(loads: list[str], run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", *run, "--reference", "cached", "--output-dir", str(tmp_path / "first")]) == 0
    run[run.index("--model") + 1] = str(tmp_path / "first")
    for counted in (2, 1):
        loads.clear()
        assert main(["train", "dpo", *run, "--reference", "cached", "--output-dir", str(tmp_path / f"then{counted}")]) == 0
        assert len(loads) == counted
    line = capsys.readouterr().out.rsplit("reference  ", 1)[1].splitlines()[0]
    assert line.endswith(f", 12 rows known, weights {weights_fingerprint(str(tmp_path / 'first'))[:12]}")
    assert len(files(tmp_path / "cache" / "reference")) == 2


def test_kto_reads_the_rows_of_pairs_and_its_mismatched_ones(loads: list[str], run: list[str], tmp_path: Path) -> None:
    for name, objective, counted in (("pairs", "dpo", 2), ("first", "kto", 2), ("second", "kto", 1)):
        loads.clear()
        assert main(["train", objective, *run, "--reference", "cached", "--output-dir", str(tmp_path / name)]) == 0
        assert len(loads) == counted


def test_log_probs_of_another_model_do_not_pass(loads: list[str], run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "elsewhere"
    arguments = ["train", "dpo", *run, "--reference", f"cached:folder={folder}", "--output-dir"]
    assert main([*arguments, str(tmp_path / "first")]) == 0
    (file,) = files(folder)
    told = stores.about(file)
    store = Store(folder, told.fingerprint, told.numerics, told.model)
    rows = store._connection.execute("SELECT key, logps FROM rows").fetchall()
    store._connection.execute("DELETE FROM rows")
    store.put({key: (torch.frombuffer(bytearray(kept[4:]), dtype=torch.float64) - 0.1).numpy().tobytes() for key, kept in rows})
    assert main([*arguments, str(tmp_path / "second")]) == 1
    assert "policy and reference differ by 0.1 nats" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()


def test_bad_files_folders_and_objectives(loads: list[str], run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(objective: str, reference: str) -> str:
        assert main(["train", objective, *run, "--reference", reference, "--output-dir", str(tmp_path / "run")]) == 2
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    (tmp_path / "file").write_text("mine")
    assert f"{tmp_path / 'file'}: the cache of reference log-probs is to be a folder" in said("dpo", f"cached:folder={tmp_path / 'file'}")
    assert "did you mean 'folder'" in said("dpo", "cached:fodler=x")
    assert "gives no whole distribution" in said("tdpo1", "cached")
    kept = Store(tmp_path / "bad", weights_fingerprint(str(tiny.POLICY)), "float64 sdpa packed cpu", "m").path
    kept.write_text("half of it")
    message = said("dpo", f"cached:folder={tmp_path / 'bad'}")
    assert message.count("\n") == 1
    assert f"{kept}: this is no cache of reference log-probs, or it is damaged" in message
