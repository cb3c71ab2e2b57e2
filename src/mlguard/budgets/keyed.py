"""A meter for each key: tenant, route, model version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self, TypeVar

from mlguard.arguments import name_of, refusal, whole
from mlguard.budgets.family import Family
from mlguard.checks import ask
from mlguard.values import Measurement, Severity, Verdict, combined

M = TypeVar("M")
LONGEST = 200
"""Characters of a key: keys come from outside, and a longer one is no name."""


class Keyed(Family[M]):
    """A family of meters of one kind by key, made when a key is first seen. Thread-safe.

    Per process and mergeable, key by key. As a check it is the worst over the keys that saw
    traffic; one that saw none in its window is left out, and without any it is UNKNOWN.

    It is bounded, since keys come from outside: the first `max_keys` get a meter of their own, all
    others share one under the key `overflow`, as do keys longer than 200 characters.

    Args:
        make: Makes the meter of a new key.
        max_keys: Keys that get a meter of their own.
        overflow: The key under which all others are counted.
        by: What a key is, in the names of the verdicts: "tenant".
        name: Of the verdict.

    Raises:
        ConfigurationError: An argument is not of its kind or range.

    Examples:
        >>> from mlguard import ErrorBudget
        >>> tenants = Keyed(lambda: ErrorBudget(slo=0.999), by="tenant")
        >>> tenants["acme"].observe(True)
        >>> list(tenants), tenants["acme"].totals["good"]
        (['acme'], 1)
    """

    __slots__ = ("by", "make", "max_keys", "overflow")

    def __init__(
        self,
        make: Callable[[], M],
        *,
        max_keys: int = 200,
        overflow: str = "other",
        by: str = "key",
        name: str = "keyed",
    ) -> None:
        if not callable(make):
            raise refusal("make", make, "a callable without arguments that makes a meter")
        super().__init__(name, {})
        self.make: Callable[[], M] | None = make
        self.max_keys = whole("max_keys", max_keys, least=1)
        self.overflow = name_of("overflow", overflow)
        self.by = name_of("by", by)

    def __getitem__(self, key: str) -> M:
        try:
            return self._parts[key]
        except (KeyError, TypeError):
            return self._new(key)

    def __setitem__(self, key: str, meter: M) -> None:
        """Put back the meter of a key, such as one with the state from before a restart.

        Raises:
            ConfigurationError: `key` is no string, is too long, or one more than `max_keys`.
        """
        if not isinstance(key, str) or len(key) > LONGEST:
            raise refusal("key", key, f"a string of at most {LONGEST} characters")
        with self._lock:
            own = len(self._parts.keys() - {self.overflow, key})
            if key != self.overflow and own >= self.max_keys:
                raise refusal("key", key, f"one of at most {self.max_keys}")
            self._parts[key] = meter

    def _new(self, key: str) -> M:
        if not isinstance(key, str):
            raise refusal("key", key, "a string")
        with self._lock:
            own = len(self._parts) - (self.overflow in self._parts)
            if key not in self._parts and (own >= self.max_keys or len(key) > LONGEST):
                key = self.overflow
            if key in self._parts:
                return self._parts[key]
        if self.make is None:
            raise refusal("key", key, f"one of {sorted(self._parts)}: this was read, not made")
        made = self.make()
        with self._lock:
            own = len(self._parts) - (self.overflow in self._parts)
            kept = key if key in self._parts or own < self.max_keys else self.overflow
            return self._parts.setdefault(kept, made)

    def __add__(self, other: Self) -> Self:
        mine = self._with(self._members())
        if isinstance(other, Keyed) and self.make is not None:
            for key in other:  # what is made here has the clock of here
                if key not in self:
                    mine._parts[key] = self.make()
        return super(Keyed, mine).__add__(other)

    def __contains__(self, key: object) -> bool:
        return key in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._members()))

    def __len__(self) -> int:
        return len(self._parts)

    def example(self) -> M | None:
        """Give one of its meters, or a new one where it has none; None where it cannot make any."""
        there = next(iter(self._members().values()), None)
        return self.make() if there is None and self.make is not None else there

    def items(self) -> list[tuple[str, M]]:
        """Give each key and its meter, in the order of the alphabet."""
        return sorted(self._members().items())

    def measure(self) -> list[Measurement]:
        """Measure each key."""
        found = []
        for key, part in self.items():
            taken = part.measure()  # type: ignore[attr-defined]
            each = (taken,) if isinstance(taken, Measurement) else taken
            found += [replace(one, name=self._named(one.name, key)) for one in each]
        return found

    def _judged(self) -> Verdict:
        verdicts = [(key, ask(part)) for key, part in self.items()]  # type: ignore[arg-type]
        busy = [
            replace(verdict, name=self._named(verdict.name, key))
            for key, verdict in verdicts
            if not _idle(verdict)
        ]
        if not busy:
            reason = f"no {self.by} of {len(verdicts)} saw traffic"
            return Verdict(self.name, Severity.UNKNOWN, reason)
        return combined(self.name, busy, need=len(busy))

    def _named(self, name: str, key: str) -> str:
        return f"{name}[{self.by}={key}]"

    def _settings(self) -> dict[str, Any]:
        return {"max_keys": self.max_keys, "overflow": self.overflow, "by": self.by}

    def _with(self, parts: Mapping[str, M]) -> Self:
        found = self._read(self._settings(), self.name, parts)
        found.make = self.make
        return found

    @classmethod
    def _read(cls, settings: Mapping[str, Any], name: str, parts: Mapping[str, M]) -> Self:
        options = {key: settings[key] for key in ("max_keys", "overflow", "by")}
        found = cls(_unmade, **options, name=name)
        found.make = None
        found._parts.update(parts)
        return found

    def __repr__(self) -> str:
        return f"<Keyed by {self.by}: {len(self):,} of at most {self.max_keys:,}>"


def _unmade() -> Any:
    """Stand in for the maker of a family that was read."""


def _idle(verdict: Verdict) -> bool:
    """Tell whether a verdict is UNKNOWN for want of any observation."""
    evidence = [each for cause in _leaves(verdict) for each in cause.evidence]
    return verdict.low is not verdict.high and bool(evidence) and not any(m.n for m in evidence)


def _leaves(verdict: Verdict) -> Iterator[Verdict]:
    yield verdict
    for cause in verdict.causes:
        if isinstance(cause, Verdict):
            yield from _leaves(cause)
