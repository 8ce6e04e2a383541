"""The theorems in the docs: every page runs, prints what it shows, and its proofs and witnesses survive an attack.

`python tests/docs/test_theorems.py` writes what the pages print into them. Read the difference before you keep it.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from halo.compiler.checks.theorem import Answer, Setting

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "theorems"
PAGES = sorted(FOLDER.glob("*.md"))
PROGRAM = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", flags=re.S)
POINTS = 40

Asked = tuple[Setting, Answer]


def run(page: Path) -> tuple[list[str], list[Asked]]:
    """What each block of a page prints, the page being one program, and every statement it had decided."""
    asked: list[Asked] = []

    class Recorded(Setting):
        def holds(self, statement: str, **first: str) -> Answer:
            answer = super().holds(statement, **first)
            asked.append((self, answer))
            return answer

    namespace: dict[str, Any] = {"__name__": page.stem}
    printed = []
    for code, _ in PROGRAM.findall(page.read_text()):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            program = compile(code.replace("import Setting", "import Setting as _"), str(page), "exec")
            exec(program, namespace | {"Setting": Recorded} if "Setting" not in namespace else namespace)
        printed.append(out.getvalue())
    return printed, asked
