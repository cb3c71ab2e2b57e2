"""Act 4 in the report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import bill
import over_time
import production
import report
from act4 import words
from act4.bars import bars
from act4.events import events
from act4.questions import AHEAD, DAY, HOUR, LOOP, PASSENGERS
from axes import Area, Axis, Line, Stretch
from charts import ends
from mlguard import Money, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from act4.moments import Day, Look

CAP: Final = float(production.CAP.amount)
STRETCH: Final = Stretch(
    DAY,
    [(hour * HOUR, f"{hour}:00") for hour in range(0, 25, 3)],
    [(LOOP.start, LOOP.end, "loop")],
)


def body(day: Day) -> str:
    """Return the act's part of the page, below its headline."""
    parts = [_cards(day), _spend(day), _forecasts(day), _clients(day), _events(day)]
    return "".join([*parts, _code(), _trees(day), _small_print(day)])


def _cards(day: Day) -> str:
    capped = report.card(
        LOOP.client,
        day.met.whole,
        words.capped(day),
        word=f"Capped at {words.usd(Money(bill.CAP_EACH))}",
    )
    served = report.card("Everyone else", day.looks[-1].service, words.served(day), word="Served")
    return f'<div class="pair">{capped}{served}</div>'


def _spend(day: Day) -> str:
    spent = [
        (0.0, 0.0, Severity.OK),
        *((each.at, each.spent, each.service.severity) for each in day.looks),
    ]
    told = [day.at(words.MORNING), day.at(words.AFTERNOON)]
    return report.section(
        "What was spent, and what was expected",
        f"The bill against its cap, and the forecast for midnight with its 80 % interval, as it stood at {' and at '.join(words.clock(each.at) for each in told)}. "
        "The line is amber where the verdict on the service is WARN.",
        _figure(
            [Line("spent", "p99", spent), *map(_expected, told)],
            areas=[
                Area("area", [(each.at, each.spent, each.spent), (DAY, *ends(each.expected))])
                for each in told
            ],
            limits=[(f"cap {CAP:.2f} USD", CAP, "p99")],
            title=f"spent: {day.spent:.2f} USD",
        ),
    )


def _expected(look: Look) -> Line:
    points = [(look.at, look.spent, Severity.OK), (DAY, look.expected.value, Severity.OK)]
    return Line(words.clock(look.at), "p50", points)


def _forecasts(day: Day) -> str:
    told = day.forecasts
    return report.section(
        "How the forecast erred",
        f"The same forecast at every quarter of an hour, against the {day.spent:.2f} USD that the day came to.",
        _figure(
            [Line("told", "p50", [(each.at, each.expected.value, Severity.OK) for each in told])],
            areas=[Area("area", [(each.at, *ends(each.expected)) for each in told])],
            limits=[
                (f"cap {CAP:.2f} USD", CAP, "p99"),
                (f"came to {day.spent:.2f} USD", day.spent, "p99"),
            ],
            title="; ".join(words.erred(day)),
        )
        + report.facts(words.erred(day)),
    )


def _figure(
    lines: Sequence[Line],
    *,
    areas: Sequence[Area],
    limits: Sequence[tuple[str, float, str]],
    title: str,
) -> str:
    most = max(CAP, *(high for area in areas for _, _, high in area.points))
    ticks = [tick for tick in range(0, 1000, 10) if tick < most]
    axis = Axis(0.0, 1.05 * most, ticks, "{:.0f} USD".format, scale=float)
    drawn = over_time.lines(STRETCH, lines, axis=axis, limits=limits, title=title, areas=areas)
    return f'<figure class="over-time">{drawn}</figure>'


def _clients(day: Day) -> str:
    return report.section(
        "Client by client",
        f"Each has a cap of {words.usd(Money(bill.CAP_EACH))} (dashed). A call reserves in the client’s budget and in that of the service, or in none.",
        bars(day.parts, cap=float(Money(bill.CAP_EACH).amount)),
    )


def _events(day: Day) -> str:
    return report.section(
        "What was said, and when",
        "What the pager heard, what the first refused caller was told, and every change of the verdict on the service.",
        report.moments(
            ["Time", "Who", "What", "In words"],
            (
                (each.severity, (words.clock(each.at), each.who, each.word, each.text))
                for each in events(day)
            ),
        ),
    )


def _code() -> str:
    return report.section(
        "The meter",
        "All of it. What it meters is any function, coroutine or generator.",
        report.code(bill, "BOOK: Final"),
    )


def _trees(day: Day) -> str:
    met = day.met
    return report.section(
        "The whole verdict after the cap was met",
        words.left(day),
        f"<details><summary>{escape(met.whole.name)}, at {words.clock(met.at)}: {met.whole.severity.name}</summary>{report.tree(met.whole)}</details>",
    )


def _small_print(day: Day) -> str:
    real = sum(not each.question.looped for each in day.calls)
    facts = [
        (
            f"Real: the flights of 10 and 11 December 2013, a day of snow and the next, the model’s predictions, and the ledger: {len(day.calls):,} calls that each reserved, "
            "went out and were settled in an SQLite file, or were refused by it. They were made one after the other; that a cap holds for many at once is shown in the tests."
        ),
        (
            f"Simulated: the clock, and who asks. {PASSENGERS:g} passengers on average ask about a flight, from an hour ahead to many, {1 + AHEAD:g} on average: {real:,} questions. "
            "Whenever they ask, the answer is the one of an hour ahead. The loop, the lost call and the prices are made up, and no airline did any of this."
        ),
        (
            "The language model is a function that fills in sentences and counts four characters as a token, so nothing leaves this machine. "
            f"The flight of the loop: “{day.example.text}” That is {words.usd(bill.cost(day.example), 4)}, of at most {words.usd(bill.MOST, 4)}."
        ),
        (
            "The forecast assumes that spend goes on as it did since midnight. It knows no time of day, so in a window of one day a quiet night makes it low in the morning, "
            "and a busy day makes it high in the evening. In a window of a month it counts whole days."
        ),
        words.books(day) + ".",
    ]
    return report.section("Small print", "", report.facts(facts))
