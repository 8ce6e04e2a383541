"""The snapshot of messages has the wordings of tests that exist, and no other."""

from __future__ import annotations

import ast

from refusals import ROOT, SNAPSHOT, recorded


def test_every_wording_is_of_a_test_that_exists() -> None:
    gone = []
    for file, tests in recorded().items():
        path = ROOT / file
        there = (
            {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)} if path.exists() else set()
        )
        gone += [f"{file}::{name}" for name in tests if name.partition("[")[0] not in there]
    assert gone == [], f"take these out of {SNAPSHOT.name}"


def test_no_wording_holds_a_folder_of_one_machine() -> None:
    messages = [text for tests in recorded().values() for texts in tests.values() for text in texts]
    assert [text for text in messages if "/tmp/" in text or str(ROOT) in text or "pytest-of" in text] == []
