"""The sections of a requirements document. Each makes the guard that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from mlguard.arguments import refusal
from mlguard.budgets.cost import CostBudget
from mlguard.budgets.errors import ErrorBudget
from mlguard.budgets.latency import LatencyBudget
from mlguard.budgets.streams import StreamLatency
from mlguard.budgets.unit_cost import UnitCost
from mlguard.budgets.windows import Calendar, Rolling
from mlguard.performance.metrics import METRICS, roc_auc
from mlguard.policies.thresholds import Limits, at_least, at_most
from mlguard.render.text import quantity
from mlguard.requirements.units import (
    UNITS,
    Amount,
    Duration,
    Period,
    Share,
    Window,
    duration,
    written,
)
from mlguard.stores.memory import MemoryStore

if TYPE_CHECKING:
    from typing import Self

    from mlguard.protocols import Clock, Sink
    from mlguard.stores.spend import SpendStore

_UNSEEN = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Control characters, ends of lines, and what turns the direction of what follows."""
NAME = rf"^[^{_UNSEEN}]*[^\s{_UNSEEN}][^{_UNSEEN}]*$"
"""Text on one line that is not blank."""
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, pattern=NAME)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(gt=0)]


def as_set(names: Iterable[str]) -> tuple[str, ...]:
    """Keep names whose order and number do not count in one way."""
    return tuple(sorted({*names}))


class Section(pydantic.BaseModel):
    """A part of the document. Immutable.

    What may be said in several ways is kept in one, so that sections which mean the same are equal.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, serialize_by_alias=True
    )

    def make(self) -> object:
        """Make what the section asks for; what is refused is a mistake of the document."""
        return self

    def settled(self) -> Mapping[str, Any]:
        """Give the fields that are kept in another way than they were written."""
        return {}

    @model_validator(mode="after")
    def _makes(self) -> Self:
        self.make()
        self.__dict__.update(self.settled())  # it is frozen from here on
        return self


class Owner(Section):
    """Who answers for the service."""

    team: Name = Field(description="The team that owns it.", examples=["risk-ml"])
    page: Name | None = Field(None, description="Who is paged.", examples=["risk-oncall"])
    runbook: Name | None = Field(None, description="Address of the runbook.")


_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


class Quantiles(Section):
    """Limits on quantiles of a latency; a higher quantile has a larger limit."""

    p50: Duration | None = Field(None, description="Limit on the median.")
    p90: Duration | None = Field(None, description="Limit on the 90th percentile.")
    p95: Duration | None = Field(None, description="Limit on the 95th percentile.")
    p99: Duration | None = Field(None, description="Limit on the 99th percentile.")
    p999: Duration | None = Field(None, alias="p99.9", description="Limit on the 99.9th.")

    @property
    def limits(self) -> dict[float, float]:
        """The limits in seconds, by quantile."""
        limits = {q: getattr(self, name) for name, q in _QUANTILES.items()}
        return {q: limit for q, limit in limits.items() if limit is not None}

    def make(self) -> object:
        """Look at the limits."""
        named = [(name, getattr(self, name)) for name in _QUANTILES]
        given = [(name, limit) for name, limit in named if limit is not None]
        for (low, less), (high, more) in pairwise(given):
            if more <= less:
                raise refusal(high, written(more), f"above that of {low}, {quantity(less, 's')}")
        return self


_LEAST_WINDOW = 0.06


class Latency(Quantiles):
    """How fast answers must be, over a sliding window; of streams, each part of them."""

    window: Duration = Field(
        "5 min", validate_default=True, description="How far back is looked.", examples=["5 min"]
    )
    first_token: Quantiles | None = Field(None, description="Of streams: time to the first item.")
    gap: Quantiles | None = Field(None, description="Of streams: time between two items.")
    total: Quantiles | None = Field(None, description="Of streams: time to the end.")

    def make(self, clock: Clock | None = None) -> LatencyBudget | StreamLatency:
        """Make the budget."""
        parts = {"first": self.first_token, "gap": self.gap, "total": self.total}
        streams: dict[str, Any] = {
            part: section.limits for part, section in parts.items() if section is not None
        }
        window = timedelta(seconds=self.window)
        super().make()
        if self.window < _LEAST_WINDOW:
            raise refusal("window", written(self.window), "at least 60 ms: it moves on in 60 steps")
        for name in ("first_token", "gap", "total"):
            part = getattr(self, name)
            if part is not None and not part.limits:
                raise refusal(f"{name}.p99", None, "given, or another quantile")
        if not self.limits and not streams:
            raise refusal("p99", None, "given, or another quantile, or a part of streams")
        if not streams:
            return LatencyBudget(self.limits, window=window, clock=clock)
        if self.limits:
            first = min(self.model_fields_set & {*_QUANTILES})
            allowed = "under first_token, gap or total, since those make it the latency of streams"
            raise refusal(first, written(getattr(self, first)), allowed)
        return StreamLatency(**streams, window=window, name="latency", clock=clock)


_LEAST_PERIOD = 8_640.0
_LEAST_SLO = 1 - 1 / 14.4
"""The first alert fires at a burn rate of 14.4: at this SLO that needs all requests to fail."""


class Errors(Section):
    """Which share of the requests must be good, over which period."""

    slo: Share = Field(description="Share of requests that must be good.", examples=["99.9 %"])
    period: Period = Field(
        "30 d",
        validate_default=True,
        description="Of the error budget.",
        examples=["30 d", "month"],
    )
    timezone: Name = Field("UTC", description="Of a period of the calendar.")

    def make(self, clock: Clock | None = None) -> ErrorBudget:
        """Make the budget."""
        period = windowed(self.period, self.timezone)
        if isinstance(period, Rolling) and period.seconds < _LEAST_PERIOD:
            allowed = "at least 2.4 h: its alerts look back over 1/720 of it"
            raise refusal("period", self.period, allowed)
        if self.slo <= _LEAST_SLO:
            allowed = "above 93.06 %, where its alerts can fire"
            raise refusal("slo", self.slo, allowed)
        return ErrorBudget(self.slo, period=period, clock=clock)

    def settled(self) -> Mapping[str, Any]:
        """Leave out a time zone that does not count."""
        return {} if self.period in UNITS else {"timezone": "UTC"}


class Cost(Section):
    """What inference may cost: a million of it, and all of it within a window."""

    per_million: Amount | None = Field(None, description="Limit on a million inferences.")
    cap: Amount | None = Field(None, description="What may be spent in the window.")
    window: Window | None = Field(None, description="Of the cap.", examples=["day", "48 h"])
    timezone: Name = Field("UTC", description="Of the calendar.", examples=["Europe/Berlin"])
    on_store_error: Literal["deny", "allow"] = Field(
        "deny", description="Whether calls go on while the store of the spend does not answer."
    )
    on_unsettled: Literal["floor", "reserved"] = Field(
        "reserved",
        description="What a call is charged that went out and never said what it cost: "
        "what it reported so far, or all that was reserved for it.",
    )

    def make(self) -> tuple[UnitCost | None, CostBudget | None]:
        """Make both for a moment."""
        if self.per_million is None and self.cap is None:
            raise refusal("per_million", None, "given, or cap")
        if (self.window is None) is not (self.cap is None):
            raise refusal("window", self.window, "given exactly when cap is")
        if self.per_million and self.cap and self.per_million.currency != self.cap.currency:
            allowed = f"in {self.cap.currency}, the currency of cap"
            raise refusal("per_million", str(self.per_million), allowed)
        windowed("day", self.timezone)
        return self.unit_cost(), self.budget("cost", store=MemoryStore())

    def settled(self) -> Mapping[str, Any]:
        """Leave out what does not count: a zone but for the calendar's, rules without a cap."""
        zone = {} if self.window in UNITS else {"timezone": "UTC"}
        ruled = {} if self.cap else {"on_store_error": "deny", "on_unsettled": "reserved"}
        return {**zone, **ruled}

    def unit_cost(self, clock: Clock | None = None) -> UnitCost | None:
        """Make the limit on a million inferences."""
        if self.per_million is None:
            return None
        return UnitCost(self.per_million, name="unit_cost", clock=clock)

    def budget(
        self,
        name: str,
        *,
        store: SpendStore,
        sinks: Sequence[Sink] = (),
        clock: Clock | None = None,
    ) -> CostBudget | None:
        """Make the cap."""
        if self.cap is None or self.window is None:
            return None
        return CostBudget(
            name,
            self.cap,
            window=windowed(self.window, self.timezone),
            store=store,
            on_store_error=self.on_store_error,
            on_unsettled=self.on_unsettled,
            sinks=sinks,
            clock=clock,
        )


_MOST_DRIFT = {"shift": 6.0, "psi": 100.0, "ks": 1.0, "js": 1.0}
"""What a metric cannot pass; a PSI of 100 needs a bin with less than one of 1e21 rows."""
ALPHA = "below 50 %: it is the chance of a false alarm, such as '1 %'"


class Drift(Section):
    """How far the data may move from the reference that was saved with the model."""

    metric: Literal["shift", "psi", "ks", "js"] = Field(
        "shift", description="Of both lines; shift is a mean shift in standard deviations."
    )
    tolerance: Positive = Field(0.1, description="Beyond it a column warns.")
    breach: Positive | None = Field(
        None, description="Beyond it a column breaches: three times the tolerance if not given."
    )
    alpha: Share = Field(0.01, description="Chance of any false alarm in a comparison.")
    must_be_conclusive: Annotated[tuple[Name, ...], AfterValidator(as_set)] = Field(
        (), strict=False, description="Columns that must have enough rows to be judged."
    )

    def make(self) -> object:
        """Look at the lines."""
        if self.alpha >= 0.5:  # noqa: PLR2004 -- a half
            raise refusal("alpha", self.alpha, ALPHA)
        most = _MOST_DRIFT[self.metric]
        if self.tolerance >= most:
            allowed = f"below {most:g}, the most that {self.metric} is"
            raise refusal("tolerance", self.tolerance, allowed)
        if self.line >= most:
            given = "given, and " * (self.breach is None)
            allowed = f"{given}below {most:g}, the most that {self.metric} is"
            raise refusal("breach", self.breach, allowed)
        if self.line < self.tolerance:
            raise refusal("breach", self.breach, f"at least the tolerance, {self.tolerance:g}")
        return self

    @property
    def line(self) -> float:
        """The breach line."""
        return float(f"{3.0 * self.tolerance:.12g}") if self.breach is None else self.breach

    def settled(self) -> Mapping[str, Any]:
        """Write the breach line out."""
        return {"breach": self.line}


_SHARES = {*("accuracy", "average_precision", "balanced_accuracy", "brier", "f1"), "precision"} | {
    *("recall", "roc_auc")
}
"""Metrics that lie between 0 and 1: mlguard's, and those of scikit-learn under its names."""


class Performance(Section):
    """How good the model must be by its labels."""

    metric: Name = Field(
        description="Name of the measurement: one of mlguard's or of your own.",
        examples=[*METRICS, "average_precision"],
    )
    floor: float | None = Field(None, description="Least value, of a metric where more is better.")
    ceiling: float | None = Field(None, description="Most, of a metric where less is better.")
    not_worse_by: Positive | None = Field(
        None, description="How much a candidate may be worse than the champion, at most."
    )
    labels_after: Duration | None = Field(None, description="When labels have come, if ever.")

    def make(self) -> object:
        """Look at the limits."""
        known = METRICS.get(self.metric)
        wrong = known and {"higher": "ceiling", "lower": "floor"}[known.better]
        if wrong and getattr(self, wrong) is not None:
            allowed = f"left out: of {self.metric} {known and known.better} is better"
            raise refusal(wrong, getattr(self, wrong), allowed)
        share, name = self.metric in _SHARES, self.metric
        if share and self.floor is not None and not 0.0 < self.floor <= 1.0:
            raise refusal("floor", self.floor, f"above 0 and at most 1, the best {name}")
        if share and self.ceiling is not None and self.ceiling >= 1.0:
            raise refusal("ceiling", self.ceiling, f"below 1, the worst {name}")
        if known and self.ceiling is not None and self.ceiling <= 0.0:
            raise refusal("ceiling", self.ceiling, f"above 0, the best {name}")
        if share and self.not_worse_by is not None and self.not_worse_by >= 1.0:
            raise refusal("not_worse_by", self.not_worse_by, f"below 1: {name} is between 0 and 1")
        if self.floor is not None and self.ceiling is not None:
            raise refusal("ceiling", self.ceiling, "left out where floor is given")
        if self.limit is None and self.not_worse_by is None:
            raise refusal("floor", None, "given, or ceiling, or not_worse_by")
        return self.limit

    @property
    def limit(self) -> Limits | None:
        """The policy of floor or ceiling."""
        if self.floor is not None:
            return at_least(self.floor)
        return None if self.ceiling is None else at_most(self.ceiling)

    @property
    def live(self) -> bool:
        """Whether it can be followed as labels come: a mean over rows with a limit."""
        mean = self.metric in METRICS and self.metric != roc_auc.name
        return mean and self.labels_after is not None and self.limit is not None


def windowed(window: str, timezone: str) -> Calendar | Rolling:
    """Make the window of a section; a time zone that there is not is refused of either kind."""
    unit: Any = window if window in UNITS else "day"
    calendar = Calendar(unit, tz=timezone)
    return calendar if window in UNITS else Rolling(duration(window))
