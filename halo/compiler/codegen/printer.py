"""A node -> torch text. Shapes are aligned here: an axis that an operand lacks becomes `None` in an index."""

from __future__ import annotations

from halo.compiler.graph import Node, topological
from halo.objective.formula import PRECEDENCE
from halo.objective.vocabulary import FUNCTIONS

OWN = {
    "only": "words.only({0}, {1})",
    "and": "{0} & {1}",
    "at_least_one": "torch.clamp({0}, min=1)",
    "one_if_none": "words.one_if_none({0})",
}
_ATOM, _LOOSE = 9, -1


def printed(node: Node, names: dict[Node, str]) -> str:
    """The expression of `node`; nodes in `names` (but itself) appear by name."""
    text = _expression(node, names)[0]
    if node.data == "and":
        return text[1:-1]  # the parentheses are for what stands around it
    return text


def _held(text: str, tight: int, needed: int = _ATOM) -> str:
    """The text, in parentheses where it binds less tightly than what stands around it needs."""
    if tight >= needed:
        return text
    return f"({text})"


def _reference(node: Node, names: dict[Node, str]) -> tuple[str, int]:
    if node in names:
        return names[node], _ATOM
    return _expression(node, names)


def _expression(node: Node, names: dict[Node, str]) -> tuple[str, int]:
    """Text and how tightly it binds."""
    if node.op == "number":
        return _number(node)
    if node.op in ("parameter", "tensor", "statistic"):
        return str(node.data), _ATOM
    if node.op in ("examples", "weight", "mask", "input"):
        return _field(node), _ATOM
    if node.op == "view":
        return _reference(node.args[0], names)
    if node.op == "select":
        return f"words.pick({_reference(node.args[0], names)[0]}, batch.{node.data})", _ATOM
    if node.op == "stop":
        inner = _held(*_reference(node.args[0], names))
        return (inner if node.args[0].plain else f"{inner}.detach()"), _ATOM
    if node.op == "order":
        return f"words.{node.data}({', '.join(_fitted(a, node.axes, names)[0] for a in node.args)})", _ATOM
    if node.op == "reduce":
        return _reduction(node, names)
    return _application(node, names)


def _field(node: Node) -> str:
    """A tensor of the batch, or of one of its completions."""
    if node.op == "examples":
        return "batch.examples"
    if node.op == "weight":
        return "batch.weights"
    if node.slot:
        return f"{node.slot}.{node.data}"
    if node.op == "input" and node.axes:
        return f"batch.columns[{node.data!r}]"
    return f"batch.{node.data}"


def _number(node: Node) -> tuple[str, int]:
    value = node.data
    whole = value.denominator == 1 and abs(value) < 2**53  # a larger int would not fit torch's scalars
    text = str(value.numerator) if whole else repr(float(value))
    if value < 0:
        return text, PRECEDENCE["neg"]
    return text, _ATOM


def _fitted(node: Node, axes: tuple[str, ...], names: dict[Node, str]) -> tuple[str, int]:
    """`node` as an operand of something with `axes`."""
    text, tight = _reference(node, names)
    missing = [axis for axis in axes if axis not in node.axes]
    if not node.axes or not missing:
        return text, tight
    index = ", ".join(":" if axis in node.axes else "None" for axis in axes)
    return f"{_held(text, tight)}[{index}]", _ATOM


def _operands(node: Node, names: dict[Node, str]) -> tuple[tuple[str, ...], list[str]]:
    """The axes that a reduction's arguments have together, and each of them, but for the weights, with these."""
    present = tuple(axis for axis in ("example", "list", "other", "token") if any(axis in a.axes for a in node.args))
    return present, [_fitted(a, present, names)[0] for a in _weighed(node)]


def _weighed(node: Node) -> list[Node]:
    """What a reduction is of: its value, and its mask if there is one."""
    first, *more = node.args
    return [first, *(a for a in more if a.op != "weight")]


def _weights(node: Node, present: tuple[str, ...], names: dict[Node, str]) -> str:
    """The last argument of a reduction over examples that have weights."""
    for argument in node.args[1:]:
        if argument.op == "weight":
            return f", weights={_fitted(argument, present, names)[0]}"
    return ""


def printed_operands(node: Node, names: dict[Node, str]) -> str:
    """What a reduction over everything is of: the value and its mask."""
    present, operands = _operands(node, names)
    return ", ".join([*operands, "None"][:2]) + _weights(node, present, names)


def _reduction(node: Node, names: dict[Node, str]) -> tuple[str, int]:
    present, operands = _operands(node, names)
    if node.data == "count" and not node.over:  # one for each: torch reads no dimensions as all of them
        return _count_of_each(operands), _ATOM
    dims = _dimensions(node, present)
    weights = _weights(node, present, names)
    if len(operands) == 1 and node.data in ("total", "mean") and not weights:
        method = {"total": "sum", "mean": "mean"}[node.data]
        return f"{_held(*_fitted(node.args[0], present, names))}.{method}({dims})", _ATOM
    if len(operands) == 1:
        operands.append("None")
    if dims:
        operands.append(dims)
    return f"words.{node.data}({', '.join(operands)}{weights})", _ATOM


def _count_of_each(operands: list[str]) -> str:
    """How many there are where nothing is added up: one, or none where the mask says so."""
    if len(operands) > 1:
        return f"{operands[1]}.to({operands[0]}.dtype)"
    return f"torch.ones_like({operands[0]})"


def _dimensions(node: Node, present: tuple[str, ...]) -> str:
    """The dimensions that a reduction takes away, counted from the last; no text for all of them."""
    dims = [present.index(axis) - len(present) for axis in node.over]
    if len(dims) == len(present):
        return ""
    if len(dims) == 1:
        return str(dims[0])
    return str(tuple(dims))


def _application(node: Node, names: dict[Node, str]) -> tuple[str, int]:
    if node.data in OWN:
        operands = [_fitted(a, node.axes, names) for a in node.args]
        if node.data == "and":
            return f"({' & '.join(text for text, _ in operands)})", _ATOM
        return OWN[node.data].format(*(text for text, _ in operands)), _ATOM
    row = FUNCTIONS[node.data]
    template = row.plain if node.plain else row.torch
    if _may_be_steep(node):
        return f"words.power({', '.join(_fitted(a, node.axes, names)[0] for a in node.args)})", _ATOM
    if node.data in PRECEDENCE:
        return _operator(node, template, names)
    operands = [_fitted(a, node.axes, names) for a in node.args]
    if node.data == "where" and not node.plain:
        operands = _choice(node, operands)
    needed = _ATOM if "-{0}" in template else _LOOSE
    texts = [_held(text, tight, needed) for text, tight in operands]
    if "{*}" in template:
        text = template.replace("{*}", ", ".join(texts))
    else:
        text = template.format(*texts)
    if template.startswith("-"):
        return text, PRECEDENCE["neg"]
    return text, _ATOM


def _choice(node: Node, operands: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """torch.where wants a tensor as its condition, and takes the type of two Python numbers for float32."""
    like = _like(node)
    (condition, _), (yes, tight), no = operands
    if node.args[0].plain:
        condition = f"{like}.new_tensor({condition}, dtype=torch.bool)"
    if node.args[1].plain and node.args[2].plain:
        yes = f"{like}.new_tensor({yes})"
    return [(condition, _ATOM), (yes, tight), no]


def _like(node: Node) -> str:
    """A tensor of the type that the numbers of a node have."""
    leaves = [inner for inner in topological([node]) if inner.op in ("tensor", "statistic", "input", "mask") and not inner.plain]
    owner = next((leaf.slot for leaf in leaves if leaf.slot), "")
    if owner:
        return f"{owner}.logp"
    other = next((leaf for leaf in leaves if leaf.op != "mask"), None)
    if other is None:  # labels and places of a list alone: theirs is the one slot `completion`
        return "batch.completion.logp"
    if other.op == "input":
        return f"batch.columns[{other.data!r}]"
    return str(other.data)


def _may_be_steep(node: Node) -> bool:
    """Whether a node is a power whose slope may be infinite where its base is 0: the exponent is no whole number, and may be below 1."""
    if node.data != "pow" or node.args[0].plain:
        return False
    exponent = node.args[1]
    return exponent.op != "number" or (exponent.data.denominator != 1 and exponent.data < 1)


def _operator(node: Node, template: str, names: dict[Node, str]) -> tuple[str, int]:
    level = PRECEDENCE[node.data]
    # a right operand of the same level keeps its parentheses, so that floating point follows the file's own order;
    # a power binds to the right, so that its left one does
    tighter = 0 if node.data == "pow" else 1
    texts = []
    for position, argument in enumerate(node.args):
        text, tight = _fitted(argument, node.axes, names)
        texts.append(_held(text, tight, level + (position == tighter)))
    return template.format(*texts), level
