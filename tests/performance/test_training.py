"""A gate inside a training loop: it stops what goes wrong, and nothing else."""

from __future__ import annotations

import math
import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import SGDRegressor

from mlguard import ConfigurationError, Severity, Verdict, at_most, cached, strict, worst
from mlguard.performance import TrainingGate, converges, finite, improves, logged
from mlguard.testing import ScriptedCheck

if TYPE_CHECKING:
    from collections.abc import Callable

OK, UNKNOWN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.BREACH
NAN, INF = math.nan, math.inf
SHORT = {"O": OK, "U": UNKNOWN, "B": BREACH}


def severities(gate: TrainingGate, values: list[float | None], name: str = "loss") -> str:
    steps = [gate.step({"other": 1.0} if value is None else {name: value}) for value in values]
    return "".join(verdict.severity.name[0] for verdict in steps)


@pytest.mark.parametrize(
    ("gate", "values", "expected"),
    [
        (TrainingGate(), [1.0, NAN, 1.0, INF, -INF], "OBOBB"),
        (TrainingGate(finite("loss")), [1.0, None, NAN], "OUB"),
        (TrainingGate(finite()), [1.0, None, 2.0], "OOO"),
        (TrainingGate(logged("loss", at_most(2.0, warn=1.0))), [1.0, 1.5, 3.0, None, NAN], "OWBUU"),
        (TrainingGate(converges("loss")), [1.0, 0.4, 1.3, 1.9, 4.0, 0.5], "OOOOBO"),
        (TrainingGate(converges("loss", patience=1)), [1.0, 2.9, 3.0, 3.1], "OOOB"),
        (TrainingGate(converges("loss", factor=1.5, patience=2)), [1.0, 1.6, 1.4, 1.6, 1.6], "OOOOB"),
        (TrainingGate(converges("loss")), [1.0, NAN, NAN, NAN, 0.5], "OUUBO"),
        (TrainingGate(converges("loss", patience=1)), [NAN, 1.0, 2.0, 4.0], "UOOB"),
        (TrainingGate(converges("loss", patience=1)), [INF, 1.0, INF], "UOB"),
        (TrainingGate(converges("loss", patience=2)), [None, 1.0, None, 9.0, None, 9.0], "UOOOOB"),
        (TrainingGate(improves("loss", patience=2)), [0.9, 0.7, 0.71, 0.7, 0.69], "OOOBO"),
        (TrainingGate(improves("loss", patience=1, min_delta=0.1)), [1.0, 0.95, 0.89, 0.85], "OBOB"),
        (TrainingGate(improves("loss", patience=2, min_delta=0.1)), [1.0, 0.94, 0.88, 0.82, 0.76], "OOOOO"),
        (TrainingGate(improves("loss", patience=2, better="higher")), [0.6, 0.7, 0.7, 0.69, 0.8], "OOOBO"),
        (TrainingGate(improves("loss", patience=3)), [1.0, NAN, NAN, NAN, 0.5], "OUUBO"),
        (TrainingGate(improves("loss", patience=2)), [None, 1.0, None, 1.0, None, 1.0], "UOOOOB"),
    ],
)  # fmt: skip
def test_each_check_says_what_its_docstring_does(
    gate: TrainingGate, values: list[float | None], expected: str
) -> None:
    assert severities(gate, values) == expected


def runs_away(values: list[float], factor: float, patience: int) -> list[bool]:
    """Tell at each step, in the slowest way, whether the last `patience` losses were too high."""
    high = []
    for k, value in enumerate(values):
        before = [v for v in values[:k] if not math.isnan(v)]
        high.append(k > 0 and not value <= factor * min(before, default=INF))
    return [all(high[: k + 1][-patience:]) and k >= patience for k in range(len(values))]


def stands_still(values: list[float], min_delta: float, patience: int) -> list[bool]:
    """Tell at each step whether the last record, each `min_delta` below the one before, is old."""
    told, record, age = [], INF, 0
    for k, value in enumerate(values):
        fresh = value < record - min_delta
        record, age = (value, 0) if fresh else (record, age + (k > 0))
        told.append(age >= patience)
    return told


numbers = st.lists(st.sampled_from([0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 7.0, NAN, INF]), max_size=30)


@given(numbers, st.integers(1, 4), st.sampled_from([1.5, 3.0]))
def test_converges_is_its_slow_model(values: list[float], patience: int, factor: float) -> None:
    gate = TrainingGate(converges("loss", factor=factor, patience=patience))
    expected = runs_away(values, factor, patience)
    assert [letter == "B" for letter in severities(gate, list(values))] == expected


@given(numbers, st.integers(1, 4), st.sampled_from([0.0, 0.1]), st.booleans())
def test_improves_is_its_slow_model(
    values: list[float],
    patience: int,
    min_delta: float,
    up: bool,  # noqa: FBT001 -- drawn
) -> None:
    way = "higher" if up else "lower"
    gate = TrainingGate(improves("loss", patience=patience, min_delta=min_delta, better=way))  # type: ignore[arg-type]
    shown: list[float | None] = [-value if up else value for value in values]
    expected = stands_still(values, min_delta, patience)
    assert [letter == "B" for letter in severities(gate, shown)] == expected


def test_steps_are_counted_unless_they_are_given() -> None:
    gate = TrainingGate(finite("loss"))
    reasons = [gate.step({"loss": 1.0}, step=step).causes[0] for step in (None, None, 10, None, 3)]
    assert [cause.reason.rsplit(" ", 1)[1] for cause in reasons if isinstance(cause, Verdict)] == [
        "0",
        "1",
        "10",
        "11",
        "3",
    ]


class Tensor:
    """What the tensors of one item of every framework have in common."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __float__(self) -> float:
        if isinstance(self.value, float):
            return self.value
        message = "only one element tensors can be converted"
        raise ValueError(message)


def test_anything_that_float_takes_is_a_metric() -> None:
    gate = TrainingGate(finite("loss", "norm"))
    metrics = {"loss": Tensor(0.5), "norm": np.float32(2.0)}
    assert gate.step(metrics).ok  # type: ignore[arg-type]
    assert gate.step({"loss": Tensor(NAN), "norm": 1}).severity is BREACH


@pytest.mark.parametrize(
    ("metrics", "step", "message"),
    [
        ({"loss": "low"}, None, "metrics['loss'] = 'low': must be a number"),
        ({"loss": None}, None, "metrics['loss'] = None: must be a number"),
        ({"loss": 1.0, "norm": Tensor([1, 2])}, None, "metrics['norm'] = <"),
        ({"loss": [0.1]}, None, "metrics['loss'] = [0.1]: must be a number"),
        ([("loss", 1.0)], None, "metrics = [('loss', 1.0)]: must be a mapping of names to numbers"),
        (0.5, None, "metrics = 0.5: must be a mapping of names to numbers"),
        ({"loss": 9.0}, -1, "step = -1: must be a whole number of at least 0"),
        ({"loss": 9.0}, 1.5, "step = 1.5: must be a whole number of at least 0"),
    ],
)
def test_bad_metrics_change_nothing(metrics: Any, step: Any, message: str) -> None:
    gate = TrainingGate(converges("loss", patience=1), finite("loss"))
    gate.step({"loss": 1.0})
    before = gate()
    with pytest.raises(ConfigurationError) as caught:
        gate.step(metrics, step=step)
    assert str(caught.value).startswith(message)
    assert gate() == before
    assert [check() for check in gate.checks] == list(before.causes)
    assert "step 1" in gate.step({"loss": 1.0}).causes[1].reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainingGate(3), "check = 3: must be a callable"),  # type: ignore[arg-type]
        (lambda: TrainingGate(name=""), "name = '': must be a string that is not empty"),
        (lambda: finite(""), "names = '': must be a string that is not empty"),
        (lambda: logged("", at_most(1.0)), "metric = '': must be a string"),
        (lambda: logged("loss", 3), "policy = 3: must be a callable"),  # type: ignore[arg-type]
        (lambda: converges("loss", factor=1.0), "factor = 1.0: must be above 1"),
        (lambda: converges("loss", factor=NAN), "factor = nan: must be a finite number"),
        (lambda: converges("loss", patience=0), "patience = 0: must be a whole number of at least 1"),
        (lambda: improves("loss", patience=-1), "patience = -1: must be a whole number of at least 1"),
        (lambda: improves("loss", patience=1, min_delta=-1.0), "min_delta = -1.0: must be at least 0"),
        (lambda: improves("loss", patience=1, better="up"), 'better = \'up\': must be "lower" or'),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_check_that_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_gate_without_a_step_is_unknown_and_then_repeats_its_last() -> None:
    gate = TrainingGate(name="epochs")
    assert gate().severity is UNKNOWN
    assert converges("loss")().severity is UNKNOWN
    verdict = gate.step({"loss": NAN})
    assert gate() is verdict
    assert verdict.name == "epochs"


def test_a_gate_is_a_check_among_others_and_plain_checks_stand_in_it() -> None:
    gate = TrainingGate(finite(), ScriptedCheck("OK BREACH OK"))
    both = worst("release", gate, ScriptedCheck("OK"))
    assert severities(gate, [1.0, 1.0, NAN]) == "OBB"
    assert both().severity is BREACH


def test_a_check_that_crashes_is_unknown_and_the_others_go_on() -> None:
    def disk() -> Verdict:
        message = "disk full"
        raise OSError(message)

    gate = TrainingGate(finite(), disk)
    verdict = gate.step({"loss": 1.0})
    assert verdict.severity is UNKNOWN
    assert "crashed: OSError: disk full" in verdict.explain()


def test_a_pickled_gate_resumes_where_it_was() -> None:
    gate = TrainingGate(converges("loss", patience=3), improves("loss", patience=5), finite())
    severities(gate, [1.0, 4.0, 4.0])
    copy: TrainingGate = pickle.loads(pickle.dumps(gate))  # noqa: S301 -- our own
    assert copy() == gate()
    assert copy.step({"loss": 4.0}) == gate.step({"loss": 4.0})
    assert copy().severity is BREACH
    copy.step({"loss": 0.5})
    assert gate().severity is BREACH


def test_every_step_of_every_thread_is_counted() -> None:
    gate = TrainingGate(improves("loss", patience=400))
    start = threading.Barrier(8)

    def train() -> None:
        start.wait()
        for _ in range(50):
            gate.step({"loss": 1.0})

    threads = [threading.Thread(target=train) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gate().severity is OK  # the first of 400 was the best, 399 were no better
    assert gate.step({"loss": 1.0}).severity is BREACH
    assert "for 400 steps" in gate().explain()


@pytest.mark.parametrize(("rate", "diverges"), [(1e-3, False), (0.2, True)])
def test_a_loop_of_scikit_learn_is_stopped_just_when_it_diverges(
    rate: float,
    diverges: bool,  # noqa: FBT001 -- a table of cases
) -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((500, 20))
    y = x @ rng.standard_normal(20) + 0.1 * rng.standard_normal(500)
    model = SGDRegressor(learning_rate="constant", eta0=rate, random_state=0)
    gate = TrainingGate(finite("loss"), converges("loss"))
    verdict = gate.step({"loss": float(np.square(y).mean())})
    for _ in range(30):
        model.partial_fit(x, y)
        with np.errstate(over="ignore"):
            verdict = gate.step({"loss": float(np.square(model.predict(x) - y).mean())})
        if verdict.severity is BREACH:
            break
    assert (verdict.severity is BREACH) is diverges


def test_followers_inside_combined_and_wrapped_checks_are_shown_the_metrics() -> None:
    gate = TrainingGate(strict(worst("both", finite(), cached(logged("loss", at_most(2.0)), 9.0))))
    assert gate.step({"loss": 1.0}).ok
    assert gate.step({"loss": math.nan}).severity is Severity.BREACH


def test_a_loss_below_zero_that_improves_has_not_diverged() -> None:
    gate = TrainingGate(converges("loss", patience=1))
    assert severities(gate, [-1.0, -2.0, -3.0, -2.5, 2.9, 3.1]) == "OOOOOB"
