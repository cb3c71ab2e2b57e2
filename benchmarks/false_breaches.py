"""How often a latency budget says BREACH of a service that keeps its limit: days are simulated.

The window of five minutes is asked whenever one of its sixty slots ends: 17,280 times a day. Since
a verdict depends on the number of requests and on how many were over the limit alone, a year takes
no more than these two. Which of them breach is asked of real budgets, and hours of real latencies
show that they answer so. Exits with 1 where a promise is broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from mlguard import LatencyBudget, Severity
from mlguard.testing import ManualClock

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

LIMIT = 0.050
SLOTS, SLOT = 60, 5.0
DAY = 24 * 60 * 60 // 5
"""Evaluations: one a slot."""
DAYS = 365
ALPHA = 0.001
"""Chance of a BREACH per evaluation of a service exactly at its limit: the default."""
SIGMA = 0.5
TAIL = 1.1
"""Of the Pareto distribution, which has no variance and hardly a mean."""
BURST = 10
"""Slow requests that come together, on average; their number is geometric."""
RATES = (2, 10, 100)


@dataclass(frozen=True)
class Service:
    """A service by the share of its requests over the limit, one by one or in bursts."""

    name: str
    q: float
    share: float
    bursts: bool = False
    promised: float | None = None

    def requests(self, rng: np.random.Generator, rate: int, slots: int) -> tuple[Counts, Counts]:
        """Draw for each slot how many requests come, and how many of them are over the limit."""
        mean = rate * SLOT * self.share
        if self.bursts:
            begun = rng.poisson(mean / BURST, slots)
            more = rng.negative_binomial(np.maximum(begun, 1), 1 / BURST)
            over = np.where(begun > 0, begun + more, 0)
        else:
            over = rng.poisson(mean, slots)
        return over + rng.poisson(rate * SLOT - mean, slots), over


def at(times: float, q: float, *, heavy: bool = False) -> float:
    """Give the share over the limit where the true quantile is so many times the limit."""
    if heavy:
        return float((1 - q) * times**TAIL)
    return float(special.ndtr(np.log(times) / SIGMA - special.ndtri(q)))


SERVICES = (
    Service("p99 at 0.8 x, lognormal", 0.99, at(0.8, 0.99), promised=0.0),
    Service("p99 at 0.8 x, Pareto", 0.99, at(0.8, 0.99, heavy=True)),
    Service("p99 at 1 x", 0.99, at(1.0, 0.99), promised=ALPHA),
    Service("median at 1 x", 0.5, at(1.0, 0.5), promised=ALPHA),
    Service("p99 at 0.8 x, lognormal, in bursts", 0.99, at(0.8, 0.99), bursts=True),
    Service("p99 at 1 x, in bursts", 0.99, at(1.0, 0.99), bursts=True),
)


class Asked:
    """The fewest requests over the limit that breach, by the number of requests: asked once."""

    def __init__(self, q: float) -> None:
        self.q = q
        self.found: dict[int, int] = {}

    def breaches(self, n: int, over: int) -> bool:
        """Ask a real budget."""
        budget = LatencyBudget({self.q: LIMIT}, clock=ManualClock())
        budget.observe_many(np.repeat([0.4 * LIMIT, 1.6 * LIMIT], [n - over, over]))
        return budget().severity is Severity.BREACH

    def first(self, n: int) -> int:
        """Search from where a neighbour was found: one request more or less changes little."""
        if n not in self.found:
            over = self.found.get(n - 1, int(n * (1 - self.q)))
            while over > 0 and self.breaches(n, over):
                over -= 1
            while over <= n and not self.breaches(n, over):
                over += 1
            self.found[n] = over
        return self.found[n]

    def __call__(self, n: Counts, over: Counts) -> NDArray[np.bool_]:
        """Say of each evaluation whether it breaches."""
        low = int(n.min())
        first = np.array([self.first(each) for each in range(low, int(n.max()) + 1)])
        return np.asarray(over >= first[n - low])


def windows(counts: Counts) -> Counts:
    """Add up the sixty slots before each evaluation."""
    return np.asarray(np.convolve(counts, np.ones(SLOTS, dtype=np.int64), "valid"))


def days(service: Service, rate: int, asked: Asked) -> tuple[Counts, int, Floats]:
    """Count breaches that begin, by day; those a window after the last; give shares in BREACH."""
    rng = np.random.default_rng([rate, SERVICES.index(service)])
    begun, apart, shares = np.zeros(DAYS, dtype=np.int64), 0, np.zeros(DAYS)
    for day in range(DAYS):
        n, over = (windows(each) for each in service.requests(rng, rate, DAY + 2 * SLOTS - 1))
        breach = asked(n, over)  # it begins a window before the day
        before = windows(breach.astype(np.int64))[:-1]
        begun[day] = np.count_nonzero(breach[SLOTS:] & ~breach[SLOTS - 1 : -1])
        apart += int(np.count_nonzero(breach[SLOTS:] & (before == 0)))
        shares[day] = breach[SLOTS:].mean()
    return begun, apart, shares


def agrees(rate: int, asked: Asked, *, heavy: bool) -> bool:
    """Watch real latencies for hours, where a BREACH is a coin toss, and compare each verdict."""
    rng, clock = np.random.default_rng([rate, heavy]), ManualClock()
    budget = LatencyBudget({asked.q: LIMIT}, clock=clock)
    usual = int(rate * SLOT * SLOTS)
    share = asked.first(usual) / usual
    seen: list[tuple[int, int, bool]] = []
    for _ in range(DAY // 8):
        u = rng.random(rng.poisson(rate * SLOT))
        slow = (
            (u / share) ** (-1 / TAIL)
            if heavy
            else np.exp(SIGMA * (special.ndtri(share) - special.ndtri(u)))
        )
        clock.advance(SLOT)
        budget.observe_many(LIMIT * slow)
        over = int(np.count_nonzero(slow > 1.0))
        seen.append((len(u), over, budget().severity is Severity.BREACH))
    n, slower, said = (np.array(each) for each in zip(*seen, strict=True))
    said = said[SLOTS - 1 :]
    same = bool((asked(windows(n), windows(slower)) == said).all())
    tail = "Pareto" if heavy else "lognormal"
    words = f"{said.sum():,} of {len(said):,} verdicts of real {tail} latencies are BREACH"
    print(f"{asked.q:5} {rate:4}/s: {words}: {'as' if same else 'NOT as'} by their counts")
    return same


def error_of(each: Counts | Floats) -> float:
    """Give the standard error of the mean of days, which hardly depend on each other."""
    return float(each.std(ddof=1) / np.sqrt(DAYS))


def a_day(begun: Counts) -> str:
    """Give a rate with its 95 % interval; of none at all, the most that it may be."""
    if not begun.any():
        return f"0 (below {-np.log(0.05) / DAYS:.2g})"
    return f"{begun.mean():.3g} ± {stats.norm.ppf(0.975) * error_of(begun):.2g}"


def main() -> Iterator[bool]:
    """Print the table; tell of each promise whether it is broken, by more than chance."""
    asked = {q: Asked(q) for q in (0.99, 0.5)}
    for each, rate, heavy in product(asked.values(), RATES, (False, True)):
        yield not agrees(rate, each, heavy=heavy)
    print(f"\nfalse breaches that begin in {DAYS} days, asked every {SLOT:g} s, and 95 % intervals")
    print("(apart: at least a window after the last; in BREACH: share of verdicts)")
    heads = ("req/s", 6), ("begun", 9), ("a day", 18), ("apart", 8), ("in BREACH", 10), ("most", 7)
    print(f"{'service':>36}", *(f"{head:>{width}}" for head, width in heads))
    for service, rate in product(SERVICES, RATES):
        begun, apart, shares = days(service, rate, asked[service.q])
        share, most = float(shares.mean()), service.promised
        words = "" if most is None else f"{most:.1%}"
        numbers = f"{rate:6} {begun.sum():9,} {a_day(begun):>18} {apart:8,} {share:10.3%}"
        print(f"{service.name:>36} {numbers} {words:>7}", flush=True)
        yield most is not None and share > most + (3 * error_of(shares) if most else 0.0)


if __name__ == "__main__":
    sys.exit(any(list(main())))
