"""What an objective file may hold, key for key: pydantic models, exported as JSON Schema for editors.

The order of the fields is the order in which shipped files write them. Formulas stay text here; the compiler reads them.
"""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)

from halo.objective.feedback import FEEDBACK, Feedback, FeedbackName
from halo.objective.propositions import PROPOSITIONS, Proposition

Scalar = StrictInt | StrictFloat | StrictStr
ByRole = Annotated[Scalar | dict[str, Scalar], Field(description="a formula, or a map from role to formula")]
Roles = Annotated[StrictStr | list[StrictStr], Field(description="a role or a list of roles")]
Step = Literal["tokens", "completions", "pairs", "examples"]
Reduce = Annotated[
    dict[Step, StrictStr], Field(description="axes, finest first, each sum or mean; examples may be a formula in loss", min_length=1)
]


_END = re.compile(r"[-+]?\d{0,30}(\.\d{1,30})?([eE][-+]?\d{1,3})?(/\d{1,30})?")


class Strict(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _readable(text: str) -> str:
    Interval.parse(text)
    return text


Domain = Annotated[StrictStr, AfterValidator(_readable)]
"""An interval, as text."""


class Parameter(Strict):
    """A number of the objective, with the values it may take."""

    default: StrictInt | StrictFloat
    domain: Domain = "(-inf, inf)"
    search: list[StrictInt | StrictFloat] | None = Field(None, description="values worth trying, from the paper")
    meaning: StrictStr | None = None


class Column(Strict):
    """A number that the data supplies for each example, completion or token."""

    level: Literal["example", "completion", "token"]
    domain: Domain = "(-inf, inf)"
    default: StrictInt | StrictFloat | None = None


class Statistic(Strict):
    """A running number over the effective batch, updated once for each training step before it is used. Detached."""

    of: Scalar = Field(description="a formula whose names all carry roles")
    reduce: Literal["mean", "std"]
    update: StrictStr = Field(description="ema(0.9): keep 0.9 of the past at each step; all: take in everything seen")
    start: StrictInt | StrictFloat = Field(0, description="its value before anything is seen")


class Regularizer(Strict):
    """A formula added to the loss: reduce(weight * expression)."""

    role: Roles
    weight: ByRole = 1
    expression: ByRole
    reduce: Reduce | None = None


class Slots(Strict):
    """The keys that a term may replace."""

    role: Roles | None = Field(None, description="whose items are added up: a role or a list of roles")
    reward: ByRole | None = Field(None, description="what the loss sees of a completion, a formula that holds for any completion")
    normalizer: ByRole | None = Field(None, description="multiplies the reward; the word `reward` in a formula is the product")
    reference_point: ByRole | None = Field(None, description="E_Q[reward], what z is measured from: a role, none or a formula")
    margin: ByRole | None = Field(None, description="subtracted from z, unscaled")
    value: ByRole | None = Field(None, description="v, in z = reward - reference_point - margin")
    sign: Scalar | dict[str, Scalar] | None = Field(None, description="-1 or +1 in front of v; nothing else changes sign")
    weight: ByRole | None = Field(None, description="multiplies sign * v, not the constant")
    constant: ByRole | None = Field(None, description="added for each item: parameters and columns only")
    reduce: Reduce | None = None


class Paper(Strict):
    """Where the objective comes from."""

    title: StrictStr
    arxiv: StrictStr | None = None
    url: StrictStr | None = None
    year: StrictInt | None = None
    equation: StrictStr | None = Field(None, description="which equation this file writes")


def expect_model() -> type[BaseModel]:
    """What `expect:` may hold: a key for each proposition that is known now, each in its form."""
    return _model_of(tuple(PROPOSITIONS.values()))


@cache
def _model_of(propositions: tuple[Proposition, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {one.name: (one.expects.type | None, Field(None, description=one.meaning)) for one in propositions}
    return create_model("Expect", __base__=Strict, __doc__="What the author expects of the objective.", **fields)


def _expectations(value: Any) -> dict[str, Any]:
    """What is expected, by proposition. Errors keep the path below `expect`, for pydantic puts those of a model into its own."""
    return expect_model().model_validate(value).model_dump(exclude_none=True)


class _Listed:
    """Makes the JSON Schema list the propositions that are known when it is asked for."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return handler(expect_model().__pydantic_core_schema__)


Expect = Annotated[dict[str, Any], BeforeValidator(_expectations), _Listed]


class Declaration(Slots):
    """One objective file."""

    halo: Literal[1] = Field(1, description="the version of this language, which is 1")
    name: StrictStr = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="lower case; the file's name")
    title: StrictStr | None = Field(None, description="what people call it")
    paper: Paper | None = Field(None, description="where it comes from")
    notes: StrictStr | None = Field(None, description="other readings, and which file or override gives them")
    extends: StrictStr | None = Field(None, description="start from that objective and state the difference")
    feedback: FeedbackName = Field(description="the shape of an example")
    roles: list[StrictStr] = Field(default=[], description="extra texts of an example, such as gold")
    control: dict[str, StrictStr] = Field(default={}, description="a conditioning text by role: follows the prompt, is not scored")
    reference: Literal["moving"] | None = Field(None, description="moving: the reference follows the policy")
    parameters: dict[str, Parameter] = Field(default={}, description="numbers with the values they may take; proofs hold for all of those")
    columns: dict[str, Column] = Field(default={}, description="numbers that the data supplies")
    let: dict[str, ByRole] = Field(default={}, description="names for formulas")
    statistics: dict[str, Statistic] = Field(default={}, description="running numbers of all batches so far, kept in checkpoints")
    terms: dict[str, Slots] = Field(default={}, description="several terms that add up; each replaces keys of the top level")
    regularizers: dict[str, Regularizer] = Field(default={}, description="formulas added to the loss, each reduced on its own")
    aliases: dict[str, StrictStr] = Field(default={}, description="another framework's parameter, as a formula in ours")
    expect: Expect | None = Field(None, description="what you expect of it; halo check holds it to that, halo train too")

    @property
    def kind(self) -> Feedback:
        """What an example is."""
        return FEEDBACK[self.feedback]


def _end(end: str, infinity: str, text: str) -> Fraction | None:
    """One end of an interval. The size is bounded first: Fraction("1e999999999") would never come back."""
    if end == infinity:
        return None
    try:
        if _END.fullmatch(end):
            return Fraction(end)
    except (ValueError, ZeroDivisionError):
        pass
    raise ValueError(f"{text!r}: the ends are numbers, fractions, -inf or inf")


def _as_float64(end: Fraction) -> float | None:
    """The end as float64 writes it; None where it is past that range."""
    try:
        nearest = float(end)
    except OverflowError:
        return None
    if nearest == 0 and end != 0:
        return None
    return nearest


def _as_float32(end: Fraction) -> float | None:
    """The end as float32 writes it, from float64 as data files and tensors round it; None where it is past that range."""
    written = _as_float64(end)
    if written is None:
        return None
    try:
        nearest: float = struct.unpack("f", struct.pack("f", written))[0]
    except OverflowError:
        return None
    if nearest == 0 and end != 0:
        return None
    return nearest


@cache
def _writings(low: Fraction | None, high: Fraction | None) -> dict[float, Fraction]:
    """Which end a float stands for; where two would do, the one that float64 writes so."""
    ends = [end for end in (low, high) if end is not None]
    found = {_as_float32(end): end for end in ends} | {_as_float64(end): end for end in ends}
    return {written: end for written, end in found.items() if written is not None}


class Interval(Strict):
    """An interval of real numbers, exact, with open or closed ends: (0, 1/2].

    A number as it was written (an int, a Fraction) is compared exactly. A float that float64 or float32 makes of an end stands
    for that end: no float is 1/10, and the nearest one lies above it. So 0.1 is in (0, 0.1], and 0.3 is not in (0, 0.3).
    """

    low: Fraction | None
    high: Fraction | None
    low_closed: bool
    high_closed: bool

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Reads `(0, inf)`, `[0, 1/2)` and the like; raises ValueError in words for the user."""
        stripped = text.strip()
        ends = stripped[1:-1].split(",")
        if len(ends) != 2 or stripped[0] not in "([" or stripped[-1] not in ")]":
            raise ValueError(f"{text!r} is not an interval such as (0, inf) or [0, 1/2)")
        low_closed, high_closed = stripped[0] == "[", stripped[-1] == "]"
        low, high = _end(ends[0].strip(), "-inf", text), _end(ends[1].strip(), "inf", text)
        if low is not None and high is not None and (low > high or (low == high and not (low_closed and high_closed))):
            raise ValueError(f"{text!r} is empty")
        if (low is None and low_closed) or (high is None and high_closed):
            raise ValueError(f"{text!r}: an end at infinity is open")
        return cls(low=low, high=high, low_closed=low_closed, high_closed=high_closed)

    def meant(self, value: float | Fraction) -> float | Fraction:
        """The end that a float stands for; any other number as it is."""
        if isinstance(value, float):
            return _writings(self.low, self.high).get(value, value)
        return value

    def nearest(self, value: float) -> float:
        """The number to compute with: where it stands for an end, that end in float64."""
        return float(self.meant(value))

    def __contains__(self, value: float | Fraction) -> bool:
        value = self.meant(value)
        above = self.low is None or value > self.low or (self.low_closed and value == self.low)
        below = self.high is None or value < self.high or (self.high_closed and value == self.high)
        return above and below and value == value and abs(value) != float("inf")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an objective file (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Declaration.model_json_schema()}
