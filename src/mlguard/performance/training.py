"""A gate inside a training loop, free of any framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat

from mlguard import arguments
from mlguard.arguments import name_of, refusal, whole
from mlguard.checks import ask, checked, crashed, name_for
from mlguard.locks import Locked
from mlguard.render import text
from mlguard.values import Measurement, Severity, Verdict, combined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlguard.protocols import Check, Policy


class TrainingGate:
    """Checks asked at every step of a training loop; the worst verdict counts.

    Not thread-safe: it follows one training loop. State is per process and not mergeable.

    Args:
        checks: Any checks, also combined or wrapped ones. Those with `follow(metrics, step)`, such
            as `finite()`, `converges`, `improves` and `logged`, are shown the metrics of the step
            first. Without any, `finite()`.
        name: Of the verdicts.

    Raises:
        ConfigurationError: A check is not callable, or `name` is empty.

    Examples:
        >>> gate = TrainingGate(finite(), improves("val_loss", patience=2))
        >>> for step, loss in enumerate([0.9, 0.7, 0.71, 0.7]):
        ...     verdict = gate.step({"val_loss": loss}, step=step)
        ...     if verdict.severity is Severity.BREACH:
        ...         break
        >>> print(verdict.explain())
        BREACH  training: 1 BREACH (improves val_loss), 1 OK
          OK      finite: 1 metric is finite at step 3
          BREACH  improves val_loss: val_loss = 0.7, not better than 0.7 of step 1 for 2 steps
    """

    __slots__ = ("_followers", "_last", "_step", "checks", "name")

    def __init__(self, *checks: Check, name: str = "training") -> None:
        self.name = name_of("name", name)
        self.checks = tuple(checked(check) for check in checks) or (finite(),)
        self._followers = [each for check in self.checks for each in _followers(check)]
        self._step = -1
        self._last: Verdict | None = None

    def step(self, metrics: Mapping[str, SupportsFloat], *, step: int | None = None) -> Verdict:
        """Show the metrics of a step to the checks and ask them.

        Args:
            metrics: Numbers by name; anything that `float()` takes, such as a tensor of one item.
            step: Its number; one more than the last when not given.

        Raises:
            ConfigurationError: `metrics` is no mapping of names to numbers, or `step` no whole
                number; no check has seen anything then.
        """
        read = _read(metrics)
        number = None if step is None else whole("step", step)
        self._step = self._step + 1 if number is None else number
        verdicts = [
            crashed(name_for(follower), error)
            for follower in self._followers
            if (error := _shown(follower, read, self._step)) is not None
        ]
        verdicts += [ask(check) for check in self.checks]
        self._last = combined(self.name, verdicts, need=len(verdicts))
        return self._last

    def __call__(self) -> Verdict:
        """Give the verdict of the last step: the gate is a check."""
        last = self._last
        return Verdict(self.name, Severity.UNKNOWN, "no step yet") if last is None else last


@dataclass(frozen=True, slots=True)
class _Run:
    """What a training run has shown so far of one metric, or its last step of all."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    step: int = -1
    best: float = math.inf
    best_step: int = -1
    since: int = 0


class Followed(Locked):
    """A check over what a training run has shown: a pure step in a locked shell.

    Thread-safe if the judging callable is; state is per process and not mergeable.
    """

    __slots__ = ("_judge", "_run", "_take", "name")

    def __init__(
        self,
        name: str,
        take: Callable[[_Run, Mapping[str, float], int], _Run],
        judge: Callable[[_Run], Verdict],
    ) -> None:
        super().__init__()
        self.name = name
        self._take = take
        self._judge = judge
        self._run = _Run()

    def follow(self, metrics: Mapping[str, float], step: int) -> None:
        """Take note of the metrics of a step."""
        with self._lock:
            self._run = self._take(self._run, metrics, step)

    def __call__(self) -> Verdict:
        run = self._run
        if run.step < 0:
            return Verdict(self.name, Severity.UNKNOWN, "nothing was logged yet")
        verdict = self._judge(run)
        return replace(verdict, name=self.name)


def finite(*names: str) -> Followed:
    """Make a training check that breaches on a metric that is NaN or infinite.

    Args:
        names: Of the metrics; all that a step logs when not given. One that a step lacks makes
            the verdict UNKNOWN.

    Examples:
        >>> gate = TrainingGate(finite("loss"))
        >>> print(gate.step({"loss": float("nan")}, step=120).causes[0].reason)
        loss = not a number at step 120
    """
    for name in names:
        name_of("names", name)
    return Followed("finite", _latest, partial(_judge_finite, names))


def logged(metric: str, policy: Policy) -> Followed:
    """Make a training check that judges the newest value of a metric by a policy.

    Args:
        metric: Its name. A step that lacks it makes the verdict UNKNOWN.
        policy: Such as `at_most(100.0)` for a gradient norm.

    Raises:
        ConfigurationError: `metric` is empty or `policy` is not callable.

    Examples:
        >>> from mlguard import at_most
        >>> gate = TrainingGate(logged("grad_norm", at_most(100.0)))
        >>> gate.step({"grad_norm": 340.0}).severity.name
        'BREACH'
    """
    if not callable(policy):
        raise refusal("policy", policy, "a callable that takes a measurement")
    name = name_of("metric", metric)
    return Followed(name, _latest, partial(_judge_logged, name, policy))


def converges(metric: str, *, factor: float = 3.0, patience: int = 3) -> Followed:
    """Make a training check that breaches when a loss runs away from its best.

    Args:
        metric: A loss, less of which is better. Steps that lack it are skipped.
        factor: How many times its best value the loss may be; above 1 (for a best below zero: how
            far above it, in its own size, less one). 3 is far outside the noise of a mini-batch
            and early in a divergence, which grows by powers.
        patience: How many logged steps in a row it must be above that.

    Raises:
        ConfigurationError: `metric` is empty, or `factor` or `patience` out of range.

    Examples:
        >>> gate = TrainingGate(converges("loss"))
        >>> for loss in (1.0, 0.4, 1.3, 1.9, 4.0):
        ...     verdict = gate.step({"loss": loss})
        >>> print(verdict.causes[0].reason)
        loss = 4, above 3 times its best 0.4 of step 1 for 3 steps
    """
    if not arguments.finite("factor", factor) > 1.0:
        raise refusal("factor", factor, "above 1")
    name = name_of("metric", metric)
    patience = whole("patience", patience, least=1)
    return Followed(
        f"converges {name}",
        partial(_against_best, name, 1.0, 0.0, factor),
        partial(_judge_trend, name, 1.0, patience, f"above {factor:g} times its best"),
    )


def improves(
    metric: str,
    *,
    patience: int,
    min_delta: float = 0.0,
    better: Literal["lower", "higher"] = "lower",
) -> Followed:
    """Make a training check that breaches when a metric makes no more progress.

    Args:
        metric: Its name. Steps that lack it are skipped.
        patience: How many logged steps in a row may pass without a new best.
        min_delta: By more than how much a new best must beat the old one to count.
        better: "lower" or "higher".

    Raises:
        ConfigurationError: `metric` is empty, or another argument out of range.

    Examples:
        >>> gate = TrainingGate(improves("accuracy", patience=2, better="higher"))
        >>> [gate.step({"accuracy": a}).severity.name for a in (0.6, 0.7, 0.7, 0.69)]
        ['OK', 'OK', 'OK', 'BREACH']
    """
    if better not in {"lower", "higher"}:
        raise refusal("better", better, '"lower" or "higher"')
    if arguments.finite("min_delta", min_delta) < 0.0:
        raise refusal("min_delta", min_delta, "at least 0")
    name = name_of("metric", metric)
    sign = 1.0 if better == "lower" else -1.0
    ahead = f" by more than {min_delta:g}" if min_delta else ""
    patience = whole("patience", patience, least=1)
    return Followed(
        f"improves {name}",
        partial(_against_best, name, sign, min_delta, None),
        partial(_judge_trend, name, sign, patience, f"not better{ahead} than"),
    )


def _shown(follower: Any, metrics: Mapping[str, float], step: int) -> Exception | None:
    try:
        follower.follow(metrics, step)
    except Exception as error:  # noqa: BLE001 -- a check of the user's may crash in any way
        return error
    return None


def _followers(check: object) -> Iterator[Any]:
    """Find the checks inside a check that want to see the metrics."""
    if hasattr(check, "follow"):
        yield check
    for inner in (*getattr(check, "checks", ()), getattr(check, "check", None)):
        if inner is not None:
            yield from _followers(inner)


def _read(metrics: object) -> dict[str, float]:
    if not isinstance(metrics, Mapping):
        raise refusal("metrics", metrics, "a mapping of names to numbers")
    return {name: arguments.real(f"metrics[{name!r}]", each) for name, each in metrics.items()}


def _latest(run: _Run, metrics: Mapping[str, float], step: int) -> _Run:
    return replace(run, metrics=metrics, step=step)


def _against_best(  # noqa: PLR0917 -- the first three are bound by partial
    name: str,
    sign: float,
    min_delta: float,
    factor: float | None,
    run: _Run,
    metrics: Mapping[str, float],
    step: int,
) -> _Run:
    if name not in metrics:
        return run
    cost = sign * metrics[name]
    best = cost < run.best - min_delta
    fine = best if factor is None else cost <= run.best + (factor - 1.0) * abs(run.best)
    since = 0 if run.step < 0 or fine else run.since + 1
    if best:
        return _Run(metrics, step, cost, step, since)
    return _Run(metrics, step, run.best, run.best_step, since)


def _judge_finite(names: tuple[str, ...], run: _Run) -> Verdict:
    expected = names or tuple(run.metrics)
    values = [Measurement(name, run.metrics[name]) for name in expected if name in run.metrics]
    bad = [value for value in values if not math.isfinite(value.value)]
    if bad:
        reason = f"{', '.join(map(str, bad))} at step {run.step}"
        return Verdict("finite", Severity.BREACH, reason, evidence=bad)
    if len(values) < len(expected) or not values:
        absent = [name for name in expected if name not in run.metrics] or ["any metric"]
        reason = f"step {run.step} has not logged {', '.join(absent)}"
        return Verdict("finite", Severity.UNKNOWN, reason, evidence=values)
    count = "1 metric is" if len(values) == 1 else f"{len(values)} metrics are"
    reason = f"{count} finite at step {run.step}"
    return Verdict("finite", Severity.OK, reason, evidence=values)


def _judge_logged(name: str, policy: Policy, run: _Run) -> Verdict:
    if name not in run.metrics:
        return Verdict(name, Severity.UNKNOWN, f"step {run.step} has not logged it")
    return policy(Measurement(name, run.metrics[name], details={"step": run.step}))


def _judge_trend(name: str, sign: float, patience: int, words: str, run: _Run) -> Verdict:
    value = Measurement(name, run.metrics[name], details={"step": run.step})
    best = f"{text.number(sign * run.best)} of step {run.best_step}"
    known = math.isfinite(value.value)
    severity, reason = Severity.OK if known else Severity.UNKNOWN, f"{value}, best {best}"
    if run.best_step < 0:
        reason = f"{value}, and no number before" + (f" for {run.since} steps" * (run.since > 1))
    elif run.since >= patience:
        reason = f"{value}, {words} {best} for {run.since} steps"
    if run.since >= patience:
        severity = Severity.BREACH
    return Verdict(name, severity, reason, evidence=(value,))
