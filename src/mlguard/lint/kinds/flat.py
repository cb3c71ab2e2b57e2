"""The flat form: a mapping with replicas, resources and, it is hoped, a few guardrails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlguard.arguments import shown
from mlguard.budgets.money import Money
from mlguard.errors import ConfigurationError
from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds.kind import Given, Kind
from mlguard.lint.kinds.pods import bounds, fixed, image
from mlguard.lint.nodes import Node, words
from mlguard.requirements.units import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlguard.lint.bar import Bar

_COPIES = {"replicas", "min_replicas", "max_replicas", "minReplicas", "maxReplicas"}
_TELLING = {"rollback_on_error", "drift_alert_threshold", "cost_alert_per_day"}
_DEEP = 3
_PAIRS = (("min_replicas", "max_replicas"), ("minReplicas", "maxReplicas"), ("min", "max"))
_SCALING = ("autoscaling", "autoscale", "scaling", "autoscaler")
_MONEY = {"cost", "costs", "spend", "spending", "budget"}
_NO_MONEY = {"error", "latency", "disruption", "estimated", "expected", "center"}
_BOUND = {"alert", "limit", "max", "maximum", "cap", "budget", "threshold", "ceiling"}
_TELLS = {"alert", "detection", "detector", "monitor", "check"}
_QUANTILE = re.compile(r"(?<![a-z])p(50|90|95|99|999)(?![0-9])")
_UNITS = {"ms": 0.001, "milliseconds": 0.001, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_OFF = {"", "no", "none", "off", "false", "never", "disabled", "manual"}


def _recognises(root: Node) -> bool:
    found = list(_deploys(root))
    if root.at("apiVersion").there:  # of a resource of one's own, where its keys tell it
        return any(_TELLING & set(each.value) for each in found)
    return bool(found)


def _deploys(node: Node, deep: int = _DEEP) -> Iterator[Node]:
    """Find the mappings that deploy: the document, or some inside it."""
    keys = set(node.value) if isinstance(node.value, dict) else set()
    if keys & (_COPIES | _TELLING) or (not node.keys and "resources" in keys):
        yield node
    elif deep:
        for each in node:
            yield from _deploys(each, deep - 1)


def _read(root: Node, given: Given) -> Iterable[ServingIntent]:
    every = list(_deploys(root))
    shared = [_Said.of(each) for each in _around(root, {each.keys for each in every})]
    for at in every:
        own = (_Said.of(each) for each in at.walk(_DEEP) if each.keys)
        yield _intent(at, [*own, *shared], given.bar)


def _around(node: Node, inside: set[tuple[str | int, ...]], deep: int = _DEEP) -> Iterator[Node]:
    """Give what stands beside the mappings that deploy, and holds for each of them."""
    if node.keys in inside:
        return
    if node.keys:
        yield node
    if deep:
        for each in node:
            yield from _around(each, inside, deep - 1)


def _intent(at: Node, said: list[_Said], bar: Bar) -> ServingIntent:
    names = (at.at(key).text for key in ("service", "name", "model"))
    return ServingIntent(
        "flat",
        next(filter(None, names), ""),
        at.place,
        rollback=_judged(said, _rollback, at.at("rollback_on_error"), fix=True),
        drift=_judged(said, _drift, at.at("drift_alert_threshold"), fix=_tolerance(bar)),
        cost=_judged(said, _cost, at.at("cost_alert_per_day"), fix=_daily(bar)),
        latency=_judged(said, _latency, at.at("latency"), fix=_limits(bar)),
        errors=tuple(_found(said, _errors)),
        approvals=tuple(_found(said, _approvals)),
        replicas=tuple(_replicas(at)),
        resources=(_resources(at),),
        images=tuple(image(at.at("image"))),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """A value with the words of the keys that lead to it. Immutable."""

    node: Node
    words: frozenset[str]
    path: str
    off: bool

    @classmethod
    def of(cls, node: Node) -> _Said:
        names = [str(key) for key in node.keys if isinstance(key, str)]
        off = any(
            _is_off(Node.of(node.document).at(*node.keys[:end], key))
            for end in range(1, len(node.keys) + 1)
            for key in ("enabled", "enable")
        )
        found = frozenset(word for name in names for word in words(name))
        return cls(node, found, "_".join(names).lower(), off or _is_off(node))

    @property
    def inner(self) -> bool:
        return isinstance(self.node.value, dict | list)


def _is_off(node: Node) -> bool:
    value = node.value
    return value is False or (isinstance(value, str) and value.strip().lower() in _OFF)


def _judged(
    said: list[_Said], says: Callable[[_Said], Fact | None], where: Node, *, fix: object
) -> tuple[Fact, ...]:
    """State a topic that this kind has a place for: what is not said is absent."""
    found = _found(said, says)
    present = tuple(each for each in found if each.known == "present")
    off = f"{where.key}: {shown(where.value)} asks for nothing" if where.there else ""
    missing = where.absent(off or f"no {where.key}, nor a key like it", where.put(fix))
    return present or tuple(found[:1]) or (missing,)


def _found(said: list[_Said], says: Callable[[_Said], Fact | None]) -> list[Fact]:
    return [fact for each in said if (fact := says(each)) is not None]


def _rollback(said: _Said) -> Fact | None:
    if not ("rollback" in said.words or {"roll", "back"} <= said.words or "revert" in said.words):
        return None
    if said.inner and any(True for _ in said.node):
        return None  # what stands inside says it
    if said.node.templated:
        return said.node.unknown(f"{said.node.key} is put in later")
    if said.off or not said.node.there:
        return None
    return said.node.present(f"{said.node.key}: {shown(said.node.value)}")


def _drift(said: _Said) -> Fact | None:
    if "drift" not in said.words or said.inner or said.off or not said.node.there:
        return None
    if said.node.templated:
        return said.node.unknown(f"{said.node.key} is put in later")
    number = said.node.number
    if number is None and (said.node.value is not True and not _TELLS & said.words):
        return None  # the name of a metric or of a column alarms nobody
    if number is not None and number <= 0.0:
        return None
    return said.node.present(f"{said.node.key}: {shown(said.node.value)}", number)


def _cost(said: _Said) -> Fact | None:
    bounds_it = bool(_BOUND & said.words) or bool({"day", "daily", "month", "monthly"} & said.words)
    if said.inner or said.off or not _MONEY & said.words or _NO_MONEY & said.words or not bounds_it:
        return None
    node = said.node
    if node.templated:
        return node.unknown(f"{node.key} is put in later")
    amount = _amount(node)
    if amount is None or amount.nanos <= 0:
        return None
    a_day = bool({"day", "daily"} & said.words) or bool(
        {"day", "daily", "1d", "24h"} & {str(each.value).lower() for each in node.around}
    )
    return node.present(f"{node.key}: {shown(node.value)}", amount if a_day else None)


def _amount(node: Node) -> Money | None:
    number = node.number
    if number is None and not node.text:
        return None
    currency = next((each.text for each in node.around if each.key == "currency"), "") or "USD"
    text = (
        node.text.strip().replace("$", "").replace(",", "") if number is None else str(node.value)
    )
    try:
        return Money(text.strip()) if " " in text.strip() else Money(text, currency)
    except ConfigurationError:
        return None


def _latency(said: _Said) -> Fact | None:
    quantile = _QUANTILE.search(said.path)
    if said.inner or said.off or not (quantile or "latency" in said.words):
        return None
    if said.node.templated:
        return said.node.unknown(f"{said.node.key} is put in later")
    limit = _seconds(said)
    if limit is None and said.node.number:
        return said.node.unknown(f"{said.node.key}: {shown(said.node.value)} has no unit")
    if limit is None or limit <= 0.0:
        return None
    digits = quantile[1] if quantile else ""
    of = float(f"0.{digits}") if digits else None
    return said.node.present(f"{said.node.key}: {shown(said.node.value)}", {of: limit})


def _seconds(said: _Said) -> float | None:
    number = said.node.number
    if number is not None:
        unit = next((_UNITS[word] for word in _UNITS if word in said.words), None)
        return number * unit if unit else None
    try:
        return duration(said.node.value)
    except ValueError:
        return None


def _errors(said: _Said) -> Fact | None:
    if said.inner or said.off or (said.node.number is None and "%" not in said.node.text):
        return None
    told = bool({"slo", "availability"} & said.words) or {"error", "rate"} <= said.words
    return said.node.present(f"{said.node.key}: {shown(said.node.value)}") if told else None


def _approvals(said: _Said) -> Fact | None:
    told = {"approval", "approvals", "approvers"} & said.words
    if said.inner or said.off or not told or not said.node.there:
        return None
    return said.node.present(f"{said.node.key}: {shown(said.node.value)}")


def _resources(at: Node) -> Fact:
    given = at.at("resources")
    if given.there:
        return given.present("resources are named")
    return given.absent("may use all there is", given.put({"cpu": "1", "memory": "2Gi"}))


def _replicas(at: Node) -> Iterable[Fact]:
    scaling = next((each for key in _SCALING if (each := at.at(key)).there), at.at("autoscaling"))
    for inside in (at, scaling):
        for least, most in _PAIRS:
            if inside.at(most).there or (inside.at(least).there and not at.at("replicas").there):
                few = int(at.at("replicas").number or 1)
                yield bounds(inside.at(least), inside.at(most), few=few, many=None)
                return
    if scaling.there and not _is_off(scaling) and not _is_off(scaling.at("enabled")):
        if not isinstance(scaling.value, dict):
            scaling = at
        yield bounds(scaling.at("min_replicas"), scaling.at("max_replicas"), few=1, many=None)
    elif at.at("replicas").there:
        yield fixed(at.at("replicas"))


def _tolerance(bar: Bar) -> float:
    return bar.drift.tolerance if bar.drift and bar.drift.metric == "psi" else 0.05


def _daily(bar: Bar) -> object:
    if bar.a_day is None:
        return 500
    amount = bar.a_day.amount
    if bar.a_day.currency != "USD" or amount != int(amount):
        return str(bar.a_day)
    return int(amount)


def _limits(bar: Bar) -> dict[str, str]:
    limits = bar.latency or {0.99: 0.05}
    return {f"p{100 * q:.10g}".replace(".", ""): f"{1000 * s:.10g} ms" for q, s in limits.items()}


KIND = Kind("flat", _recognises, _read)
