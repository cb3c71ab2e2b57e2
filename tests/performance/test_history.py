"""The history of a metric: in a drawing, in words and in a table, escaped and well-formed."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from mlguard import ConfigurationError, Measurement
from mlguard.performance import Estimate, Outcomes, history_html, realised_minus_estimated
from mlguard.performance.history import words

DAY = 86_400.0
START = datetime(2026, 7, 1, tzinfo=UTC)
NAN = math.nan


def when(period: int) -> float:
    return START.timestamp() + 7 * DAY * period


def estimated(value: float, half: float = 0.02, **more: Any) -> Measurement:
    details = {"better": "higher", "assumes": "no drift", **more.pop("details", {})}
    ends: Any = {} if math.isnan(value) else {"low": value - half, "high": value + half}
    name = more.pop("name", "accuracy")
    return Measurement(name, value, n=500, confidence=0.95, details=details, **ends, **more)


def realised(value: float, **more: Any) -> Measurement:
    return estimated(value, 0.03, **more)


def periods(values: list[float | None], make: Any) -> dict[float, Measurement]:
    return {when(place): make(value) for place, value in enumerate(values) if value is not None}


def shown(
    truth: list[float | None], guess: list[float | None], **more: Any
) -> tuple[str, list[str], ET.Element]:
    """Give the title, the facts and the whole as XML."""
    part = history_html(periods(truth, realised), periods(guess, estimated), page=False, **more)
    root = ET.fromstring(f"<root>{part}</root>")  # noqa: S314 -- our own
    facts = ["".join(each.itertext()) for each in root.iter("li")]
    title = root.find(".//svg/title")
    assert title is not None
    return str(title.text), facts, root


def table(root: ET.Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def test_a_page_is_whole_and_asks_for_nothing() -> None:
    page = history_html(periods([0.8], realised), periods([0.8, 0.9], estimated))
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert "prefers-color-scheme:dark" in page
    assert "width=device-width" in page
    assert not re.search(r"<script|https?:|url\(|@import|<link|<img", page)
    ET.fromstring(re.sub(r"<meta[^>]*>|<!doctype html>", "", page))  # noqa: S314 -- our own
    assert "<h1>accuracy: realised and estimated part in 0 of 1 periods</h1>" in page
    assert (
        "<title>accuracy: realised and estimated part in 0 of 1 periods · mlguard</title>" in page
    )


def test_a_part_brings_its_style_and_no_page() -> None:
    part = history_html({}, periods([0.8], estimated), page=False)
    assert part.startswith("<style>.mlguard-history")
    assert not re.search(r"<(html|body|main|h1|!doctype)", part)


def test_every_text_is_escaped() -> None:
    evil = "<script>alert('x')</script>&\"\x1b"
    named: Any = {"name": "accuracy" + evil}
    truth: Any = {
        when(0): realised(NAN, details={"reason": evil}, **named),
        when(1): realised(0.1, **named),
    }
    guess: Any = {when(place): estimated(0.9, **named) for place in range(3)}
    for page in (history_html(truth, guess, floor=0.5), history_html(truth, guess, page=False)):
        assert "<script" not in page
        assert "\x1b" not in page
        assert page.count("&lt;script&gt;") >= 4


# In words.


def test_it_says_where_they_part_and_what_that_means() -> None:
    title, facts, root = shown([0.9, 0.8, 0.7, 0.9, None], [0.9, 0.9, 0.9, 0.9, 0.91])
    assert title == "accuracy: realised and estimated part in 2 of 4 periods"
    assert facts[0] == (
        "29 Jul: estimated only, the labels are still to come. "
        "Labels reach until the period of 22 Jul."
    )
    assert facts[1] == (
        "8 Jul to 15 Jul: realised is lower than estimated in 2 periods, by 0.15 on average."
    )
    assert facts[2].startswith("There something else came at the same scores")
    assert len(facts) == 3
    kinds = [
        each.attrib["class"] for each in root.findall(".//svg/g") if each.find("circle") is not None
    ]
    assert kinds[0] == kinds[3] == "realised"
    assert kinds[1] == kinds[2] != "realised"


def test_each_run_and_each_way_is_said_by_itself() -> None:
    _, facts, _ = shown([0.8, 0.9, 0.8, 0.99], [0.9, 0.9, 0.9, 0.9])
    assert [fact.partition(", by ")[0] for fact in facts[:-1]] == [
        "1 Jul: realised is lower than estimated",
        "15 Jul: realised is lower than estimated",
        "22 Jul: realised is higher than estimated",
    ]


def test_many_runs_are_said_together_and_explained_once() -> None:
    _, facts, _ = shown([0.7, 0.9] * 6, [0.9, 0.9] * 6)
    assert facts[0] == (
        "1 Jul to 9 Sep: realised is lower than estimated in 6 periods, by 0.2 on average."
    )
    assert len(facts) == 2


def test_a_history_of_years_names_the_year() -> None:
    _, facts, _ = shown([], [0.9] * 60)
    assert facts == ["1 Jul 2026 to 18 Aug 2027: estimated only, the labels are still to come."]


def test_a_long_history_without_drift_shows_none() -> None:
    rng = np.random.default_rng(5)
    truth: list[float | None] = [0.9 + float(each) for each in rng.normal(0.0, 0.0102, 100)]
    title, _, _ = shown(truth, [0.9] * 100)
    assert title.endswith("part in 0 of 100 periods")


def test_it_says_that_they_part_nowhere() -> None:
    title, facts, _ = shown([0.9, 0.89], [0.9, 0.9])
    assert title.endswith("part in 0 of 2 periods")
    assert facts == ["Nowhere does the interval of realised minus estimated leave out zero."]


def test_only_an_estimate_awaits_its_labels() -> None:
    title, facts, root = shown([], [0.9, 0.9])
    assert title == "accuracy: no period has both an estimate and labels"
    assert facts == ["1 Jul to 8 Jul: estimated only, the labels are still to come."]
    assert len(list(root.iter("polyline"))) == 1


def test_only_what_was_realised_is_drawn_without_a_line() -> None:
    title, facts, root = shown([0.9, 0.8], [])
    assert title == "accuracy: no period has both an estimate and labels"
    assert facts == []
    assert not list(root.iter("polyline"))
    assert len(list(root.iter("circle"))) == 2


def test_what_is_unknown_is_said_with_its_reason_and_breaks_the_line() -> None:
    truth = periods([0.9, 0.9], realised) | {when(2): realised(NAN, details={"reason": "no label"})}
    guess = periods([0.9, NAN, 0.9, 0.9], estimated)
    part = history_html(truth, guess, page=False)
    root = ET.fromstring(f"<root>{part}</root>")  # noqa: S314 -- our own
    facts = ["".join(each.itertext()) for each in root.iter("li")]
    assert facts[-2:] == ["8 Jul: no value.", "15 Jul: no label."]
    assert facts[0].startswith("22 Jul: estimated only")
    assert facts[0].endswith("Labels reach until the period of 8 Jul.")
    assert [len(each.attrib["points"].split()) for each in root.iter("polyline")] == [1, 2]
    assert "nan" not in part


def test_words_take_what_is_given() -> None:
    truth, guess = {when(0): realised(0.7)}, {when(0): estimated(0.9)}
    apart = {when(0): realised_minus_estimated(truth[when(0)], guess[when(0)])}
    fact, _ = words(truth, guess, apart)
    assert fact.startswith("1 Jul: realised is lower than estimated, by 0.2 on average.")
    assert words({}, {}, {}) == []


# In a table.


def test_each_number_stands_in_the_table() -> None:
    _, _, root = shown([0.8, None, NAN], [0.9, 0.91, 0.92])
    assert table(root) == [
        ["from", "estimated", "realised", "realised − estimated"],
        [
            "1 Jul 2026",
            "0.9 (0.88 to 0.92), n = 500",
            "0.8 (0.77 to 0.83), n = 500",
            "-0.1 (-0.12 to -0.08), n = 500",
        ],
        ["8 Jul 2026", "0.91 (0.89 to 0.93), n = 500", "–", "–"],
        ["15 Jul 2026", "0.92 (0.9 to 0.94), n = 500", "–", "–"],
    ]


def test_better_and_worse_are_told_apart() -> None:
    _, _, root = shown([0.8, 0.9, 0.99], [0.9, 0.9, 0.9])
    rows = [row.attrib.get("class") for row in root.iter("tr")][1:]
    assert len({*rows}) == 3
    key = "".join(root.findall(".//p[@class='key']")[0].itertext())
    assert "worse than estimated" in key
    assert "better than estimated" in key
    _, _, calm = shown([0.9], [0.9])
    assert "than estimated" not in "".join(calm.findall(".//p[@class='key']")[0].itertext())


def test_of_a_loss_higher_is_worse() -> None:
    lower: Any = {"details": {"better": "lower"}, "name": "brier"}
    pages = [
        history_html({when(0): realised(value, **lower)}, {when(0): estimated(0.2, **lower)})
        for value in (0.3, 0.1)
    ]
    assert ["worse than estimated" in page for page in pages] == [True, False]
    assert ["better than estimated" in page for page in pages] == [False, True]


# The drawing.


def test_a_floor_is_drawn_and_named() -> None:
    _, _, root = shown([0.9], [0.9], floor=0.75)
    (text,) = (each for each in root.iter("text") if each.attrib.get("class") == "limit")
    assert text.text == "limit 0.75"
    assert "floor" not in history_html({}, periods([0.9], estimated))


def test_each_spot_says_its_period_and_numbers() -> None:
    _, _, root = shown([0.8], [0.9])
    titles = [each.text for each in root.iter("title")][1:]
    assert titles == [
        "1 Jul 2026, estimated: accuracy = 0.9 (0.88 to 0.92), n = 500",
        "1 Jul 2026, realised: accuracy = 0.8 (0.77 to 0.83), n = 500",
    ]


def test_periods_may_be_datetimes_in_any_order_and_zone() -> None:
    later = datetime(2026, 7, 8, 2, tzinfo=UTC) - timedelta(hours=2)
    east = later.astimezone()
    guess: Any = {east: estimated(0.9), START: estimated(0.8)}
    truth: dict[Any, Measurement] = {when(1): realised(0.9)}
    page = history_html(truth, guess)
    assert "part in 0 of 1 periods" in page
    assert page.index("1 Jul 2026") < page.index("8 Jul 2026")
    (points,) = re.findall(r'<polyline class="course" points="([^"]*)"', page)
    assert [point.partition(",")[0] for point in points.split()] == ["4.00", "96.00"]


def test_a_value_without_an_interval_is_drawn_as_a_point() -> None:
    bare = Measurement("accuracy", 0.9, n=3, details={"better": "higher"})
    page = history_html({when(0): bare}, {})
    assert page.count('class="dot"') == 1
    assert "0.9, n = 3" in page


# Refused.


@pytest.mark.parametrize(
    ("truth", "guess", "more", "message"),
    [
        ({}, {}, {}, r"realised, estimated = \[\]: must be measurements of one metric"),
        (
            {1.0: realised(0.9, name="recall")},
            {1.0: estimated(0.9)},
            {},
            r"\['accuracy', 'recall'\]",
        ),
        ({}, {1.0: estimated(0.9), 2.0: estimated(0.9, name="x")}, {}, r"\['accuracy', 'x'\]"),
        ({datetime(2026, 7, 1): realised(0.9)}, {}, {}, "realised = .*aware datetime"),  # noqa: DTZ001
        ({}, {datetime(2026, 7, 1): estimated(0.9)}, {}, "estimated = .*aware datetime"),  # noqa: DTZ001
        ({NAN: realised(0.9)}, {}, {}, "realised = nan"),
        ({1e15: realised(0.9)}, {}, {}, r"realised = .*\(not milliseconds\?\)"),
        ({"July": realised(0.9)}, {}, {}, "realised = 'July'"),
        ({1.0: 0.9}, {}, {}, "realised = 0.9: must be Measurement"),
        ({}, {1.0: None}, {}, "estimated = None: must be Measurement"),
        ({}, {1.0: estimated(0.9)}, {"floor": NAN}, "floor = nan"),
        ({}, {1.0: estimated(0.9)}, {"floor": "low"}, "floor = 'low'"),
        (
            {1.0: realised(0.9)},
            {1.0: Measurement("accuracy", 0.9)},
            {},
            r"what Estimate\.estimate gave",
        ),
    ],
)
def test_what_cannot_be_drawn_is_named(
    truth: Any, guess: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        history_html(truth, guess, **more)


def test_outcomes_and_estimates_make_a_history() -> None:
    rng = np.random.default_rng(3)
    score = rng.random(6_000)
    rate = np.where(np.arange(6_000) < 4_000, score, 0.5 * score)
    y = rng.random(6_000) < rate
    estimate = Estimate.fit(y[:3_000], score[:3_000])
    outcomes = Outcomes(timedelta(days=3), loss="brier", clock=lambda: 20.0 * DAY)
    days = 10.0 + np.arange(3_000) // 1_000
    outcomes.add(
        {
            "id": np.arange(3_000),
            "predicted_at": days * DAY,
            "prediction": score[3_000:],
            "labelled_at": (days + 1.0) * DAY,
            "label": y[3_000:].astype(float),
        }
    )
    truth = {each.details["since"]: each for each in outcomes.by_cohort()}
    guess: Any = {
        (10.0 + day) * DAY: estimate.estimate(score[3_000:][day * 1_000 :][:1_000])["brier"]
        for day in range(3)
    }
    page = history_html(truth, guess)
    assert "brier: realised and estimated part in 2 of 3 periods" in page
    assert "12 Jan to 13 Jan: realised is higher than estimated" in page
