"""What a canary must not do, guardrail by guardrail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, Literal

from mlguard.arguments import finite, name_of, real, refusal, share, whole


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One kind of event that a canary must not have oftener, or seldomer. Immutable.

    Args:
        name: Of the events, as in `observe(events={"errors": 3})`: errors, answers over 50 ms,
            calls over their cost, drift alarms, conversions.
        kind: "guardrail" must not be worse and must be proven safe before a promotion;
            "deterioration" must not be worse, and holds no promotion back; "success" must be
            proven better, and does not roll back.
        direction: "increase" if more events are worse, "decrease" if fewer are.
        tolerance: What is no harm yet: the ratio of rates, worse over better, or the difference. 1
            or 0 by default: anything worse counts, once it is proven.
        margin: What is not acceptable: a promotion needs proof of less. 2 by default, as a ratio;
            of a difference it must be given. For "success" the proof is of less than `margin`, 1
            or 0 by default: better than the baseline.
        unit: "ratio" of rates, worse over better, or "difference", worse less better; of events
            that are frequent, or so seldom that a multiple of their rate is no matter.
        values: The lowest and the highest possible value, where this is not about events but about
            the mean of values such as scores, costs per call or revenue, given as
            `observe(values={"score": scores})`. Its unit is the difference of means.
        weight: Its part of the plan's alpha, beside those of the others.
        action: What harm leads to: "rollback", "hold", or "notify", one ALERT.
        min_events: Fewer events than this in both arms together are no reason to roll back.
        ceiling: A canary whose rate is proven to lie above this is stopped at once, unless the
            baseline fares alike: within ten requests if all fail, at a share of up to one
            half. Above the worst rate that is normal.
        absolute: Whether the ceiling is a limit to be kept also where the baseline breaks it. It is
            then proven from just above it on; a promotion asks for the margin alone.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    References:
        M. Schultzberg, S. Ankargren, M. Frånberg, "Risk-aware product decisions in A/B tests with
        multiple metrics", 2024, for the kinds.
    """

    name: str
    _: KW_ONLY
    kind: Literal["guardrail", "deterioration", "success"] = "guardrail"
    direction: Literal["increase", "decrease"] = "increase"
    tolerance: float | None = None
    margin: float | None = None
    unit: Literal["ratio", "difference"] | None = None
    values: tuple[float, float] | None = None
    weight: float = 1.0
    action: Literal["rollback", "hold", "notify"] = "rollback"
    min_events: int = 3
    ceiling: float = 0.25
    absolute: bool = False

    def __post_init__(self) -> None:
        put = object.__setattr__
        name_of("name", self.name)
        for name, allowed in (
            ("kind", ("guardrail", "deterioration", "success")),
            ("direction", ("increase", "decrease")),
            ("action", ("rollback", "hold", "notify")),
        ):
            if getattr(self, name) not in allowed:
                raise refusal(name, getattr(self, name), f"one of {list(allowed)}")
        self._read_unit()
        put(self, "weight", positive("weight", self.weight))
        if self.kind != "success" and not self.bound > self.tolerated:
            raise refusal("margin", self.margin, f"above tolerance = {self.tolerance}")
        whole("min_events", self.min_events, least=1)
        share("ceiling", self.ceiling)
        put(self, "absolute", bool(self.absolute))
        if self.absolute and not self.kills:
            raise refusal("absolute", self.absolute, "False unless an increase rolls back")

    def _read_unit(self) -> None:
        put = object.__setattr__
        if self.values is not None:
            ends = [finite("values", each) for each in listed("values", self.values)]
            if len(ends) != 2 or not ends[0] < ends[1]:  # noqa: PLR2004 -- as it says
                raise refusal("values", self.values, "the lowest and the highest possible value")
            put(self, "values", tuple(ends))
        given = self.unit or ("ratio" if self.values is None else "difference")
        if given not in {"ratio", "difference"} or (self.values and given == "ratio"):
            raise refusal("unit", self.unit, '"difference", or "ratio" where there are no values')
        put(self, "unit", given)
        same = 1.0 if given == "ratio" else 0.0
        if self.margin is None:
            put(self, "margin", self._margin(same))
        put(self, "tolerance", same if self.tolerance is None else self.tolerance)
        for name in ("tolerance", "margin"):
            value = real(name, getattr(self, name))
            if not 0.0 <= value < math.inf or (given == "ratio" and not value):
                raise refusal(name, value, "a positive number, or 0 as a difference")
            put(self, name, value)
        low, high = self.values or (0.0, 1.0)
        if given == "difference" and self.kind != "deterioration" and not self.bound < high - low:
            raise refusal("margin", self.margin, f"below {high - low:g}, which is all there can be")

    def _margin(self, same: float) -> float:
        if self.kind == "success":
            return same
        if self.unit == "ratio":
            return 2.0
        if self.kind == "deterioration":  # which nobody asks for proof of safety
            low, high = self.values or (0.0, 1.0)
            return high - low
        raise refusal("margin", None, "given where the unit is a difference")

    @property
    def tolerated(self) -> float:
        """The tolerance."""
        return math.nan if self.tolerance is None else float(self.tolerance)

    @property
    def bound(self) -> float:
        """The margin."""
        return math.nan if self.margin is None else float(self.margin)

    @property
    def rolls_back(self) -> bool:
        """Whether harm rolls back."""
        return self.action == "rollback" and self.kind != "success"

    @property
    def kills(self) -> bool:
        """Whether the fast kill applies: it rolls back, and bad is more events."""
        return self.rolls_back and self.direction == "increase" and self.values is None

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        content = asdict(self)
        return {**content, "values": None if self.values is None else list(self.values)}


def positive(parameter: str, value: object) -> float:
    """Read a number above 0, and finite."""
    number = real(parameter, value)
    if not 0.0 < number < math.inf:
        raise refusal(parameter, value, "a positive number")
    return number


def listed(parameter: str, value: Any) -> Sequence[Any]:
    """Read a list, and no text."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise refusal(parameter, value, "a list")
    return value
