"""How often is a good canary rolled back, and how soon is a bad one? Ours and the usual rules.

20,000 requests, a look after every 100, alpha 0.05 one-sided, all rules on the same counts. The
usual rules are written down here as they are documented: a z-test at each look, the same three
times in a row, one z-test at the end, a success rate over each interval (as Flagger and Argo
Rollouts are set up). Ours is the evidence of `mlguard.rollout`, for all runs at once; some runs are
checked against the engine's own. Then: how near it comes to A. Wald's bound, a canary that always
fails, and what a look costs. Exit code 1 where a number to hold is missed.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from mlguard.rollout import Guardrail, RollbackEngine, RollbackPlan
from mlguard.rollout.evidence import Evidence, Table
from mlguard.stats.sequential import HARM, HARM_WEIGHTS, SAFE
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rate = Callable[[float], float]

ALPHA = 0.05
LIMIT = -math.log(ALPHA)
REQUESTS, LOOK = 20_000, 100
NEVER = np.inf
WEIGHTS = HARM_WEIGHTS / HARM_WEIGHTS.sum()


def steady(value: float) -> Rate:
    """Give a rate that does not change."""
    return lambda _: value


def drawn(  # noqa: PLR0917 -- what is drawn
    rng: np.random.Generator, runs: int, canary: Rate, baseline: Rate, share: Rate, look: int
) -> NDArray[np.int64]:
    """Draw requests and events of both arms at each look, shape (look, 4, run)."""
    found = []
    for place in range(REQUESTS // look):
        where = (place + 1) * look / REQUESTS
        n_c = rng.binomial(look, share(where), runs)
        events = rng.binomial(n_c, canary(where)), rng.binomial(look - n_c, baseline(where))
        found.append((n_c, look - n_c, *events))
    return np.array(found)


def ours(counts: NDArray[np.int64], look: int) -> tuple[Floats, Floats]:
    """Give after how many requests harm and safety are proven."""
    runs = counts.shape[2]
    grids = {"harm": np.append(1.0, HARM), "safe": np.append(2.0, 2.0 * SAFE)}
    logs = {name: np.zeros((runs, len(grid))) for name, grid in grids.items()}
    events = np.zeros(runs)
    first = {name: np.full(runs, NEVER) for name in grids}
    for place, (n_c, n_b, k_c, k_b) in enumerate(counts):
        paired = (n_c > 0) & (n_b > 0)
        events += np.where(paired, k_c + k_b, 0)
        often = events > 0.1 * (place + 1) * look  # there the engine takes the 2 × 2 test: below
        for name, grid in grids.items():
            total = np.log(grid * n_c[:, None] + n_b[:, None])
            with np.errstate(divide="ignore", invalid="ignore"):
                step = np.where(
                    k_c[:, None] > 0, k_c[:, None] * (np.log(grid * n_c[:, None]) - total), 0.0
                )
                step += np.where(
                    k_b[:, None] > 0, k_b[:, None] * (np.log(n_b[:, None]) - total), 0.0
                )
            logs[name] += np.where(paired[:, None], step, 0.0)
        harm = _mixed(logs["harm"][:, 1:], WEIGHTS) - logs["harm"][:, 0]
        safe = _mixed(logs["safe"][:, 1:], np.full(len(SAFE), 1.0 / len(SAFE))) - logs["safe"][:, 0]
        for name, found, enough in (("harm", harm, (events >= 3) & ~often), ("safe", safe, True)):  # noqa: PLR2004 -- a number of the rules or of the issue
            hit = np.isinf(first[name]) & (found >= LIMIT) & enough
            first[name][hit] = (place + 1) * look
    return first["harm"], first["safe"]


def _mixed(logs: Floats, weights: Floats) -> Floats:
    most = logs.max(axis=1)
    mixed: Floats = most + np.log((np.exp(logs - most[:, None]) * weights).sum(axis=1))
    return mixed


def usual(counts: NDArray[np.int64], look: int) -> dict[str, Floats]:
    """Give after how many requests the usual rules roll back."""
    sums = counts.cumsum(axis=0).astype(np.float64)
    n_c, n_b, k_c, k_b = (sums[:, place] for place in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k_c + k_b) / (n_c + n_b)
        z = (k_c / n_c - k_b / n_b) / np.sqrt(pooled * (1.0 - pooled) * (1.0 / n_c + 1.0 / n_b))
        failing = counts[:, 2] / counts[:, 0]
    over = np.nan_to_num(z) > 1.645  # noqa: PLR2004 -- a number of the rules or of the issue
    row = over[2:] & over[1:-1] & over[:-2]
    last = np.zeros_like(over)
    last[-1] = over[-1]
    failed = {  # an interval fails if fewer than that many succeed, and so many may
        allowed: np.nan_to_num(failing) > share for share, allowed in ((0.05, 3), (0.01, 4))
    }
    return {
        "z at every look": _first(over, look),
        "z, 3 in a row": _first(np.concatenate([over[:2] & False, row]), look),
        "z once, at the end": _first(last, look),
        "95 % success an interval, 3 may fail": _first(failed[3].cumsum(axis=0) > 3, look),  # noqa: PLR2004
        "99 % success an interval, 4 may fail": _first(failed[4].cumsum(axis=0) > 4, look),  # noqa: PLR2004
    }


def _first(hits: NDArray[np.bool_], look: int) -> Floats:
    found: Floats = np.where(hits.any(axis=0), (hits.argmax(axis=0) + 1.0) * look, NEVER)
    return found


def checked(counts: NDArray[np.int64], harm: Floats, look: int, runs: int) -> bool:
    """Tell whether the engine's own evidence says the same of some runs."""
    guardrail = Guardrail("errors")
    table = Table([guardrail])
    for run in range(runs):
        evidence, first = Evidence.none(1), NEVER
        for place, (n_c, n_b, k_c, k_b) in enumerate(counts[:, :, run].tolist()):
            if n_c and n_b:
                evidence = evidence.after(table, (n_c, n_b), [(k_c, k_b)])
            if int(evidence.counts.sum()) >= guardrail.min_events and evidence.harm[0] >= LIMIT:
                first = (place + 1) * look
                break
        if first != harm[run]:
            return False
    return True


def told(found: Floats) -> str:
    """Write how often, and the median."""
    share = float(np.isfinite(found).mean())
    return f"{100 * share:5.1f} %  median {np.median(found):>7,.0f}"


def wald(ratio: float, share: float, base: float) -> float:
    """Give Wald's bound on the mean requests of a test that knows the ratio."""
    p, q = (r * share / (r * share + 1.0 - share) for r in (ratio, 1.0))
    gain = p * math.log(p / q) + (1.0 - p) * math.log((1.0 - p) / (1.0 - q))
    return LIMIT / gain / (share * base * ratio + (1.0 - share) * base)


def always_failing(share: float, many: int) -> int:
    """Give how many requests a canary answers that always fails."""
    plan = RollbackPlan("external", guardrails=[Guardrail(f"kind {n}") for n in range(many)])
    clock = ManualClock(1e9)
    engine = RollbackEngine(plan, clock=clock)
    for exposed in range(1, 100):
        engine.observe("canary", requests=1, events={"kind 0": 1})
        engine.observe("baseline", requests=max(round((1.0 - share) / share), 1))
        clock.advance(1.0)
        if engine.decide().action == "rollback":
            return exposed
    return 100


def cost() -> tuple[float, float]:
    """Give the CPU of observe, by request, and of decide with 5 guardrails, in µs."""
    plan = RollbackPlan("external", guardrails=[Guardrail(name) for name in "abcde"])
    rng, taken = np.random.default_rng(1), []
    for _ in range(5):
        engine = RollbackEngine(plan, clock=ManualClock(1e9))
        observed = decided = 0.0
        for _ in range(1_000):
            counts = {"a": int(rng.binomial(500, 0.01))}
            start = time.process_time()
            engine.observe("canary", requests=500, events=counts)
            engine.observe("baseline", requests=500, events=counts)
            middle = time.process_time()
            engine.decide()
            observed, decided = observed + middle - start, decided + time.process_time() - middle
        taken.append((observed, decided))
    return statistics.median(t[0] for t in taken), statistics.median(t[1] for t in taken) * 1e3


def main() -> int:
    """Print all tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1_000)
    runs = options.parse_args().runs
    rng = np.random.default_rng(8)
    half, tenth = steady(0.5), steady(0.1)

    def ramp(where: float) -> float:
        return (0.01, 0.05, 0.25, 0.5)[min(int(4 * where), 3)]

    def jumps(where: float) -> float:
        return 0.02 + 0.58 * ((where * 7919.0) % 1.0)

    def drift(where: float) -> float:
        return 0.01 * math.exp(math.log(2.7) * math.sin(9.0 * where))

    one = steady(0.01)
    equal = {
        "1 %, share 50 %": (one, half),
        "1 %, share 10 %": (one, tenth),
        "0.1 %": (steady(0.001), half),
        "drift × 0.4…2.7": (drift, half),
        "ramp, errors × 2": (lambda where: 0.01 * (1.0 + where), ramp),
        "ramp, errors × 4": (lambda where: 0.01 * (1.0 + 3.0 * where), ramp),
        "share jumps 2–60 %": (one, jumps),
    }
    missed = 0
    print(f"equal canaries, {runs} runs: how often they are rolled back")
    for name, (rate, share) in equal.items():
        counts = drawn(rng, runs, rate, rate, share, LOOK)
        harm, safe = ours(counts, LOOK)
        missed += not checked(counts, harm, LOOK, 20)
        false = float(np.isfinite(harm).mean())
        missed += false > ALPHA
        others = ", ".join(
            f"{rule} {100 * np.isfinite(f).mean():.0f}" for rule, f in usual(counts, LOOK).items()
        )
        print(f"  {name:20} ours {100 * false:4.1f} %; {others} %; proven safe {told(safe)}")
    print("worse canaries: how often they are found, and after how many requests")
    for canary, share, most in (
        (0.05, half, 600),
        (0.05, tenth, 1_100),
        (0.02, half, 4_100),
        (0.02, tenth, NEVER),
    ):
        counts = drawn(rng, runs, steady(canary), one, share, LOOK)
        harm, safe = ours(counts, LOOK)
        power = float(np.isfinite(harm).mean())
        missed += bool(np.median(harm) > most) or power < 0.8  # noqa: PLR2004 -- a number of the rules or of the issue
        print(
            f"  1 → {100 * canary:.0f} %, share {share(0.0):.0%}: ours {told(harm)}; "
            f"wrongly safe {told(safe)}"
        )
        for rule, found in usual(counts, LOOK).items():
            print(f"      {rule:38} {told(found)}")
    print("mean requests over Wald's bound, share 50 %")
    for ratio in (1.5, 2.0, 3.0, 5.0, 10.0):
        counts = drawn(rng, runs // 2, steady(0.01 * ratio), one, half, 20 if ratio > 2.0 else LOOK)  # noqa: PLR2004 -- a number of the rules or of the issue
        harm, _ = ours(counts, 20 if ratio > 2.0 else LOOK)  # noqa: PLR2004 -- a number of the rules or of the issue
        part = float(np.minimum(harm, REQUESTS).mean()) / wald(ratio, 0.5, 0.01)
        cut = float(np.isinf(harm).mean())
        print(
            f"  ratio {ratio:4}: {part:.2f}"
            + (f" ({cut:.0%} were not found by {REQUESTS:,})" if cut else "")
        )
        missed += part > 1.5  # noqa: PLR2004 -- a number of the rules or of the issue
    print("a canary that always fails, requests until it is stopped: share 1, 10, 50 %")
    for many in (1, 5, 20):
        exposed = [always_failing(share, many) for share in (0.01, 0.1, 0.5)]
        missed += max(exposed) > 10  # noqa: PLR2004 -- a number of the rules or of the issue
        print(f"  {many:2} guardrails: {exposed}")
    observed, decided = cost()
    print(
        f"observe {observed:.3f} µs a request in bulk (≤ 1), decide {decided:.0f} µs with 5 "
        "guardrails (≤ 30)"
    )
    missed += observed > 1.0 or decided > 30.0  # noqa: PLR2004 -- a number of the rules or of the issue
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
