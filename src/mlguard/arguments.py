"""Reading arguments: each gives the value as it is kept, or raises naming the parameter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from numbers import Integral
from types import MappingProxyType
from typing import Any, SupportsFloat, TypeVar

from mlguard.errors import ConfigurationError

E = TypeVar("E", bound=Enum)

NO_ITEMS: Mapping[str, Any] = MappingProxyType({})
_FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def refusal(parameter: str, value: object, allowed: str) -> ConfigurationError:
    """Make the error for a bad argument: the parameter, its value, what is allowed."""
    return ConfigurationError(f"{parameter} = {shown(value)}: must be {allowed}")


def shown(value: object) -> str:
    """Write a value as Python does, but short, and whatever its `__repr__` does."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 -- a message must not fail for the value it is about
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 -- one line


def real(parameter: str, value: object) -> float:
    """Read a number; NaN and the infinities are numbers, "inf" and "-inf" their JSON spelling."""
    if isinstance(value, str) and value in {"inf", "-inf"}:
        return float(value)
    if not isinstance(value, float | int) and (  # the protocol takes ten times as long to ask
        isinstance(value, str | bytes) or not isinstance(value, SupportsFloat)
    ):
        raise refusal(parameter, value, "a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise refusal(parameter, value, "a number") from None


def finite(parameter: str, value: object) -> float:
    """Read a number that is neither NaN nor infinite."""
    number = real(parameter, value)
    if not math.isfinite(number):
        raise refusal(parameter, value, "a finite number")
    return number


def whole(parameter: str, value: object, least: int = 0) -> int:
    """Read an integer of at least `least`."""
    number = real(parameter, value)
    if not number.is_integer() or number < least:
        raise refusal(parameter, value, f"a whole number of at least {least}")
    return int(value) if isinstance(value, Integral) else int(number)


def optional(parameter: str, value: object) -> float | None:
    """Read a number that may be missing; NaN is missing."""
    if value is None:
        return None
    number = real(parameter, value)
    return None if math.isnan(number) else number


def share(parameter: str, value: object) -> float:
    """Read a number strictly between 0 and 1."""
    number = real(parameter, value)
    if not 0.0 < number < 1.0:
        raise refusal(parameter, value, "between 0 and 1, both excluded")
    return number


def part_of(parameter: str, value: object) -> float:
    """Read a number above 0 and at most 1."""
    number = real(parameter, value)
    if not 0.0 < number <= 1.0:
        raise refusal(parameter, value, "above 0 and at most 1")
    return number


def choice(parameter: str, value: object, *allowed: str) -> Any:
    """Read one of several words."""
    if value not in allowed:
        raise refusal(parameter, value, " or ".join(map(repr, allowed)))
    return value


def moment(parameter: str, value: object) -> float:
    """Read a point in time, Unix seconds or an aware datetime, as Unix seconds."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise refusal(parameter, value, "an aware datetime, such as one with tzinfo=UTC")
        return min(value.timestamp(), _LAST_MOMENT)  # datetime.max rounds up into the year 10000
    number = finite(parameter, value)
    if not _FIRST_MOMENT <= number <= _LAST_MOMENT:
        raise refusal(parameter, value, "Unix seconds, in the years 1 to 9999 (not milliseconds?)")
    return number


def name_of(parameter: str, value: object) -> str:
    """Read a string that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise refusal(parameter, value, "a string that is not empty")
    return value


def subject_of(subject: Mapping[str, object]) -> Mapping[str, str]:
    """Read a flat mapping of names to strings or whole numbers."""
    if not isinstance(subject, Mapping):
        raise refusal("subject", subject, "a flat mapping of names to strings")
    for key, value in subject.items():
        name_of("subject", key)
        if not isinstance(value, str | int):
            raise refusal(f"subject[{key!r}]", value, "a string or a whole number")
    return MappingProxyType({key: str(value) for key, value in subject.items()})


def instances(kinds: tuple[type, ...], parameter: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Read a sequence whose items are all of one of the kinds."""
    allowed = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(values, Iterable):
        raise refusal(parameter, values, f"a sequence of {allowed}")
    items = tuple(values)
    for each in items:
        if not isinstance(each, kinds):
            raise refusal(parameter, each, allowed)
    return items


def member(kind: type[E], parameter: str, value: object) -> E:
    """Read a member of an enum, or its name."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str) and value in kind.__members__:
        return kind[value]
    raise refusal(parameter, value, f"one of {', '.join(kind.__members__)}")


def seconds(parameter: str, value: object) -> float:
    """Read a positive duration, seconds or a timedelta, in seconds."""
    number = value.total_seconds() if isinstance(value, timedelta) else real(parameter, value)
    if not 0.0 < number < math.inf:
        raise refusal(parameter, value, "a positive duration, in seconds or as a timedelta")
    return number
