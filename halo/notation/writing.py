"""A `Formula` -> written mathematics. What a paper abbreviates is abbreviated: sum(logp - ref_logp) is a log-ratio of y.

The completion at hand goes along, as in lowering: a bare `length` is |y|, `rejected.length` is |y_l|.
"""

from __future__ import annotations

from collections.abc import Mapping

from halo.notation.keys import Keys
from halo.notation.names import AMONG, BATCH, DISTRIBUTIONS, EXPECTATION, MODELS
from halo.notation.pens import PRODUCT, SUM, Pen, Piece
from halo.notation.signs import simplified
from halo.notation.symbols import Completion, Symbol, completion, declared_symbols, escaped
from halo.objective.formula import Call, Formula, Name, Number, number_text, numbers_and_names, parsed
from halo.objective.loading import Objective
from halo.objective.vocabulary import FULL_VOCABULARY, FUNCTIONS, LETTERS, LIST_POPULATIONS, PLACINGS, REDUCTIONS


class Writer(Keys):
    """Writes the formulas of one objective with one pen.

    `seen` collects what was named (kind and name), with the term it was named in.
    """

    def __init__(self, objective: Objective, pen: Pen) -> None:
        super().__init__(objective)
        self.pen = pen
        self.symbols = declared_symbols(objective.declaration)
        self.seen: dict[tuple[str, str], str] = {}

    def write(self, formula: Formula, role: str, scope: Mapping[str, Piece] | None = None) -> Piece:
        """One formula, with `role`'s completion at hand ("" for any); `scope` says what z and loss are."""
        return _Sentence(self, role, scope or {}).write(simplified(formula))

    def note(self, kind: str, name: str) -> None:
        self.seen.setdefault((kind, name), self.term)

    # -- completions -----------------------------------------------------------------------------------------------

    def completion(self, role: str) -> str:
        """The symbol of a role's completion."""
        self.note("role", role)
        return self.pen.symbol(completion(role).symbol())

    def length(self, role: str) -> Piece:
        return Piece(self.pen.around("|", self.completion(role), "|"))

    def likelihood(self, model: str, role: str, token: bool, of: str = "") -> Piece:
        """pi(y | x), or of one token given those before it: the one that came, or what `of` writes instead."""
        self.note("model", model)
        whose: Completion = completion(role)
        self.note("role", role)
        spelling, given = self.pen.symbol, []
        if role != "prompt":
            given.append(spelling(completion("prompt").symbol()))
        if self.declared.control:
            given.append("c")
        if token:
            given.append(spelling(whose.symbol("<t")))
        text = of or spelling(whose.symbol("t" if token else ""))
        if given:
            text += self.pen.pick(r" \mid ", "|") + self.pen.pick(", ", ",").join(given)
        return Piece(f"{self.pen.symbol(MODELS[model])}({text})")

    def log_likelihood(self, model: str, role: str, token: bool) -> Piece:
        return Piece(self.pen.pick(r"\log", "log ") + self.likelihood(model, role, token).text, PRODUCT, "factor")

    def over_vocabulary(self, word: str, role: str) -> Piece:
        """An entropy, a divergence or log sum_v p_v^2 of next-token distributions."""
        pick = self.pen.pick

        def distribution(model: str) -> str:
            return self.likelihood(model, role, token=True, of=pick(r"\cdot", "·")).text

        if word == "log_sum_sq_probs":
            token = self.likelihood("logp", role, token=True, of="v").text
            return Piece(pick(rf"\log \sum_{{v}} {token}^{{2}}", f"log Σ_v {token}²"), PRODUCT, "summand")
        models = DISTRIBUTIONS[word]
        name = "H" if len(models) == 1 else "KL"
        inside = pick(r" \,\|\, ", " ‖ ").join(distribution(model) for model in models)
        return Piece(pick(rf"\mathrm{{{name}}}", name) + self.pen.around("(", inside, ")"))

    def reward(self, role: str) -> Piece:
        """r(x, y), the implied reward; a term with a reward of its own adds its name."""
        own, name = "", self.pen.pick(r"r_\theta", "r_θ")
        if any(self.key(key)[0][0] == "terms" for key in ("reward", "normalizer")):
            own, name = self.term, self.pen.pick(rf"r_{{\theta,{roman(self.term)}}}", f"r_{{θ,{self.term}}}")
        self.note("reward", own)
        return Piece(f"{name}({self.pen.pick('x, ', 'x,')}{self.completion(role)})")


def roman(name: str) -> str:
    """A name of the file, upright."""
    return rf"\mathrm{{{escaped(name)}}}"


class _Sentence:
    """One formula being written: the writer, the completion at hand, and what z and loss are called here."""

    def __init__(self, writer: Writer, role: str, scope: Mapping[str, Piece]) -> None:
        self.writer, self.pen, self.role, self.scope = writer, writer.pen, role, scope

    def write(self, formula: Formula) -> Piece:
        if isinstance(formula, Number):
            return self.number(formula)
        if isinstance(formula, Name):
            return self.name(formula)
        if formula.function in REDUCTIONS:
            return self.reduction(formula)
        return self.operator(formula) or self.function(formula)

    def number(self, number: Number) -> Piece:
        text = number_text(abs(number.value))
        top, slash, bottom = text.partition("/")
        head, power_of_ten, exponent = text.partition("e")
        if slash:
            piece = self.pen.fraction(Piece(top), Piece(bottom))
        elif power_of_ten:
            piece = self.pen.power(Piece("10"), Piece(str(int(exponent))))
            if head not in ("1", "1.0"):
                piece = Piece(self.pen.joined(head, piece.text), PRODUCT)
        else:
            piece = Piece(text)
        if number.value < 0:
            return self.pen.negated(piece)
        return piece

    def name(self, name: Name) -> Piece:
        role, writer, word = name.role or self.role, self.writer, name.name
        if word in self.scope:
            return self.scope[word]
        if word in writer.symbols:
            return self.declared(name, role)
        if word in MODELS:
            return writer.log_likelihood(word, role, token=True)
        if word in FULL_VOCABULARY:
            return writer.over_vocabulary(word, role)
        if word == "length":
            return writer.length(role)
        if word == "reward":
            return writer.reward(role)
        if word == "position":
            return Piece("t")
        if word == "vocab_size":
            return Piece("|V|")
        called = "s" if word == "score" else self.pen.pick(roman(word), word)
        return Piece(f"{called}({writer.completion(role)})")

    def declared(self, name: Name, role: str) -> Piece:
        """A parameter by its symbol; a let or column with the completion it is of, and t where it is one number per token."""
        writer, bare = self.writer, Name(name.name)
        writer.note(self.kind(name.name), name.name)
        symbol = self.pen.name(writer.symbols[name.name])
        if not writer.local(bare):
            return symbol
        owner = writer.tokens(bare, role)
        if owner is None:
            return Piece(f"{symbol.text}({writer.completion(role)})")
        text = f"{symbol.text}_t"
        if "_" in symbol.text.replace(r"\_", ""):  # one subscript already
            text = self.pen.pick(f"{{{symbol.text}}}_t", f"{symbol.text},t")
        if name.role:
            text += f"({writer.completion(role)})"
        return Piece(text)

    def kind(self, name: str) -> str:
        """What a name is declared as, as far as the legend tells them apart."""
        if name in self.writer.declared.let:
            return "let"
        if name in self.writer.declared.statistics:
            return "statistic"
        return "given"

    # -- operators and functions -----------------------------------------------------------------------------------

    def operator(self, formula: Call) -> Piece | None:
        pen, arguments = self.pen, formula.arguments
        if formula.function == "sub" and (ratio := self.ratio(formula, token=True)):
            return ratio
        if formula.function == "where":
            condition = self.write(arguments[0]).text
            rows = [(self.write(arguments[1]), pen.pick(rf"\text{{if }} {condition}", f"if {condition}"))]
            return pen.cases([*rows, (self.write(arguments[2]), pen.words("otherwise"))])
        inner = [self.write(argument) for argument in arguments]
        match formula.function:
            case "add":
                return pen.plus(*inner)
            case "sub":
                return pen.minus(*inner)
            case "mul":
                return pen.times(*inner)
            case "neg":
                return pen.negated(inner[0])
            case "pow":
                return pen.power(*inner)
            case "div" if isinstance(arguments[1], Number) and inner[0].reach:
                return pen.shared(inner[1], inner[0])  # 1/2 log(...) rather than a tall fraction
            case "div":
                return pen.fraction(*inner)
            case "lt" | "le" | "gt" | "ge":
                return Piece(f"{inner[0].text} {pen.pick(*FUNCTIONS[formula.function].names(formula.function))} {inner[1].text}", SUM)
        return None

    def function(self, formula: Call) -> Piece:
        pen, arguments = self.pen, formula.arguments
        if formula.function == "log" and isinstance(arguments[0], Call) and arguments[0].function == "div":
            return pen.log_ratio(*(self.write(argument) for argument in arguments[0].arguments))
        if formula.function in PLACINGS:
            return self.placed(formula.function, arguments[0])
        inner = [self.write(argument) for argument in arguments]
        x = inner[0]
        match formula.function:
            case "stop":
                self.writer.note("word", "stop")
                return Piece(pen.pick(r"\operatorname{sg}", "sg") + pen.around("[", x.text, "]"))
            case "exp":
                return pen.exp(x)
            case "log":
                return pen.log(x)
            case "logsigmoid":
                return pen.log_sigma(x)
        return self.of_row(formula.function, inner)

    def of_row(self, word: str, inner: list[Piece]) -> Piece:
        """A function as its row says: in other words, within a fence, by a template, or by name."""
        row, pen = FUNCTIONS[word], self.pen
        if row.written:
            scope = dict(zip(LETTERS, inner, strict=False))
            return _Sentence(self.writer, self.role, scope).write(parsed(row.written))
        if row.fence:
            return Piece(pen.around(row.fence, inner[0].text, row.fence))
        name = pen.pick(*row.names(word))
        if "{x}" in name:
            return Piece(name.replace("{x}", inner[0].text))
        return pen.call(name, *inner)

    def ratio(self, formula: Formula, token: bool) -> Piece | None:
        """logp - ref_logp as the logarithm of a ratio; of one token, or of the whole completion."""
        if not (isinstance(formula, Call) and formula.function == "sub"):
            return None
        left, right = formula.arguments
        if not (isinstance(left, Name) and isinstance(right, Name) and {left.name, right.name} <= set(MODELS) and left.role == right.role):
            return None
        role = left.role or self.role
        return self.pen.log_ratio(*(self.writer.likelihood(name.name, role, token) for name in (left, right)))

    # -- words that change level -----------------------------------------------------------------------------------

    def reduction(self, formula: Call) -> Piece:
        word, (inner,) = formula.function, formula.arguments
        if "loss" in self.scope and word in ("sum", "mean"):  # the examples step of reduce
            return self.batch(word, inner, self.scope["examples"].text)
        if REDUCTIONS[word].over == "token":
            return self.over_tokens(word, inner)
        if REDUCTIONS[word].over == "list":
            return self.over_list(word.removeprefix("list_"), inner)
        return self.batch(word.removeprefix("batch_"), inner, self.pen.pick(*BATCH))

    def over_tokens(self, word: str, inner: Formula) -> Piece:
        role = self.writer.tokens(inner, self.role)
        if role is None:
            role = self.role
        whole = self.ratio(inner, token=False)
        if whole is None and isinstance(inner, Name) and inner.name in MODELS:
            whole = self.writer.log_likelihood(inner.name, role, token=False)
        length = self.writer.length(role)
        body = whole or self.pen.total(self.pen.pick("t=1", "t"), self.write(inner), above=length.text)
        if word == "mean":
            return self.pen.shared(length, body)
        return body

    def over_list(self, way: str, inner: Formula) -> Piece:
        pen, writer = self.pen, self.writer
        populations = [n.role for n in numbers_and_names(inner) if isinstance(n, Name) and n.role in LIST_POPULATIONS]
        population = next(iter(populations), None) or "all"
        other, own = writer.completion(population), writer.completion(self.role)
        latex, unicode = AMONG[population]
        index = pen.pick(rf"{other} {latex}", f"{other}{unicode}")
        if population != "all":  # compared with the completion at hand
            index += pen.pick(f" {own}", own)
        body = self.write(inner)
        if way == "logsumexp":
            inside = pen.total(index, pen.exp(body))
            return Piece(pen.pick(r"\log", "log ") + inside.text, PRODUCT, "summand")
        return pen.added(way, index, body)

    def placed(self, word: str, inner: Formula) -> Piece:
        """A rank or share in the list Y, a sort over the batch."""
        row, body, over = PLACINGS[word], self.write(inner), "Y"
        if row.over == "batch":
            over = self.pen.pick(*BATCH)
            self.writer.note("word", "batch")
        names = row.symbol.split()
        latex = " ".join(r"\log" if name == "log" else rf"\operatorname{{{name}}}" for name in names)
        return Piece(self.pen.below(Symbol(latex, row.symbol), over) + self.pen.around("(", body.text, ")"))

    def batch(self, way: str, inner: Formula, index: str) -> Piece:
        body = self.write(inner)
        self.writer.note("word", "batch")
        if way == "mean":
            return self.pen.over(EXPECTATION, index, body)
        return self.pen.added(way, index, body)
