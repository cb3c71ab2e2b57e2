"""What a step of a policy costs, what fifty simulated years cost, and how policies hover and find.

The metric of the table is AR(1) with a coefficient of 0.6 and a stationary deviation of 0.12, and
the limit is 1. It hovers at a level for 2000 evaluations, in 60 runs: how often does a policy begin
to fire? And when the level steps from 0.8 to 1.4, how many evaluations later does it? Limits fail
the run.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from mlguard import (
    Action,
    Measurement,
    Reference,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    at_most,
    default_ladder,
    guard,
    hysteresis,
    sustained,
)
from mlguard.drift import scaled, shifted, vanished
from mlguard.policies.simulate import Drift, compared, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlguard.policies.simulate import Simulation
    from mlguard.protocols import Check, Measure, Policy
    from mlguard.values import Decision

    Make = Callable[[Measure], Check]

STEPS = 20_000
NAMES = ("drift", "estimated performance", "performance")
FEATURES, ROWS, DAYS, YEARS = 40, 2_000, 180, 50.0
MINUTE = 60.0
RUNS, EVALUATIONS, BEFORE = 60, 2_000, 60
LIMIT = 1.0


def least(work: Callable[[], object], repeats: int) -> float:
    """Give the least CPU time of several runs, in seconds: neighbours only ever add to it."""
    found = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        found = min(found, time.process_time() - start)
    return found


def stepped(given: list[dict[str, Verdict]]) -> list[Decision]:
    """Step the default ladder through verdicts, a minute apart."""
    policy = default_ladder()
    state, decided = policy.begin(), []
    for place, verdicts in enumerate(given):
        state, decisions = policy.step(state, verdicts, place * MINUTE)
        decided += decisions
    return decided


def verdicts_of(severities: NDArray[np.int64]) -> list[dict[str, Verdict]]:
    """Give three verdicts an evaluation, from severities of shape (evaluations, 3)."""
    kinds = {
        (name, bad): Verdict(name, Severity.BREACH if bad else Severity.OK, "as drawn")
        for name in NAMES
        for bad in (0, 1)
    }
    return [{name: kinds[name, bad] for name, bad in zip(NAMES, row, strict=True)}
            for row in severities.tolist()]  # fmt: skip


def asked(values: list[float], make: Make) -> list[bool]:
    """Ask a check once for each value, a minute apart: whether it is in breach."""
    given = (Measurement("psi", value, at=place * MINUTE) for place, value in enumerate(values))
    check = make(partial(next, given))
    return [check().severity is Severity.BREACH for _ in values]


def judged(measure: Measure, policy: Policy, k: int = 1, of: int | None = None,
           keep: float = 0.0) -> Check:  # fmt: skip
    """Make a guard, and what makes it last."""
    check = guard(measure, policy)
    if k == 1 and not keep:
        return check
    return sustained(check, k=k, of=of, keep=keep * MINUTE)


PLAIN, TWO_LINES = at_most(LIMIT), hysteresis(enter=LIMIT, exit=0.9 * LIMIT)
DEFAULT = "3 in a row, hysteresis, keep 10"
POLICIES: dict[str, Make] = {
    "x > T": partial(judged, policy=PLAIN),
    "3 in a row": partial(judged, policy=PLAIN, k=3),
    "5 in a row": partial(judged, policy=PLAIN, k=5),
    "4 of 5": partial(judged, policy=PLAIN, k=4, of=5),
    "keep 10": partial(judged, policy=PLAIN, keep=10),
    "hysteresis 0.9 T": partial(judged, policy=TWO_LINES),
    "3 in a row, hysteresis": partial(judged, policy=TWO_LINES, k=3),
    DEFAULT: partial(judged, policy=TWO_LINES, k=3, keep=10),
    "4 of 5, hysteresis, keep 10": partial(judged, policy=TWO_LINES, k=4, of=5, keep=10),
}


def hovering(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw an AR(1) path around 0."""
    noise = 0.12 * np.sqrt(1.0 - 0.6**2) * rng.standard_normal(count)
    noise[0] = 0.12 * rng.standard_normal()
    path: NDArray[np.float64] = signal.lfilter([1.0], [1.0, -0.6], noise)
    return path


def begins(firing: list[bool]) -> int:
    """Count how often it begins to fire."""
    return sum(now and not before for before, now in zip([False, *firing], firing, strict=False))


def delay(firing: list[bool]) -> int:
    """Count the evaluations after the step until it fires."""
    return firing[BEFORE:].index(True)


def table() -> dict[str, tuple[float, float, int, float, int]]:
    """Give of each policy the median at 0.8, median and most at 1, median and most delay."""
    rng = np.random.default_rng(8)
    paths = [hovering(rng, EVALUATIONS) for _ in range(RUNS)]
    steps = [np.repeat([0.8, 1.4], [BEFORE, 40]) + hovering(rng, BEFORE + 40) for _ in range(RUNS)]
    found = {}
    for name, make in POLICIES.items():
        below, at = (
            [begins(asked((level + path).tolist(), make)) for path in paths] for level in (0.8, 1.0)
        )
        delays = [delay(asked(path.tolist(), make)) for path in steps]
        found[name] = (
            float(np.median(below)),
            float(np.median(at)),
            max(at),
            float(np.median(delays)),
            max(delays),
        )
    return found


def fifty_years() -> tuple[float, Simulation]:
    """Give the CPU seconds of fifty simulated years over forty features, and what was found."""
    rng = np.random.default_rng(5)
    names = [f"feature {number}" for number in range(FEATURES)]

    def day(rows: int) -> dict[str, NDArray[np.float64]]:
        return {name: rng.normal(size=rows) for name in names}

    reference = Reference.fit(day(20_000))
    history = {"drift": [reference.profile(day(ROWS)) for _ in range(DAYS)]}
    one = names[:1]
    drifts = {
        "all features": Drift({"drift": shifted(reference, 0.5)}),
        "one feature, growing": Drift({"drift": shifted(reference, 0.5, columns=one)}, "gradual"),
        "a unit error": Drift({"drift": scaled(reference, 1_000.0, columns=one)}),
        "bursts of missing": Drift({"drift": vanished(reference, 0.5, columns=one)}, "recurring"),
    }
    policy = ResponsePolicy(
        Response(Action.ALERT, when="drift", for_=3),
        Response(Action.RETRAIN, when="drift", for_=7, cooldown=7 * 86_400.0),
    )
    start = time.process_time()
    found = simulate(
        policy, history, judges={"drift": compared(reference)}, drifts=drifts, years=YEARS
    )
    return time.process_time() - start, found


def main() -> None:
    """Measure, print, and fail over a limit."""
    rng = np.random.default_rng(1)
    quiet = verdicts_of(np.zeros((STEPS, 3), dtype=np.int64))
    busy = verdicts_of((rng.random((STEPS, 3)) < 0.5).astype(np.int64))  # noqa: PLR2004 -- a coin
    values = (0.8 + hovering(rng, STEPS)).tolist()
    simulated, found = fifty_years()
    policies = table()
    naive, ours = policies["x > T"], policies[DEFAULT]
    rows = [
        (
            "a quiet step of the default ladder, us",
            least(partial(stepped, quiet), 9) / STEPS * 1e6,
            5,
        ),
        (
            f"a busy one, {len(stepped(busy)) / STEPS:.2f} decisions each, us",
            least(partial(stepped, busy), 5) / STEPS * 1e6,
            None,
        ),
        (
            "a guard with hysteresis, us",
            least(partial(asked, values, POLICIES["hysteresis 0.9 T"]), 5) / STEPS * 1e6,
            None,
        ),
        (
            "the same within sustained, us",
            least(partial(asked, values, POLICIES[DEFAULT]), 5) / STEPS * 1e6,
            None,
        ),
        (f"{YEARS:g} years of {FEATURES} features, {len(found.drifts)} drifts, s", simulated, 10),
        (f"fires at the limit in {EVALUATIONS}, {DEFAULT}: median", ours[1], 1),
        ("its delay after a step: median", ours[3], 2),
    ]
    missed = not 250 <= naive[1] <= 350  # noqa: PLR2004 -- else it is another metric
    for what, measured, limit in rows:
        missed |= limit is not None and measured > limit
        print(f"{what}: {measured:.4g}" + ("" if limit is None else f" (limit {limit})"))
    print(found)
    head = ("policy", "at 0.8", "at 1.0", "most", "delay", "most")
    print(f"{head[0]:<32}" + "".join(f"{each:>8}" for each in head[1:]))
    for name, numbers in policies.items():
        print(f"{name:<32}" + "".join(f"{each:>8g}" for each in numbers))
    if missed:
        sys.exit("a limit was missed")


if __name__ == "__main__":
    main()
