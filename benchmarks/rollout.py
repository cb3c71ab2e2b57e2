"""How often is a good canary rolled back, and how soon is a bad one? Ours and the usual rules.

20,000 requests, a look after every 100, alpha 0.05 one-sided, all rules on the same counts. The
usual rules are written down here as they are documented: a z-test at each look, the same three
times in a row, one z-test at the end, a success rate over each interval (as Flagger and Argo
Rollouts are set up), a Mann-Whitney interval over the rates of intervals (as Kayenta's judge), and
the safe test for 2 x 2 tables alone. Ours is the rule of a plan with one guardrail, its part of
alpha and its fast kill as they are, for all runs at once; some runs are put through a real engine,
which must roll back at the same look. Then: a look after every request, a plan of several
guardrails, users who always fail, promotions, how often a confidence sequence ever leaves out the
true ratio, how near the delay comes to A. Wald's bound, a canary that always fails, and what a look
costs. In brackets: 95 % intervals. Exit code 1 where a number to hold is missed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan
from mlguard.rollout.evidence import Evidence, Table
from mlguard.stats import sequential
from mlguard.stats.sequential import HARM, HARM_WEIGHTS, SAFE
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Rate = Callable[[float], float]

ALPHA = 0.05
GUARDRAIL = Guardrail("errors")
PLAN = RollbackPlan("external", guardrails=[GUARDRAIL], alpha=ALPHA, bake=1e9)
SAFELY = -math.log(0.05)
APART = math.log(4.0)
FREQUENT = 0.1
WEIGHTS = HARM_WEIGHTS / HARM_WEIGHTS.sum()
KILLS = GUARDRAIL.ceiling + (1.0 - GUARDRAIL.ceiling) * np.array([0.47, 0.987])
REQUESTS, LOOK = 20_000, 100
NEVER = np.inf
ENGINES, JUDGED = 10, 40
"""Runs that a real engine sees, and those that Kayenta's judge does: it is slow."""
Z95, Z98 = 1.645, 2.326


def steady(value: float) -> Rate:
    """Give a rate that does not change."""
    return lambda _: value


def ramp(where: float) -> float:
    """Give the share of a rollout in four stages."""
    return (0.01, 0.05, 0.25, 0.5)[min(int(4 * where), 3)]


def jumps(where: float) -> float:
    """Give a share that jumps from look to look."""
    return 0.02 + 0.58 * ((where * 7919.0) % 1.0)


def drift(where: float) -> float:
    """Give a rate that goes up and down."""
    return 0.01 * math.exp(math.log(2.7) * math.sin(9.0 * where))


HALF, TENTH, ONE = steady(0.5), steady(0.1), steady(0.01)
EQUAL: dict[str, tuple[Rate, Rate]] = {
    "1 %, share 50 %": (ONE, HALF),
    "1 %, share 10 %": (ONE, TENTH),
    "0.1 %": (steady(0.001), HALF),
    "20 %": (steady(0.2), HALF),
    "20 %, share 10 %": (steady(0.2), TENTH),
    "drift × 0.4…2.7": (drift, HALF),
    "ramp": (ONE, ramp),
    "ramp, errors × 2": (lambda where: 0.01 * (1.0 + where), ramp),
    "ramp, errors × 4": (lambda where: 0.01 * (1.0 + 3.0 * where), ramp),
    "share jumps 2–60 %": (ONE, jumps),
    "over the slowest 5 %": (steady(0.05), HALF),
}


def slower(times: float, sigma: float = 0.8) -> float:
    """Give the share of lognormal latencies over the 95th percentile, so many times slower."""
    return float(special.ndtr(math.log(times) / sigma - special.ndtri(0.95)))


WORSE: tuple[tuple[str, float, float, Rate, float, float], ...] = (
    ("1 → 5 %, share 50 %", 0.05, 0.01, HALF, 600, 0.8),
    ("1 → 5 %, share 10 %", 0.05, 0.01, TENTH, 1_100, 0.8),
    ("1 → 2 %, share 50 %", 0.02, 0.01, HALF, 4_100, 0.8),
    ("1 → 2 %, share 10 %", 0.02, 0.01, TENTH, NEVER, 0.8),
    ("20 → 30 %, share 50 %", 0.3, 0.2, HALF, NEVER, 0.8),
    ("latency + 25 %", slower(1.25), 0.05, HALF, 2_000, 0.8),
)


def drawn(
    rng: np.random.Generator,
    runs: int,
    canary: Rate,
    baseline: Rate,
    share: Rate,
    *,
    look: int = LOOK,
    requests: int = REQUESTS,
) -> Counts:
    """Draw requests and events of both arms at each look, shape (look, 4, run)."""
    found = []
    for place in range(requests // look):
        where = (place + 1) * look / requests
        n_c = rng.binomial(look, share(where), runs)
        events = rng.binomial(n_c, canary(where)), rng.binomial(look - n_c, baseline(where))
        found.append((n_c, look - n_c, *events))
    return np.array(found)


class Ours:
    """The rule of a plan with one guardrail, for many runs at once."""

    def __init__(self, runs: int) -> None:
        self.factors = np.concatenate([[1.0], HARM, [2.0], 2.0 * SAFE])
        self.logs = np.zeros((runs, len(self.factors)))
        self.frequent, self.kills = np.zeros(runs), np.zeros((runs, len(KILLS)))
        self.before = np.zeros((4, runs))

    def see(self, counts: Counts) -> tuple[Flags, Flags]:
        """Take an interval in, and tell of each run whether harm and whether safety is proven."""
        n_c, n_b, k_c, k_b = counts * ((counts[0] > 0) & (counts[1] > 0))
        requests, events = self.before[:2].sum(axis=0), self.before[2:].sum(axis=0)
        often = (events > FREQUENT * requests) & (requests > 0)
        parts = (
            self.factors * n_c[:, None] / np.maximum(self.factors * n_c[:, None] + n_b[:, None], 1)
        )
        step = special.xlogy(k_c[:, None], parts) + special.xlog1py(k_b[:, None], -parts)
        step[:, : 1 + len(HARM)] *= ~often[:, None]
        self.logs += step
        rates = (self.before[2:] + 0.18) / (self.before[:2] + 0.36)
        low, high = rates[1], np.maximum(rates[0], rates[1])
        shared = (n_c * high + n_b * low) / np.maximum(n_c + n_b, 1)
        shared[n_c == 0] = 0.5
        two = sum(
            special.xlogy(k, rate / shared) + special.xlogy(n - k, (1.0 - rate) / (1.0 - shared))
            for k, n, rate in ((k_c, n_c, high), (k_b, n_b, low))
        )
        self.frequent += np.where(often, two, 0.0)
        ceiling = GUARDRAIL.ceiling
        self.kills += k_c[:, None] * np.log(KILLS / ceiling)
        self.kills += (n_c - k_c)[:, None] * np.log((1.0 - KILLS) / (1.0 - ceiling))
        self.before += (n_c, n_b, k_c, k_b)
        last = 1 + len(HARM)
        harm = _mixed(self.logs[:, 1:last], WEIGHTS) - self.logs[:, 0] + self.frequent
        safe = _mixed(self.logs[:, last + 1 :], np.full(len(SAFE), 1.0 / len(SAFE)))
        worse = (harm >= PLAN.limits[0]) & (self.before[2:].sum(axis=0) >= GUARDRAIL.min_events)
        kill = special.logsumexp(self.kills, axis=1) - math.log(len(KILLS))
        worse |= (kill >= PLAN.kill_limit) & (harm >= APART)
        return worse, safe - self.logs[:, last] >= SAFELY


def ours(counts: Counts, look: int = LOOK) -> tuple[Floats, Floats]:
    """Give after how many requests a run is rolled back, and after how many it is safe."""
    rule = Ours(counts.shape[2])
    first = np.full((2, counts.shape[2]), NEVER)
    for place, each in enumerate(counts):
        for row, hit in enumerate(rule.see(each)):
            first[row][np.isinf(first[row]) & hit] = (place + 1) * look
    return first[0], first[1]


def _mixed(logs: Floats, weights: Floats) -> Floats:
    most = logs.max(axis=1)
    mixed: Floats = most + np.log((np.exp(logs - most[:, None]) * weights).sum(axis=1))
    return mixed


def usual(counts: Counts, look: int = LOOK) -> dict[str, Floats]:
    """Give after how many requests the usual rules roll back."""
    sums = counts.cumsum(axis=0).astype(np.float64)
    n_c, n_b, k_c, k_b = (sums[:, place] for place in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k_c + k_b) / (n_c + n_b)
        z = (k_c / n_c - k_b / n_b) / np.sqrt(pooled * (1.0 - pooled) * (1.0 / n_c + 1.0 / n_b))
        failing = np.nan_to_num(counts[:, 2] / counts[:, 0])
    over = np.nan_to_num(z) > Z95
    row = over[2:] & over[1:-1] & over[:-2]
    last = np.zeros_like(over)
    last[-1] = over[-1]
    argo = (failing > 0.05).cumsum(axis=0) > 3  # noqa: PLR2004 -- 95 % succeed, failureLimit 3
    flagger = (failing > 0.01).cumsum(axis=0) >= 5  # noqa: PLR2004 -- 99 % succeed, threshold 5
    return {
        "z": _first(over, look),
        "z, 3 in a row": _first(np.concatenate([over[:2] & False, row]), look),
        "z once, at the end": _first(last, look),
        "Argo-like, 95 %, 3 may fail": _first(argo, look),
        "Flagger-like, 99 %, 4 may fail": _first(flagger, look),
        "Kayenta-like": kayenta(counts[:, :, :JUDGED], look),
        "safe 2 × 2": safe_tables(counts, look),
    }


def _first(hits: Flags, look: int) -> Floats:
    found: Floats = np.where(hits.any(axis=0), (hits.argmax(axis=0) + 1.0) * look, NEVER)
    return found


def safe_tables(counts: Counts, look: int) -> Floats:
    """Take the test of Turner, Ly and Grünwald alone, at any rate."""
    found = np.zeros(counts.shape[::2])
    for run in range(counts.shape[2]):
        log_e, seen = 0.0, [0, 0, 0, 0]
        for place, each in enumerate(counts[:, :, run].tolist()):
            n_c, n_b, k_c, k_b = each
            rates = sequential.learnt(seen[2], seen[0]), sequential.learnt(seen[3], seen[1])
            log_e += sequential.two_by_two((k_c, n_c), (k_b, n_b), rates)
            found[place, run] = log_e
            seen = [a + b for a, b in zip(seen, each, strict=True)]
    return _first(found >= -math.log(ALPHA), look)


def kayenta(counts: Counts, look: int, every: int = 10) -> Floats:
    """Judge the rates of intervals as Kayenta does: its interval of the shift is clear of zero.

    98 %, by ranks; clear of a quarter of the shift. Judged every ten looks.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.nan_to_num(counts[:, 2:] / counts[:, :2])
    hits = np.zeros(counts.shape[::2], dtype=bool)
    for run in range(counts.shape[2]):
        for place in range(every - 1, len(counts), every):
            n = place + 1
            canary, baseline = rates[:n, 0, run], rates[:n, 1, run]
            shifts = np.sort(np.subtract.outer(canary, baseline), axis=None)
            back = Z98 * math.sqrt(n * n * (2 * n + 1) / 12.0)
            low = shifts[max(int(n * n / 2.0 - back), 0)]
            hits[place, run] = low > 0.25 * abs(float(np.median(shifts)))
            if hits[place, run]:
                break
    return _first(hits, look)


def by_engine(counts: Counts) -> float:
    """Give after how many requests a real engine rolls one run back."""
    clock = ManualClock(1e9)
    engine = RollbackEngine(PLAN, clock=clock)
    for place, (n_c, n_b, k_c, k_b) in enumerate(counts.tolist()):
        engine.observe("canary", requests=n_c, events={"errors": k_c}, interval=f"{place}")
        engine.observe("baseline", requests=n_b, events={"errors": k_b}, interval=f"{place}")
        clock.advance(1.0)
        if engine.decide().action == "rollback":
            return (place + 1.0) * LOOK
    return NEVER


def every_request(rng: np.random.Generator, rate: float, share: float) -> bool:
    """Look after every request of one run, and tell whether it is ever rolled back.

    What an arm reports waits for the other; evidence moves only at events, so that only they are
    put in. (The fast kill, whose ceiling is far from here, is left out.)
    """
    canary = rng.random(REQUESTS) < share
    event = rng.random(REQUESTS) < rate
    firsts = np.flatnonzero(np.diff(canary)) + 1  # where the other arm comes
    table, evidence = Table([GUARDRAIL]), Evidence.none(1)
    sums = np.stack([canary, ~canary, canary & event, ~canary & event]).cumsum(axis=1)
    start, before, done = 0, np.zeros(4, dtype=np.int64), (0, 0)
    while (place := int(np.searchsorted(firsts, start, side="right"))) < len(firsts):
        end = int(firsts[place])
        n_c, n_b, k_c, k_b = (sums[:, end] - before).tolist()
        if k_c or k_b:
            evidence = replace(evidence, requests=done)
            evidence = evidence.after(table, (n_c, n_b), [(k_c, k_b)])
            enough = int(evidence.counts.sum()) >= GUARDRAIL.min_events
            if enough and evidence.harm[0] >= PLAN.limits[0]:
                return True
        before, done, start = sums[:, end], (int(sums[0, end]), int(sums[1, end])), end + 1
    return False


def several(rng: np.random.Generator, rates: dict[Guardrail, float]) -> bool:
    """Tell whether a real engine ever rolls back a canary that is equal in all guardrails."""
    plan = RollbackPlan("external", guardrails=list(rates), alpha=ALPHA, bake=1e9)
    clock = ManualClock(1e9)
    engine = RollbackEngine(plan, clock=clock)
    for _ in range(REQUESTS // (2 * LOOK)):
        n_c = int(rng.binomial(2 * LOOK, 0.3))
        for arm, n in (("canary", n_c), ("baseline", 2 * LOOK - n_c)):
            events = {each.name: int(rng.binomial(n, rate)) for each, rate in rates.items()}
            engine.observe(arm, requests=n, events=events)  # type: ignore[arg-type]
        clock.advance(1.0)
        if engine.decide().action == "rollback":
            return True
    return False


def left_out(rng: np.random.Generator, runs: int, ratio: float, share: float) -> int:
    """Count the runs in which the confidence sequence ever leaves the true ratio out."""
    missed, table = 0, Table([GUARDRAIL])
    for _ in range(runs):
        evidence = Evidence.none(1)
        counts = drawn(rng, 1, steady(0.02 * ratio), steady(0.02), steady(share), requests=10_000)
        for n_c, n_b, k_c, k_b in counts[:, :, 0].tolist():
            if not n_c or not n_b:
                continue
            evidence = evidence.after(table, (n_c, n_b), [(k_c, k_b)])
            low, high = (float(end[0]) for end in evidence.ratio(ALPHA))
            if not low <= ratio <= high:
                missed += 1
                break
    return missed


def part(hits: int, runs: int) -> str:
    """Write a share with its 95 % interval."""
    low, high = stats.binomtest(hits, runs).proportion_ci()
    return f"{100 * hits / runs:5.1f} % [{100 * low:.1f}–{100 * high:.1f}]"


def often(found: Floats) -> str:
    """Write how often something happened, with its interval."""
    return part(int(np.isfinite(found).sum()), len(found))


def middle(found: Floats) -> str:
    """Write the median with its 95 % interval."""
    ordered = np.sort(found)
    low, high = (ordered[int(stats.binom.ppf(q, len(found), 0.5))] for q in (0.025, 0.975))
    return f"{np.median(found):,.0f} [{low:,.0f}–{high:,.0f}]"


def wald(ratio: float, share: float, base: float) -> float:
    """Give Wald's bound on the mean requests of a test that knows the ratio."""
    p, q = (r * share / (r * share + 1.0 - share) for r in (ratio, 1.0))
    gain = p * math.log(p / q) + (1.0 - p) * math.log((1.0 - p) / (1.0 - q))
    return -math.log(ALPHA) / gain / (share * base * ratio + (1.0 - share) * base)


def always_failing(rng: np.random.Generator, share: float, many: int) -> int:
    """Give how many requests a canary answers that always fails, looking after each request."""
    plan = RollbackPlan("external", guardrails=[Guardrail(f"kind {n}") for n in range(many)])
    clock = ManualClock(1e9)
    engine, exposed = RollbackEngine(plan, clock=clock), 0
    while exposed < 1_000:  # noqa: PLR2004 -- never
        if rng.random() < share:
            exposed += 1
            engine.observe("canary", requests=1, events={"kind 0": 1})
        else:
            engine.observe("baseline", requests=1)
        clock.advance(0.01)
        if engine.decide().action == "rollback":
            break
    return exposed


def cost() -> tuple[float, float]:
    """Give the CPU of observe, by request, and of decide with 5 guardrails, in µs."""
    plan = RollbackPlan("external", guardrails=[Guardrail(name) for name in "abcde"], bake=1e9)
    rng, taken = np.random.default_rng(1), []
    for _ in range(5):
        engine = RollbackEngine(plan, clock=ManualClock(1e9))
        observed = decided = 0.0
        for _ in range(1_000):
            counts = {"a": int(rng.binomial(500, 0.01))}
            start = time.process_time()
            engine.observe("canary", requests=500, events=counts)
            engine.observe("baseline", requests=500, events=counts)
            between = time.process_time()
            engine.decide()
            observed, decided = observed + between - start, decided + time.process_time() - between
        taken.append((observed, decided))
    return statistics.median(t[0] for t in taken), statistics.median(t[1] for t in taken) * 1e3


def equal_canaries(rng: np.random.Generator, runs: int) -> Iterator[bool]:
    """Print how often equal canaries are rolled back."""
    print(f"equal canaries, {runs:,} runs (Kayenta-like: {JUDGED}), how often they are rolled back")
    for name, (rate, share) in EQUAL.items():
        counts = drawn(rng, runs, rate, rate, share)
        harm, _ = ours(counts)
        others = ", ".join(
            f"{k} {100 * np.isfinite(f).mean():.0f}" for k, f in usual(counts).items()
        )
        print(f"  {name:21} ours {often(harm)}; {others} %", flush=True)
        yield bool(np.isfinite(harm).mean() > ALPHA)
        engines = [by_engine(counts[:, :, run]) for run in range(ENGINES)]
        if engines != harm[:ENGINES].tolist():
            print(f"      a real engine says otherwise: {engines}, {harm[:ENGINES].tolist()}")
            yield True
    for fixed in (0.5, 0.1):
        hits = sum(every_request(rng, 0.01, fixed) for _ in range(runs // 4))
        print(
            f"  a look after every request, share {fixed:.0%}: {part(hits, runs // 4)}", flush=True
        )
        yield hits / (runs // 4) > ALPHA
    three = {Guardrail("errors"): 0.01, Guardrail("slow"): 0.05, Guardrail("odd"): 0.001}
    plans = {
        "errors, slow, odd": three,
        "and conversions of 60 % (decrease)": {
            **three,
            Guardrail("conversions", direction="decrease"): 0.6,
        },
        "and clicks of 40 % (success)": {**three, Guardrail("clicks", kind="success"): 0.4},
    }
    for name, rates in plans.items():
        hits = sum(several(rng, rates) for _ in range(runs // 5))
        print(f"  real engine, {name}: {part(hits, runs // 5)}", flush=True)
        yield hits / (runs // 5) > ALPHA


def sticky(rng: np.random.Generator, share: float, cluster: str | None) -> bool:
    """Tell whether an equal canary is rolled back; 2,000 users, of whom 1 % always fail."""
    clock, users = ManualClock(0.0), 2_000
    plan = RollbackPlan("external", guardrails=[GUARDRAIL], bake=1e9, cluster=cluster)
    engine = RollbackEngine(plan, clock=clock)
    canary, failing = rng.random(users) < share, rng.random(users) < 0.01  # noqa: PLR2004
    for place, user in enumerate(rng.integers(0, users, REQUESTS).tolist(), start=1):
        engine.observe(
            "canary" if canary[user] else "baseline",
            requests=1,
            events={"errors": int(failing[user])},
            cluster=user if cluster else None,
        )
        if place % LOOK == 0:
            clock.advance(1.0)
            if engine.decide().action == "rollback":
                return True
    return False


def sticky_canaries(rng: np.random.Generator, runs: int) -> Iterator[bool]:
    """Print how often users whose requests all fail roll an equal canary back."""
    print("2,000 users who stay in their arm, 1 % of whom always fail: equal canaries rolled back")
    for share in (0.5, 0.1):
        counted = sum(sticky(rng, share, "user") for _ in range(runs // 10))
        naive = sum(sticky(rng, share, None) for _ in range(runs // 20))
        each, once = part(naive, runs // 20), part(counted, runs // 10)
        print(f"  share {share:.0%}: cluster= {once}, each request {each}", flush=True)
        yield counted / (runs // 10) > ALPHA


def worse_canaries(rng: np.random.Generator, runs: int) -> Iterator[bool]:
    """Print how often worse canaries are found, and after how many requests."""
    print("worse canaries: how often they are found, and the median of requests until then")
    for name, canary, base, share, most, power in WORSE:
        counts = drawn(rng, runs, steady(canary), steady(base), share)
        harm, _ = ours(counts)
        print(f"  {name}: ours {often(harm)}, {middle(harm)} (≤ {most:,.0f})")
        for rule, found in usual(counts).items():
            print(f"      {rule:30} {often(found)}, {middle(found)}")
        yield bool(np.median(harm) > most)
        yield bool(np.isfinite(harm).mean() < power)
        engines = [by_engine(counts[:, :, run]) for run in range(ENGINES)]
        if engines != harm[:ENGINES].tolist():
            print(f"      a real engine says otherwise: {engines}, {harm[:ENGINES].tolist()}")
            yield True
    print("mean requests over Wald's bound, share 50 % and 10 % (≤ 1.5)")
    for ratio, look, requests in (
        (1.5, 100, 300_000),
        (2.0, 100, 100_000),
        (3.0, 10, 20_000),
        (5.0, 10, 10_000),
        (10.0, 5, 5_000),
    ):
        told = []
        for part_, span in ((0.5, requests), (0.1, 2 * requests)):
            share = steady(part_)
            counts = drawn(
                rng, runs // 4, steady(0.01 * ratio), ONE, share, look=look, requests=span
            )
            harm, _ = ours(counts, look)
            times = np.minimum(harm, span) / wald(ratio, part_, 0.01)
            error = 1.96 * float(times.std()) / math.sqrt(len(times))
            cut = int(np.isinf(harm).sum())
            told.append(
                f"{times.mean():.2f} ± {error:.2f}" + (f" ({cut} not found)" if cut else "")
            )
            if part_ == 0.5:  # noqa: PLR2004 -- the share of the number to hold
                yield bool(times.mean() > 1.5)  # noqa: PLR2004 -- the number to hold
        print(f"  ratio {ratio:4}: {', '.join(told)}", flush=True)
    print("a canary that always fails, requests until it is stopped, most of 20 runs (≤ 10)")
    for many in (1, 5, 20):
        shares = (0.01, 0.1, 0.5, 0.9)
        exposed = [max(always_failing(rng, share, many) for _ in range(20)) for share in shares]
        print(f"  {many:2} guardrails, share 1, 10, 50, 90 %: {exposed}", flush=True)
        yield max(exposed) > 10  # noqa: PLR2004 -- the number to hold


def promotions(rng: np.random.Generator, runs: int) -> Iterator[bool]:
    """Print how soon equal canaries are proven safe, and how often worse ones."""
    print("promotions at a margin of 2, by 40,000 requests")
    for share, most in ((0.5, 5_000), (0.1, 11_500)):
        equal, worse = (
            ours(drawn(rng, runs, steady(rate), ONE, steady(share), requests=2 * REQUESTS))[1]
            for rate in (0.01, 0.02)
        )
        print(
            f"  share {share:.0%}: equal {often(equal)}, {middle(equal)} (≤ {most:,}); "
            f"wrongly, at the margin {often(worse)}",
            flush=True,
        )
        yield bool(np.median(equal) > most)
        yield bool(np.isfinite(worse).mean() > ALPHA)
    print("confidence sequences that ever leave the true ratio out, a look every 100 of 10,000")
    for ratio, share in ((0.5, 0.3), (1.0, 0.5), (1.0, 0.05), (3.0, 0.3), (10.0, 0.1)):
        missed = left_out(rng, runs // 5, ratio, share)
        print(f"  ratio {ratio:4}, share {share:.0%}: {part(missed, runs // 5)}", flush=True)
        yield missed / (runs // 5) > ALPHA


def main() -> int:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=2_000)
    runs = options.parse_args().runs
    rng = np.random.default_rng(8)
    missed = [
        *equal_canaries(rng, runs),
        *sticky_canaries(rng, runs),
        *worse_canaries(rng, runs),
        *promotions(rng, runs),
    ]
    observed, decided = cost()
    print(f"observe {observed:.3f} µs a request in bulk (≤ 1)")
    print(f"decide {decided:.0f} µs with 5 guardrails (≤ 30)")
    missed += [observed > 1.0, decided > 30.0]  # noqa: PLR2004 -- the numbers to hold
    print(f"{sum(missed)} numbers to hold are missed")
    return int(any(missed))


if __name__ == "__main__":
    sys.exit(main())
