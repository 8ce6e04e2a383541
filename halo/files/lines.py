"""JSON lines that are only ever added to. A line that a dying process left torn is dropped, with a word."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any

from halo.errors import DataError, Place
from halo.files.regular import check_regular
from halo.files.whole import whole


def as_line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of UTF-8. One that holds half a surrogate pair, which UTF-8 has no bytes for, is written in ASCII."""
    try:
        return (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(record, default=str) + "\n").encode()


@dataclass(frozen=True)
class Lines:
    """A file of one JSON object a line."""

    file: Path

    def add(self, record: Mapping[str, Any], durable: bool = False) -> None:
        """One line more, in one write; `durable` waits for the disk. Raises OSError with what was there before still there."""
        self.add_all([record], durable)

    def add_all(self, records: Iterable[Mapping[str, Any]], durable: bool = False) -> None:
        """Several lines more, in one write."""
        if self.file.exists():
            check_regular(self.file)
        data = b"".join(map(as_line, records))
        with self.file.open("ab", buffering=0) as stream:  # a buffer would be written again when it is closed
            start = stream.tell()
            try:
                if stream.write(data) != len(data):
                    raise OSError(ENOSPC, os.strerror(ENOSPC))
            except OSError:
                stream.truncate(start)  # a full disk took half of the line
                raise
            if durable:
                os.fsync(stream.fileno())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The whole lines. A last one without its end is none. Raises DataError at a line that is damaged."""
        if not self.file.is_file():
            return
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.endswith(b"\n"):
                    yield self._read(line, number)

    def mend(self) -> str:
        """Cuts off a torn last line; returns what was cut, or nothing. Raises DataError at a line that is damaged."""
        if not self.file.is_file():
            return ""
        whole_lines, torn = 0, b""
        with self.file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.endswith(b"\n"):
                    torn = line
                    break
                self._read(line, number)
                whole_lines += len(line)
        if torn:
            os.truncate(self.file, whole_lines)
        return torn.decode(errors="replace")

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Only the lines that are wanted stay, in a new file that takes the old one's place; returns the others."""
        if not self.file.is_file():
            return []
        dropped = []
        with whole(self.file) as draft, draft.open("w", encoding="utf-8") as stream:
            for record in self:
                if wanted(record):
                    stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                else:
                    dropped.append(record)
        return dropped

    def _read(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            hint = "something else wrote to it; take the line out"
            raise DataError("data-row", "a line that is no JSON object", place=Place(str(self.file), number), hint=hint)
        return found
