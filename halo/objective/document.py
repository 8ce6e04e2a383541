"""YAML text -> plain values, each with its place in the text.

YAML's own traps are refused with a hint instead of being read as something else: duplicate keys, `no` as False, `010`
as 8, `1:30` as 90, an unquoted arXiv number, anchors, tags, and a flow map cut in two by a formula's comma. `1e-6` is
read as the number that everyone means. Settings files are read through the same door.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path as Folder
from typing import Any

import yaml

from halo.errors import HaloError, ObjectiveError, Place

Path = tuple[str | int, ...]

MAX_CHARACTERS = 200_000
MAX_DEPTH = 20
MAX_DIGITS = 300

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?(0|[1-9]\d*)")
_TRAPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(yes|no|on|off|y|n)", re.I), "YAML reads it as true or false"),
    (re.compile(r"[-+]?0\d+"), "YAML reads a leading 0 as octal"),
    (re.compile(r"[-+]?\d+(:[0-5]?\d)+(\.\d*)?"), "YAML reads it as a number in base 60"),
    (re.compile(r"\d{4}\.\d{5}"), "an arXiv number would be read as a decimal number and lose its zeros"),
    (re.compile(r"[-+]?(\d+_[\d_]*|0[xXoObB][\da-fA-F]+)"), "YAML reads it as another number"),
)


@dataclass(frozen=True)
class Mark:
    """Where a value stands: character indices into `document.text`, `quoted` if the scalar has quotes."""

    document: Document = field(repr=False)
    start: int
    end: int
    quoted: bool = False

    def place(self, offset: int = 0, value: str | None = None) -> Place:
        """The place of character `offset` of the scalar `value` (which may have been folded by YAML)."""
        index = self.start + self.quoted  # past the quotation mark
        raw = self.document.text[index : self.end]
        if value is None or raw.startswith(value[: offset + 1]):
            return self.document.place(index + offset)
        return self.document.place(index + _aligned(raw, value, offset))


@dataclass(frozen=True)
class Document:
    """One YAML text. `value` holds dicts, lists, strings, numbers, booleans and None; `marks` their places.

    home     the folder of its file, if it has one
    foreign  it is what another file names: no message quotes its text
    """

    name: str
    text: str = field(repr=False)
    value: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict, repr=False)
    home: Folder | None = None
    foreign: bool = False

    def place(self, index: int) -> Place:
        """The place of the character at `index`."""
        before = self.text[:index]
        line = before.count("\n")
        lines = self.text.split("\n")
        shown = None if self.foreign else lines[min(line, len(lines) - 1)]
        return Place(self.name, line + 1, index - (before.rfind("\n") + 1) + 1, shown, self.foreign)


def read_document(
    text: str, name: str, error: type[HaloError] = ObjectiveError, *, home: Folder | None = None, foreign: bool = False
) -> Document:
    """Reads one YAML mapping; `name` is what messages call the file, `error` the class they are raised as."""
    bare = Document(name, text, home=home, foreign=foreign)

    def fail(code: str, message: str, index: int, hint: str = "") -> HaloError:
        return error(code, message, place=bare.place(index), hint=hint)

    if len(text) > MAX_CHARACTERS:
        raise fail("formula-limit", f"the file has {len(text)} characters", 0, f"at most {MAX_CHARACTERS} are read")
    try:
        node = _composed(text, fail)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        what, hint = " ".join(str(problem.problem or problem.context).split()), ""
        if "mapping values" in what or "character" in what:
            hint = "quote the formula"
        raise fail("yaml-syntax", f"not YAML: {what}", mark.index if mark else 0, hint) from None
    except yaml.YAMLError as problem:  # a control character: no mark
        raise error("yaml-syntax", f"not YAML: {str(problem).splitlines()[0]}", place=Place(name)) from None
    if node is None:
        raise error("empty-file", "the file is empty", place=Place(name), hint="an objective needs at least a name")
    if not isinstance(node, yaml.MappingNode):
        raise fail("wrong-value", "expected a mapping of keys to values", node.start_mark.index)
    marks: dict[Path, Mark] = {}
    value = _Reader(bare, marks, fail).read(node, ())
    return replace(bare, value=value, marks=marks)


def _composed(text: str, fail: Callable[..., HaloError]) -> yaml.Node | None:
    """The tree of nodes: by libyaml where PyYAML was built with it, which is ten times as fast.

    What libyaml refuses PyYAML reads once more: messages are PyYAML's own everywhere.
    """
    try:
        return _composed_by(getattr(yaml, "CSafeLoader", yaml.SafeLoader), text, fail)
    except yaml.YAMLError:
        return _composed_by(yaml.SafeLoader, text, fail)


def _composed_by(loader: Any, text: str, fail: Callable[..., HaloError]) -> yaml.Node | None:
    _refuse_constructs(loader, text, fail)
    node: yaml.Node | None = yaml.compose(text, Loader=loader)
    return node


def _refuse_constructs(loader: Any, text: str, fail: Callable[..., HaloError]) -> None:
    """Walks the event stream (which does not recurse) for anchors, tags and nesting before anything is composed."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        index = event.start_mark.index if event.start_mark else 0
        if depth > MAX_DEPTH:
            raise fail("formula-limit", f"nested more than {MAX_DEPTH} deep", index)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise fail("yaml-trap", "anchors and aliases are not read", index, "write the value out, or quote it")
        if getattr(event, "tag", None):
            raise fail("yaml-trap", "tags are not read", index, "quote the value")


class _Reader:
    """Turns composed nodes into values, noting the mark of each."""

    def __init__(self, document: Document, marks: dict[Path, Mark], fail: Callable[..., HaloError]) -> None:
        self.document, self.marks, self.fail = document, marks, fail

    def read(self, node: yaml.Node, path: Path) -> Any:
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
        self.marks[path] = Mark(self.document, node.start_mark.index, node.end_mark.index, quoted)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, i)) for i, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            start = key_node.start_mark.index
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail("wrong-value", "a key must be a plain word", start)
            key = key_node.value
            if key == "<<":
                raise self.fail("yaml-trap", "merge keys are not read", start, "use 'extends:'")
            if key in result:
                raise self.fail("duplicate-key", f"the key {key!r} stands twice", start, "YAML would keep only the last")
            if node.flow_style and value_node.value == "" and not value_node.style:
                hint = "a formula with a comma must be quoted inside { }"
                raise self.fail("yaml-trap", f"{key!r} is a key without a value", start, hint)
            result[key] = self.read(value_node, (*path, key))
            self.marks[(*path, key, "")] = Mark(self.document, start, key_node.end_mark.index)  # the key itself
        return result

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.style:  # a plain scalar has None in PyYAML and an empty text in libyaml
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false", "True", "False"):
            return text.lower() == "true"
        for pattern, why in _TRAPS:
            if pattern.fullmatch(text):
                raise self.fail("yaml-trap", f"{text} is ambiguous: {why}", node.start_mark.index, f'write "{text}"')
        if len(text) > MAX_DIGITS and (_INTEGER.fullmatch(text) or _NUMBER.fullmatch(text)):
            raise self.fail("formula-limit", f"a number of {len(text)} digits", node.start_mark.index, f"at most {MAX_DIGITS} are read")
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
        return text


def _aligned(raw: str, value: str, offset: int) -> int:
    """The index in `raw` of character `offset` of `value`, which YAML folded: white space is matched loosely."""
    i = 0
    for position, character in enumerate(value):
        while i < len(raw) and raw[i] != character and not (raw[i].isspace() and character.isspace()):
            i += 1
        if position == offset:
            return min(i, max(len(raw) - 1, 0))
        i += 1
    return 0
