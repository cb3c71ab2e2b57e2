"""What the counts of two arms say about a ratio of rates, however often one looks."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlguard.rollout.means import Means
from mlguard.stats import sequential
from mlguard.stats.betting import NO_VALUES, Sums
from mlguard.stats.sequential import HARM, HARM_WEIGHTS, SAFE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlguard.rollout.guardrails import Guardrail

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]

_SPAN = np.linspace(math.log(0.02), math.log(50.0), 157)
"""Logarithms of the ratios that an interval can end at: 5 % apart."""

_PRIOR = np.exp(-0.5 * (_SPAN / 1.2) ** 2) + 0.02

_KILL = np.array([0.47, 0.987])
"""Alternatives for the fast kill, as parts of the way from the ceiling to 1: mostly failing, and
failing always; with the default ceiling they are rates of 0.6 and 0.99."""

_ABOVE = np.geomspace(0.005, 0.5, 8)
"""More alternatives, for a ceiling that holds whatever the baseline does: from just above it."""

_FAR = 1_000_000
"""Events beyond which nobody waits."""

_FREQUENT = 0.1
"""Above this rate of events the 2 × 2 test sees more than the origin of events does."""

_HARMS = [0, *range(2, 2 + len(HARM))]
"""The places of what the test for harm rests on."""

_ORDERED = 2 + len(HARM) + len(SAFE)


def _normal(weights: Floats) -> Floats:
    found: Floats = weights / weights.sum()
    return found


_HARM_WEIGHTS, _SAFE_WEIGHTS = _normal(HARM_WEIGHTS), np.full(len(SAFE), 1.0 / len(SAFE))
_PRIOR_WEIGHTS = _normal(_PRIOR)
_STEPS = np.unique(np.round(np.log(HARM) / (_SPAN[1] - _SPAN[0])).astype(int))
"""The factors of the test of harm in steps of the span."""

_STEP_WEIGHTS = _normal(np.interp(_STEPS * (_SPAN[1] - _SPAN[0]), np.log(HARM), HARM_WEIGHTS))
_PARTS = np.concatenate([_KILL, _ABOVE])
_KILL_WEIGHTS = np.full(len(_KILL), 1.0 / len(_KILL))
_ABOVE_WEIGHTS = np.full(len(_PARTS), 1.0 / len(_PARTS))


class Table:
    """What the evidence needs of a plan's guardrails, laid out once. Immutable in use."""

    __slots__ = ("any_turned", "hits", "logs", "means", "misses", "once", "ratios", "turned")

    def __init__(self, guardrails: Sequence[Guardrail]) -> None:
        limits = [
            (each.tolerated, each.bound) if each.unit == "ratio" else (1.0, 2.0)
            for each in guardrails
        ]
        self.ratios = np.stack([ratios(*each) for each in limits])
        self.logs = np.log(self.ratios)
        self.turned = np.array([each.direction == "decrease" for each in guardrails])
        self.once = np.array([tolerance == 1.0 for tolerance, _ in limits])
        found = {row: Means.of(each) for row, each in enumerate(guardrails)}
        self.means = {row: each for row, each in found.items() if each is not None}
        self.any_turned = bool(self.turned.any())
        ceilings = np.array([[each.ceiling] for each in guardrails])
        self.hits = np.log((ceilings + (1.0 - ceilings) * _PARTS) / ceilings)
        self.misses = np.log1p(-_PARTS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Sums of log-likelihoods of rate ratios, by guardrail. Immutable.

    Evidence adds up over intervals, each with the shares that it really had; rates are never put
    together across intervals or stages. So a rise that both arms share, a ramp and the hour of the
    day say nothing about the canary.

    Attributes:
        logs: Of each guardrail and ratio, up to a constant, shape (guardrails, ratios).
        frequent: What the 2 × 2 test found in intervals of frequent events, shape (guardrails,).
        kills: Log-likelihood ratios against the ceilings, shape (guardrails, alternatives).
        counts: Events of canary and baseline, shape (guardrails, 2).
        trials: What they are counted among, requests or clusters at risk, shape (guardrails, 2).
        requests: Of canary and baseline.
        digest: Stands for all intervals that were added, in their order.
        means: Of guardrails on a difference, by their row, what they know.
    """

    logs: Floats
    frequent: Floats
    kills: Floats
    counts: Counts
    trials: Counts
    requests: tuple[int, int]
    digest: str
    means: Mapping[int, Means]

    @classmethod
    def none(cls, many: int, means: Mapping[int, Means] | None = None) -> Self:
        """Begin with nothing about so many guardrails, and these on a difference."""
        return cls(
            np.zeros((many, _ORDERED + len(_SPAN))),
            np.zeros(many),
            np.zeros((many, len(_PARTS))),
            np.zeros((many, 2), dtype=np.int64),
            np.zeros((many, 2), dtype=np.int64),
            (0, 0),
            "",
            means or {},
        )

    def after(
        self,
        table: Table,
        requests: tuple[int, int],
        events: Sequence[tuple[int, int]],
        trials: Sequence[tuple[int, int]] | None = None,
        sums: Mapping[int, tuple[Sums, Sums]] | None = None,
    ) -> Evidence:
        """Add an interval in which both arms had requests.

        Args:
            table: Of the guardrails.
            requests: Of canary and baseline.
            events: Of each guardrail, likewise.
            trials: What they are counted among, of each guardrail; the requests when not given.
            sums: Of the guardrails on values, by their row, the sums of canary and baseline.
        """
        counts = np.array(events, dtype=np.int64).reshape(self.counts.shape)
        among = np.empty_like(counts)
        among[:] = requests if trials is None else trials
        if trials is not None:
            alone = (among == 0).any(axis=1)
            counts[alone] = among[alone] = 0
        kills = self.kills + counts[:, :1] * table.hits + (among - counts)[:, :1] * table.misses
        total = self.requests[0] + requests[0], self.requests[1] + requests[1]
        logs, frequent = self.logs, self.frequent
        if counts.any():
            logs, frequent = self._moved(table, np.maximum(among, 1), counts)
        chain = self.digest.encode() + among.tobytes() + counts.tobytes()
        means: dict[int, Means] = {}
        for row, each in self.means.items():
            arms = (sums or {}).get(row) or (NO_VALUES, NO_VALUES)
            if each.events:
                pairs = zip(counts[row].tolist(), among[row].tolist(), strict=True)
                canary, baseline = (Sums.of_events(k, n) for k, n in pairs)
                arms = canary, baseline
            means[row] = each.after(*arms)
            chain += repr(arms).encode()
        digest = hashlib.blake2b(chain, digest_size=8).hexdigest()
        counts += self.counts
        among += self.trials
        return Evidence(logs, frequent, kills, counts, among, total, digest, means)

    def _moved(self, table: Table, trials: Counts, counts: Counts) -> tuple[Floats, Floats]:
        if table.any_turned:
            trials, counts = (
                np.where(table.turned[:, None], each[:, ::-1], each) for each in (trials, counts)
            )
        bad, good = counts[:, :1], counts[:, 1:]
        odds = trials[:, :1] / trials[:, 1:]
        found = bad * table.logs - (bad + good) * np.log1p(table.ratios * odds)
        often = self._frequent(table)
        if not often.any():
            return self.logs + found, self.frequent
        frequent = self.frequent.copy()
        for row in np.flatnonzero(often).tolist():
            frequent[row] += sequential.two_by_two(
                (int(counts[row, 0]), int(trials[row, 0])),
                (int(counts[row, 1]), int(trials[row, 1])),
                self._rates(row, turned=bool(table.turned[row])),
            )
            found[row, _HARMS] = 0.0
        return self.logs + found, frequent

    def _frequent(self, table: Table) -> NDArray[np.bool_]:
        """Choose the test of the next interval by those before it."""
        often = self.counts.sum(axis=1) > _FREQUENT * self.trials.sum(axis=1)
        chosen: NDArray[np.bool_] = np.logical_and(often, table.once)
        return chosen

    def _rates(self, row: int, *, turned: bool) -> tuple[float, float]:
        pairs = zip(self.counts[row].tolist(), self.trials[row].tolist(), strict=True)
        canary, baseline = (sequential.learnt(k, n) for k, n in pairs)
        return (baseline, canary) if turned else (canary, baseline)

    @property
    def harm(self) -> Floats:
        """Of each guardrail the log e-value against "no worse than the tolerance"."""
        alternatives = self.logs[:, 2 : 2 + len(HARM)]
        mixed = sequential.mixture(alternatives, _HARM_WEIGHTS)
        found: Floats = mixed - self.logs[:, 0] + self.frequent
        for row, means in self.means.items():
            found[row] = means.harm
        return found

    @property
    def safety(self) -> Floats:
        """Of each guardrail the log e-value against "worse than the margin, or just so"."""
        alternatives = self.logs[:, 2 + len(HARM) : _ORDERED]
        found: Floats = sequential.mixture(alternatives, _SAFE_WEIGHTS) - self.logs[:, 1]
        for row, means in self.means.items():
            found[row] = means.safety
        return found

    def known(self, row: int) -> int:
        """Give how much a guardrail rests on: events, or values, of both arms."""
        means = self.means.get(row)
        values = means is not None and not means.events
        return sum(means.bets.seen) if means and values else int(self.counts[row].sum())

    def ratio(self, alpha: float) -> tuple[Floats, Floats]:
        """Give the confidence sequence of each ratio of rates: valid at any look.

        Args:
            alpha: That the true ratio is ever left out.

        Returns:
            Lower ends, 0 where nothing is known, and upper ends, infinite likewise.
        """
        spans = self.logs[:, _ORDERED:]
        inside = spans > (sequential.mixture(spans, _PRIOR_WEIGHTS) + math.log(alpha))[:, None]
        return _ends(inside)

    def proven_above(self, row: int, tolerance: float, limit: float) -> float:
        """Give the ratio that the canary is proven to exceed, where harm is proven.

        The test of harm, turned about: its alternatives are moved up with the null, until the
        evidence is what it takes. In between, the logarithm of the ratio is interpolated.
        """
        spans = self.logs[row, _ORDERED:]

        def beyond(null: int) -> float:
            steps = _STEPS[null + _STEPS < len(spans)]
            weights = _normal(_STEP_WEIGHTS[: len(steps)])
            return float(sequential.mixture(spans[null + steps], weights) - spans[null]) - limit

        nulls = range(int(np.searchsorted(_SPAN, math.log(tolerance), "right")), len(_SPAN) - 2)
        place = bisect_left(nulls, 0.0, key=lambda null: -beyond(null))
        around = nulls[max(place - 1, 0) : place + 1]
        ends = [(math.log(tolerance), float(self.harm[row]) - limit)]
        ends += [(float(_SPAN[null]), beyond(null)) for null in around]
        if place == len(nulls):
            return math.exp(ends[-1][0])
        (low, over), (high, under) = ends[-2:]
        return math.exp(low + (high - low) * over / (over - under))

    def events_to_harm(self, table: Table, row: int, limit: float, least: int = 1) -> int | None:
        """Give how many more events of the canary alone would prove it worse, at the share so far.

        None where fewer events are worse, where the 2 × 2 test is used, and before any request.

        Args:
            table: Of the guardrails.
            row: The guardrail.
            limit: The log e-value that is a proof.
            least: Events in all, without which there is none.
        """
        canary, baseline = self.trials[row].tolist()
        if table.turned[row] or self.frequent[row] or not canary or not baseline:
            return None
        share = canary / (canary + baseline)
        step = table.logs[row] - np.log(table.ratios[row] * share + 1.0 - share)
        harms = slice(2, 2 + len(HARM))

        def beyond(more: int) -> float:
            logs = self.logs[row] + more * step
            return float(sequential.mixture(logs[harms], _HARM_WEIGHTS) - logs[0]) - limit

        return _fewest(beyond, max(least - int(self.counts[row].sum()), 0))

    def events_to_safety(self, table: Table, row: int, limit: float) -> int | None:
        """Give how many more events, at equal rates and the share so far, prove it safe.

        What is expected, not what is sure; None before any request.
        """
        canary, baseline = self.trials[row].tolist()
        if not canary or not baseline:
            return None
        share = (baseline if table.turned[row] else canary) / (canary + baseline)
        ratios = table.ratios[row]
        step = share * table.logs[row] - np.log(ratios * share + 1.0 - share)
        safes = slice(2 + len(HARM), _ORDERED)

        def beyond(more: int) -> float:
            logs = self.logs[row] + more * step
            return float(sequential.mixture(logs[safes], _SAFE_WEIGHTS) - logs[1]) - limit

        return _fewest(beyond, 0)

    @property
    def kill(self) -> Floats:
        """Of each guardrail the log e-value against "below the ceiling", quick where most fail."""
        return sequential.mixture(self.kills[:, : len(_KILL)], _KILL_WEIGHTS)

    @property
    def above(self) -> Floats:
        """Likewise, also where events are but a little more frequent than the ceiling."""
        return sequential.mixture(self.kills, _ABOVE_WEIGHTS)

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON."""
        arrays = ("logs", "frequent", "kills", "counts", "trials")
        return {
            **{name: getattr(self, name).tolist() for name in arrays},
            "requests": list(self.requests),
            "digest": self.digest,
            "means": {str(row): each.bets.to_dict() for row, each in self.means.items()},
        }

    @classmethod
    def from_dict(
        cls, record: Mapping[str, Any], many: int, means: Mapping[int, Means] | None = None
    ) -> Self:
        """Read what `to_dict` wrote of so many guardrails, and these on a difference."""
        empty = cls.none(many)
        canary, baseline = record["requests"]

        def read(name: str, like: NDArray[Any]) -> NDArray[Any]:
            return np.array(record[name], dtype=like.dtype).reshape(like.shape)

        return cls(
            read("logs", empty.logs),
            read("frequent", empty.frequent),
            read("kills", empty.kills),
            read("counts", empty.counts),
            read("trials", empty.trials),
            (int(canary), int(baseline)),
            str(record["digest"]),
            {row: each.with_bets(record["means"][str(row)]) for row, each in (means or {}).items()},
        )


def ratios(tolerance: float, margin: float) -> Floats:
    """Give the ratios whose likelihood a guardrail needs: nulls, alternatives, and the span."""
    return np.concatenate([[tolerance, margin], tolerance * HARM, margin * SAFE, np.exp(_SPAN)])


def _fewest(beyond: Callable[[int], float], least: int) -> int | None:
    """Give the smallest number of events at which it is not negative."""
    steps = range(least, _FAR)
    place = bisect_left(steps, 0.0, key=beyond)
    return None if place == len(steps) else steps[place]


def _ends(inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Give the ends of the ratios that are not ruled out, one step further out on either side."""
    last = len(_SPAN) - 1
    first_in = inside.argmax(axis=1)
    last_in = last - inside[:, ::-1].argmax(axis=1)
    low = np.where(first_in > 0, np.exp(_SPAN[np.maximum(first_in - 1, 0)]), 0.0)
    high = np.where(last_in < last, np.exp(_SPAN[np.minimum(last_in + 1, last)]), math.inf)
    return low, high
