"""A graph as text: the stage `graph` of `halo show`, and a node in the notation of formulas."""

from __future__ import annotations

from collections.abc import Iterator

from halo.compiler.graph import LossGraph, Node, topological
from halo.objective.formula import PRECEDENCE, SYMBOLS, number_text


def show(graph: LossGraph, places: bool = True) -> str:
    """The graph as text: one line for each named quantity with its axes, formula and (`places`) where it stands in the file."""
    lines = [f"objective {graph.name}  (feedback: {graph.feedback})"]
    needs = graph.needs
    lines.append(f"needs     log-probs of {', '.join(needs.slots)}; gradient in {', '.join(needs.gradient) or 'none'}")
    reference = "yes" if needs.reference else "no"
    lines.append(f"          reference {reference}; known over the batch first: {', '.join(needs.coupled) or 'none'}")
    if needs.words:
        lines.append(f"          over the full vocabulary: {', '.join(needs.words)}")
    for name, running in graph.statistics.items():
        update = "everything seen" if running.decay is None else f"ema({running.decay})"
        lines.append(f"{name} = {text(running.observed, graph.labels)} of the batch, {update}, from {float(running.start):g}")
    lines.extend(_named_lines(graph, places))
    return "\n".join(lines) + "\n"


def _named_lines(graph: LossGraph, places: bool) -> Iterator[str]:
    names = dict(graph.labels)
    width = max((len(name) for name in names.values()), default=0)
    for node in topological(graph.everything()):
        if node not in names:
            continue
        origin = graph.origins.get(node)
        axes = "[" + ", ".join(node.axes) + "]"
        line = f"{names[node]:<{width}} {axes:<23} = {text(node, names, top=True)}"
        if origin and places:
            line += f"   # {origin.key}, {origin.place}"
        yield line


def text(node: Node, names: dict[Node, str], outer: int = -1, top: bool = False) -> str:
    """A node in the notation of formulas; nodes in `names` appear by name."""
    if node in names and not top:
        return names[node]
    if node.op == "number":
        written = number_text(node.data)
        if outer >= PRECEDENCE["pow"] and not written.replace(".", "").isdigit():  # x**(1/3)
            return f"({written})"
        return written
    if node.op in ("parameter", "statistic", "examples"):
        return str(node.data or "examples")
    if node.op in ("input", "mask"):
        return f"{node.slot}.{node.data}".removeprefix(".")
    if node.op == "apply" and node.data in SYMBOLS:
        level = PRECEDENCE[node.data]
        left, right = (text(a, names, level + tight) for a, tight in zip(node.args, (0, 1), strict=True))
        joined = f"{left}{SYMBOLS[node.data]}{right}"
        if level < outer:
            return f"({joined})"
        return joined
    if node.op == "apply" and node.data == "neg":
        return f"-{text(node.args[0], names, PRECEDENCE['neg'])}"
    inner = [text(a, names) for a in node.args]
    if node.op == "reduce":
        return f"{node.data}[{', '.join(node.over)}]({' if '.join(inner[:2])})"
    if node.op == "order":
        return f"{node.data}[{node.over[0]}]({inner[0]})"
    if node.op in ("view", "select", "stop"):
        return f"{node.data or node.op}({inner[0]})"
    return f"{node.data}({', '.join(inner)})"
