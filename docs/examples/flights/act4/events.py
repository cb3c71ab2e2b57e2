"""What was said on the day, and when: by the pager, the budgets and the books."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from act4 import words
from act4.questions import DATE, LOOP
from mlguard import Severity

if TYPE_CHECKING:
    from act4.moments import Day

REPEATED: Final = re.compile(r", [0-9.]+ USD reserved, until [^;]+")
"""What the library says in every line, and is the same in all of them."""
SERVICE: Final = "the service"


class Event(NamedTuple):
    """Something that is told of the day."""

    at: float
    who: str
    word: str
    severity: Severity
    text: str


def events(day: Day) -> list[Event]:
    """Return what is told of the day, in the order of time."""
    found = [
        Event(LOOP.start, LOOP.client, "LOOP BEGINS", Severity.UNKNOWN, _loop()),
        Event(LOOP.end, LOOP.client, "LOOP ENDS", Severity.UNKNOWN, _looped(day)),
        Event(
            day.first_refusal.question.at,
            LOOP.client,
            "REFUSED",
            Severity.BREACH,
            day.first_refusal.refused,
        ),
        *(
            Event(
                (each.at or 0.0) - DATE.timestamp(),
                each.subject.get("client", SERVICE),
                "ALERT",
                Severity.WARN,
                REPEATED.sub("", each.reason),
            )
            for each in day.alerts
        ),
        *(
            Event(
                each.at,
                SERVICE,
                each.service.severity.name,
                each.service.severity,
                REPEATED.sub("", each.service.reason),
            )
            for each in day.changes
        ),
        *_lost(day),
        Event(day.looks[-1].at + 1.0, SERVICE, "BOOKS CLOSED", Severity.OK, words.books(day)),
    ]
    return sorted(found)


def _loop() -> str:
    return f"its app asks about one flight again and again, {LOOP.a_minute} times a minute"


def _looped(day: Day) -> str:
    calls = [each for each in day.runaway.calls if each.question.looped]
    refused = sum(bool(each.refused) for each in calls)
    return f"{refused:,} of its {len(calls):,} calls were refused"


def _lost(day: Day) -> list[Event]:
    lost, reaped = day.lost, next(each for each in day.looks if each.reaped)
    client = lost.question.client
    return [
        Event(
            lost.question.at,
            client,
            "CALL LOST",
            Severity.UNKNOWN,
            "a worker is killed while it waits for the answer; what it reserved is kept from others",
        ),
        Event(
            reaped.at,
            SERVICE,
            "REAPED",
            Severity.OK,
            f"the lease of the lost call was over: it is charged what it reserved, {words.usd(lost.price, 3)}",
        ),
    ]
