"""Facts held to the numbers of the requirements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlguard.budgets.money import Money
from mlguard.budgets.unit_cost import fleet_cost
from mlguard.lint.intent import Fact, Replicas, ServingIntent
from mlguard.lint.patches import Operation, Patch
from mlguard.render.text import quantity

if TYPE_CHECKING:
    from mlguard.lint.bar import Bar

Told = Iterator[tuple[ServingIntent, Fact]]


def latency(intents: Sequence[ServingIntent], bar: Bar) -> Told:
    """Hold limits on latency to those that are required."""
    for intent in intents:
        for fact in intent.latency:
            yield intent, _fast_enough(fact, bar) if fact.known == "present" else fact


def _fast_enough(fact: Fact, bar: Bar) -> Fact:
    said = fact.value or {}
    for quantile, limit in bar.latency.items():
        if said.get(quantile, said.get(None, 0.0)) > limit:
            most = f"p{100 * quantile:.10g} must be at most {quantity(limit, 's')}"
            return replace(fact, known="absent", says=f"{fact.says}, and {most}")
    if said and bar.latency and None not in said and said.keys().isdisjoint(bar.latency):
        return replace(fact, known="unknown", says=f"{fact.says}: of another quantile")
    return fact


def drift(intents: Sequence[ServingIntent], bar: Bar) -> Told:
    """Hold a threshold of drift to the one that is required, where both are of one metric."""
    wanted = bar.drift
    for intent in intents:
        for fact in intent.drift:
            most = (wanted.breach or wanted.tolerance) if wanted else None
            comparable = wanted is not None and wanted.metric == "psi"
            if (
                comparable
                and most is not None
                and isinstance(fact.value, float)
                and fact.value > most
            ):
                says = f"{fact.says}, and the breach line is {most:g}"
                fix = Patch((Operation("replace", fact.place.pointer, most),))
                yield intent, replace(fact, known="absent", says=says, fix=fix)
            else:
                yield intent, fact


def cost(intents: Sequence[ServingIntent], bar: Bar) -> Told:
    """Hold what the services may cost to the cap: their alerts, and their fleet."""
    own: list[Money] = []
    for intent in intents:
        for fact in intent.cost:
            if fact.known != "present" or not isinstance(fact.value, Money):
                continue
            if (cap := bar.a_day) and cap.currency == fact.value.currency and fact.value > cap:
                says = f"{fact.says}, and a day may cost {cap}"
                fix = Patch((Operation("replace", fact.place.pointer, str(cap)),))
                yield intent, replace(fact, known="absent", says=says, fix=fix)
            else:
                own.append(fact.value)
    if any(fact.known == "absent" for intent in intents for fact in intent.cost):
        return  # first it must bound its cost at all
    told = _fleet([fact for intent in intents for fact in intent.replicas], own, bar)
    if told is not None:
        yield from ((intent, told) for intent in intents if intent.replicas)


def _fleet(facts: list[Fact], own: list[Money], bar: Bar) -> Fact | None:
    """Say what all replicas may cost together; without a bound, another rule says so."""
    if not facts or any(fact.known == "absent" for fact in facts):
        return None
    bounded = [fact for fact in facts if isinstance(fact.value, Replicas)]
    open_ = next((fact for fact in facts if not isinstance(fact.value, Replicas)), None)
    replicas = sum(fact.value.most for fact in bounded)
    cap, hours = (bar.cap, bar.hours) if bar.cap else (min(own, default=None), 24.0)
    where = max(bounded, key=lambda fact: fact.value.most, default=facts[0])
    many = f"{replicas:,} replica{'' if replicas == 1 else 's'}"
    if cap is None or bar.hourly is None or cap.currency != bar.hourly.currency:
        if own or open_ is not None:
            return None if own else open_
        lacking = "a cap" if cap is None else "the price of one for an hour"
        return replace(where, known="unknown", says=f"at most {many}: {lacking} is not given")
    most = fleet_cost(replicas, bar.hourly, hours=hours)
    within = f"{many} at {bar.hourly} an hour cost {most} in {quantity(3600 * hours, 's')}"
    if most > cap:
        return replace(
            where,
            known="absent",
            says=f"{within}, above {cap}",
            fix=_fewer(where, len(facts), cap, fleet_cost(1, bar.hourly, hours=hours)),
        )
    if open_ is not None:
        return open_
    return replace(where, says=f"{within}, within {cap}")


def _fewer(fact: Fact, facts: int, cap: Money, each: Money) -> Patch | None:
    """Give as many replicas as the cap pays for, where only one number is in question."""
    paid = cap.nanos // each.nanos
    least, most = fact.value
    if facts > 1 or paid < (1 if least == most else max(least, 1)):
        return None
    return Patch((Operation("add", fact.place.pointer, paid),))
