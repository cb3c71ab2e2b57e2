"""What the day means, in words: every sentence is made from the calls, the verdicts and the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import bill
from act4.moments import total
from act4.questions import HOUR, LOOP, MINUTE
from charts import ends
from mlguard import Money, Severity
from production import CAP

if TYPE_CHECKING:
    from act4.moments import Day, Look

MORNING: Final = 6 * HOUR
AFTERNOON: Final = 15 * HOUR


def headline(day: Day) -> str:
    """Say what the runaway client cost, and what it did not."""
    client = day.runaway
    return f"The runaway client cost {usd(client.spent)}, not {total(client.calls).amount:.2f}"


def lead(day: Day) -> str:
    """Say in a few sentences what there is to learn."""
    return (
        f"Every answer is paid for: a prediction by the request and, where a flight is likely late, its explanation by the token. "
        f"At noon the app of one client asks in a loop. Its own cap stops it after {span(met(day))}; "
        f"{'nobody else is refused anything' if not day.others.refused else f'{len(day.others.refused):,} others are refused'}."
    )


def capped(day: Day) -> str:
    """Say what the runaway client did, and what the cap did."""
    client = day.runaway
    own = sum(not each.question.looped for each in client.refused)
    return (
        f"From {clock(LOOP.start)} to {clock(LOOP.end)} its app asked about one flight {LOOP.a_minute} times a minute. "
        f"After {span(met(day))} the next answer did not fit under its cap of {usd(Money(bill.CAP_EACH))} any more, and {len(client.refused):,} calls were refused, "
        f"worth {usd(total(client.refused))}. Among them are {own} by its own passengers: a cap that is spent is spent until midnight, unless you raise it."
    )


def served(day: Day) -> str:
    """Say how everyone else fared, and how they would have with fewer caps."""
    alone = day.spent_alone.question.at
    others = [each for each in day.others.calls if each.question.at >= alone]
    return (
        f"{len(day.parts) - 1} clients asked {len(day.others.calls):,} questions; {len(day.others.refused) or 'none'} of them {'were' if day.others.refused else 'was'} refused. "
        f"The day came to {day.spent:.2f} USD of {usd(CAP)}. Without caps it would have been {usd(total(day.calls))}. "
        f"With the cap on the whole alone, the loop would have spent it by {clock(alone)}, and these clients would have been refused {len(others):,} times."
    )


def met(day: Day) -> float:
    """Return the seconds from the beginning of the loop to the first refusal."""
    return day.first_refusal.question.at - LOOP.start


def books(day: Day) -> str:
    """Say whether the books agree."""
    service, clients = day.ledgers
    rows, wrong = service.rows + clients.rows, service.wrong + clients.wrong
    agree = (
        len({each for ledger in day.ledgers for each in (ledger.in_rows, ledger.in_counters)}) == 1
    )
    return (
        f"{rows:,} rows: those of the service {'and' if agree else 'and not'} those of its clients add up to the counters, {service.in_counters}; "
        f"reconcile() found {wrong or 'none'} wrong"
    )


def erred(day: Day) -> list[str]:
    """Say how the forecasts of the day erred."""
    first, morning, afternoon = day.forecasts[0], day.at(MORNING), day.at(AFTERNOON)
    ranges = [(each, ends(each.expected)) for each in day.forecasts]
    missed = [each for each, (low, high) in ranges if not low <= day.spent <= high]
    return [
        (
            f"The first, at {clock(first.at)}, said {forecast(first)}: {_off(first, day)}, and sure of it, for the night was quiet and even. "
            f"At {clock(morning.at)} it said {forecast(morning)}: {_off(morning, day)}, in an interval that is wide because the rate had only risen so far."
        ),
        f"The loop lifted it for the rest of the day: at {clock(afternoon.at)} it said {forecast(afternoon)}, {_off(afternoon, day)}.",
        f"{len(missed)} of {len(ranges)} intervals missed, the last at {clock(missed[-1].at)}. {_warned(day)}",
    ]


def _off(look: Look, day: Day) -> str:
    off = look.expected.value / day.spent - 1.0
    return f"{100 * abs(off):.0f} % too {'high' if off > 0 else 'low'}"


def _warned(day: Day) -> str:
    warned = [each for each in day.looks if each.service.severity is Severity.WARN]
    if not warned:
        return "No upper end lay above the cap."
    return (
        f"Upper ends lay above the cap from {clock(warned[0].at)} to {clock(warned[-1].at)}, so the verdict on the service was WARN, needlessly. "
        "A bill with a daily rhythm wants its forecast in a window of a month."
    )


def left(day: Day) -> str:
    """Say how much of its cap the runaway client did not spend."""
    rest = Money(bill.CAP_EACH) - day.runaway.spent
    return (
        f"{usd(rest, 4)} of the client’s cap were left then, and an answer may cost {usd(bill.MOST, 4)}: so all calls were refused. "
        f"A call that is refused for what is spent is a {day.met.whole.severity.name}."
    )


def forecast(look: Look) -> str:
    """Write a forecast with its interval."""
    low, high = ends(look.expected)
    return f"{look.expected.value:.2f} USD ({low:.2f} to {high:.2f})"


def clock(at: float) -> str:
    """Write a time of the day."""
    return f"{at // HOUR:02.0f}:{at % HOUR // MINUTE:02.0f}"


def span(seconds: float) -> str:
    """Write how long something took."""
    return f"{seconds / MINUTE:.0f} minutes"


def usd(money: Money, digits: int = 2) -> str:
    """Write an amount."""
    return f"{money.amount:.{digits}f} {money.currency}"
