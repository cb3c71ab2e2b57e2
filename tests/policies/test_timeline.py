"""Decisions over time as a drawing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlguard import Action, ConfigurationError, Decision
from mlguard.policies.simulate import timeline_html

DAY = 86_400.0
START = 1_700_000_000.0


def decided(action: str, days: float, key: str = "k", row: str = "drift") -> Decision:
    because: Any = ({"response": row},)
    return Decision(action, f"{action} {key}", at=START + days * DAY, key=key, because=because)


def bars(page: str) -> int:
    return page.count('class="alarm"')


def marks(page: str) -> int:
    return page.count('class="mark"')


def test_alarms_are_bars_until_they_end_and_actions_are_marks() -> None:
    decisions = [
        decided(Action.ALERT, 0, "a"),
        decided(Action.RETRAIN, 1),
        decided(Action.RESOLVE, 2, "a"),
        decided(Action.ALERT, 3, "b"),
        decided("page-the-vendor", 4),
    ]
    page = timeline_html({"ladder": decisions})
    assert (bars(page), marks(page)) == (2, 2)
    assert "2 × alert, 1 × retrain, 1 × page-the-vendor" in page


def test_what_lies_outside_the_axis_is_not_drawn() -> None:
    decisions = [
        decided(Action.RETRAIN, 0),
        decided(Action.ALERT, 1, "a"),
        decided(Action.RESOLVE, 2, "a"),
        decided(Action.ALERT, 3, "b"),
        decided(Action.RETRAIN, 9),
    ]
    page = timeline_html({"ladder": decisions}, since=START + 2.5 * DAY, until=START + 8 * DAY)
    assert (bars(page), marks(page)) == (1, 0)
    assert page.count("<h3>ladder: 1 × alert</h3>") == 1  # and not what is elsewhere


def test_an_alarm_that_began_before_the_axis_is_drawn_from_its_edge_on() -> None:
    decisions = [decided(Action.ALERT, 0, "a"), decided(Action.RETRAIN, 0, row="again")]
    page = timeline_html({"ladder": decisions}, since=START + DAY, until=START + 2 * DAY)
    assert bars(page) == 1
    assert "ladder: nothing was decided" in page
    assert "again" not in page  # a row of nothing


def test_names_are_escaped_once() -> None:
    page = timeline_html({"<a> & b": [decided("<act>", 0)]})
    assert page.count("&lt;a&gt; &amp; b: 1 × &lt;act&gt;<") == 2  # heading, and for the blind
    assert "<act>" not in page


def test_one_open_alarm_is_drawn() -> None:
    assert bars(timeline_html({"ladder": [decided(Action.ALERT, 0)]})) == 1


@pytest.mark.parametrize(("days", "label"), [(2, r">\d\d:\d\d<"), (20, r">\d+ [A-Z][a-z]+<")])
def test_labels_are_times_or_days(days: float, label: str) -> None:
    decisions = [decided(Action.RETRAIN, 0), decided(Action.RETRAIN, days)]
    page = timeline_html({"ladder": decisions}, since=START)
    assert len(re.findall(label, page)) == 6


def test_labels_over_years_name_them() -> None:
    decisions = [decided(Action.RETRAIN, 0), decided(Action.RETRAIN, 900)]
    assert "14 Nov 2023" in timeline_html({"ladder": decisions})


def test_long_names_are_cut_and_shown_in_full_when_pointed_at() -> None:
    name = "a response of a very long name"
    page = timeline_html({"ladder": [decided(Action.RETRAIN, 0, row=name)]})
    assert f"<title>{name}</title>a response o…" in page


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([decided(Action.ALERT, 0)], "^decisions = .*a mapping of names"),
        ({}, "^decisions = .*at least one, or since and until"),
        ({"ladder": []}, "^decisions = .*at least one, or since and until"),
        ({"ladder": [Decision(Action.ALERT, "why")]}, "^decisions = .*`at`"),
    ],
)
def test_what_cannot_be_drawn_is_named(decisions: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        timeline_html(decisions)


def test_nothing_may_be_drawn_over_a_given_time() -> None:
    page = timeline_html({"ladder": []}, since=START, until=START + DAY)
    assert "nothing was decided" in page
