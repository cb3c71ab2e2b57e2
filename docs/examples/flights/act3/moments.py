"""What happened in the minutes of the act: phases, moments, incidents."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from mlguard import Severity, Verdict

LIMITED: Final = ("latency", "errors")
"""The two parts of the verdict on the service."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Some minutes, and what is wrong with the departure board in them."""

    name: str
    minutes: int
    slow: float = 0.0
    refused: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What the guard said at one moment."""

    at: float
    """Seconds since the first minute."""
    verdict: Verdict
    burn: tuple[float, float]
    """Burn rates of the error budget over the long and the short window of the first alert."""
    remaining: float
    exhausts_in: float

    @property
    def parts(self) -> dict[str, Verdict]:
        """The verdicts on the latency and on the errors, by name."""
        return _by_name(self.verdict)

    @property
    def quantiles(self) -> dict[str, Verdict]:
        """The verdicts on the quantiles of the latency, by name."""
        return _by_name(self.parts["latency"])

    @property
    def alert(self) -> Verdict:
        """The verdict on the first alert of the error budget."""
        return next(iter(_by_name(self.parts["errors"]).values()))

    def seconds(self, quantile: str) -> float:
        """Return a quantile of the latency."""
        return self.quantiles[quantile].evidence[0].value


@dataclass(frozen=True, slots=True)
class Change:
    """A part of the verdict became another."""

    moment: Moment
    part: str

    @property
    def verdict(self) -> Verdict:
        """What that part said then."""
        return self.moment.parts[self.part]


@dataclass(frozen=True, slots=True)
class Incident:
    """A phase in which something was wrong, and what the guard said of it."""

    phase: Phase
    start: float
    end: float
    before: Moment
    """The last moment before it began."""
    during: tuple[Moment, ...]
    """From its beginning until all was well again."""
    over: Moment | None
    """When all was well again."""

    @property
    def found(self) -> Moment | None:
        """The first moment of breach."""
        breaches = (each for each in self.during if each.verdict.severity is Severity.BREACH)
        return next(breaches, None)

    @property
    def seen_by(self) -> list[str]:
        """The parts of the verdict that were ever in breach."""
        return [part for part in LIMITED if self.breached(part)]

    def breached(self, part: str) -> bool:
        """Whether a part of the verdict was ever in breach."""
        return any(each.parts[part].severity is Severity.BREACH for each in self.during)

    def most(self, quantile: str) -> float:
        """Return the highest value of a quantile of the latency."""
        return max(each.seconds(quantile) for each in self.during)


@dataclass(frozen=True, slots=True)
class Served:
    """All that happened."""

    phases: tuple[Phase, ...]
    moments: tuple[Moment, ...]
    statuses: Counter[int]
    marked: int
    """Answers whose header told of a breach."""
    alert: float
    """Burn rate beyond which the first alert pages."""

    @property
    def minutes(self) -> int:
        """How long it took."""
        return sum(phase.minutes for phase in self.phases)

    @property
    def incidents(self) -> list[Incident]:
        """The phases in which something was wrong."""
        found, start = [], 0.0
        for phase in self.phases:
            end = start + 60.0 * phase.minutes
            if phase.slow or phase.refused:
                found.append(self._incident(phase, start, end))
            start = end
        return found

    def _incident(self, phase: Phase, start: float, end: float) -> Incident:
        before = [each for each in self.moments if each.at < start]
        after = self.moments[len(before) :]
        over = next((each for each in after if each.at >= end and each.verdict.ok), None)
        during = after if over is None else after[: after.index(over)]
        return Incident(phase, start, end, before[-1], during, over)

    @property
    def changes(self) -> list[Change]:
        """Every change of a part of the verdict, the first verdict included."""
        return [
            Change(now, part)
            for before, now in zip((None, *self.moments[:-1]), self.moments, strict=True)
            for part in LIMITED
            if before is None or before.parts[part].severity is not now.parts[part].severity
        ]


def _by_name(verdict: Verdict) -> dict[str, Verdict]:
    return {each.name: each for each in verdict.causes if isinstance(each, Verdict)}
