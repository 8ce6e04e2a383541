"""Words that change the level of a quantity: over tokens, over a list, over the batch, over the examples."""

from __future__ import annotations

from halo.compiler.graph import AXES, Node, topological
from halo.compiler.lowering.context import Context, Site
from halo.compiler.lowering.ordering import of_rows, rowless
from halo.objective.document import Path
from halo.objective.feedback import list_kinds
from halo.objective.formula import Call, Formula, to_text
from halo.objective.vocabulary import LIST_POPULATIONS, REDUCTIONS


class Levels(Context):
    """Lowers reductions; their arguments are any expression."""

    def reduction(self, formula: Call, site: Site) -> Node:
        self.check_arity(formula, (1, 1), site)
        over = {"token": self.over_tokens, "list": self.over_list, "batch": self.over_batch}
        return over[REDUCTIONS[formula.function].over](formula, site)

    def over_tokens(self, formula: Call, site: Site) -> Node:
        value = self.expression(formula.arguments[0], site)
        if value.tokens is None:
            message = f"{formula.function}() is over tokens, but {to_text(formula.arguments[0])} has none"
            raise self.fail("wrong-level", message, site.path, formula.offset, "it is one number for each completion already")
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, self.token_mask(value), ("token",))

    def token_mask(self, value: Node) -> Node:
        assert value.tokens is not None
        slot, axis = value.tokens
        if axis:
            return self.build.make(op="mask", data="mask", slot=slot, axes=("example", axis, "token"), tokens=value.tokens)
        if self.feedback.several(slot):  # the tokens of a selected completion
            which = next(node.data for node in topological([value]) if node.op == "select" and node.tokens)
            whole = self.build.make(op="mask", data="mask", slot=slot, axes=("example", "list", "token"), tokens=(slot, "list"))
            return self.build.select(which, whole)
        return self.build.make(op="mask", data="mask", slot=slot, axes=("example", "token"), tokens=value.tokens)

    def over_list(self, formula: Call, site: Site) -> Node:
        if not self.is_list:
            raise self.fail("wrong-level", f"{formula.function}() needs {list_kinds()} feedback", site.path, formula.offset)
        populations: set[str] = set()
        value = self.expression(formula.arguments[0], self.inner_site(site, populations))
        if len(populations) != 1:
            message = f"{formula.function}() ranges over {', '.join(sorted(populations)) or 'nothing'}"
            hint = f"name one population inside: {', '.join(LIST_POPULATIONS)}"
            raise self.fail("wrong-level", message, site.path, formula.offset, hint)
        if "token" in value.axes:
            raise self.fail(
                "wrong-level", f"{formula.function}() of a token quantity", site.path, formula.offset, "write sum(...) or mean(...) first"
            )
        (population,) = populations
        axes = ("example", "other") if population == "all" else ("example", "list", "other")
        mask = self.build.make(op="mask", data=population, axes=axes)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, mask, ("other",))

    def over_batch(self, formula: Call, site: Site) -> Node:
        value, mask = self.over_everything(f"{formula.function}()", formula.arguments[0], site, formula.offset)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, mask, AXES, batch=True)

    def over_everything(self, what: str, inner: Formula, site: Site, offset: int = 0) -> tuple[Node, Node | None]:
        """What a batch word or a statistic reduces: its argument, and which of its numbers are there."""
        roles: set[str] = set()
        value = self.expression(inner, Site(site.path, None, {}, None, roles))
        if "example" not in value.axes:
            raise self.fail("wrong-level", f"{what} of nothing that varies over the batch", site.path, offset)
        if "token" in value.axes:
            raise self.fail("wrong-level", f"{what} of a token quantity", site.path, offset, "write sum(...) or mean(...) first")
        masks = []
        for role in sorted(roles):
            mask = self.member_mask(role)
            if mask is not None and set(mask.axes) <= set(value.axes):
                masks.append(mask)
        self.check_rows([value, *masks], site.path, offset)
        return value, self.all_of(masks)

    def over_examples(self, formula: Call, site: Site) -> Node:
        """`mean` and `sum` in the examples step of `reduce` run over examples."""
        self.check_arity(formula, (1, 1), site)
        value = self.expression(formula.arguments[0], site)
        return self.build.reduce(REDUCTIONS[formula.function].torch, value, None, AXES, batch=True)

    def check_rows(self, arguments: list[Node], path: Path, offset: int = 0, beside: str = "a number of each row") -> None:
        """What is sorted over the batch has lost its row: the number of an example means nothing beside it."""
        if rowless(arguments) and of_rows(arguments):
            message = f"what batch_sort() sorts has lost its row, and is combined with {beside}"
            hint = "combine before sorting, inside batch_sort(...); beside it stand other sorts, parameters and batch words"
            raise self.fail("wrong-level", message, path, offset, hint)
