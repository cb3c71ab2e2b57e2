"""Reports as pages: self-contained, escaped, readable without their colours."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError
from mlguard.drift import DriftReport, Reference, history_html, words
from mlguard.render import svg

EVIL = "<script>alert('x')</script>&\"|`*"
VOID = {"meta", "line", "rect", "circle"}


class Balanced(HTMLParser):
    """Fails where tags are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert attrs
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(page: str) -> set[str]:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser.seen


def frame(rows: int, *, seed: int = 0, shift: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(shift, 1.0, rows),
        EVIL: rng.choice(["a", EVIL], rows, p=[0.5 + shift / 4, 0.5 - shift / 4]),
        "many": rng.choice([f"a level with a long name {place}" for place in range(60)], rows),
        "when": np.datetime64("2026-01-01")
        + rng.integers(0, 86_400 * 7, rows).astype("timedelta64[s]"),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(frame(10_000))


@pytest.fixture(scope="module")
def report(reference: Reference) -> DriftReport:
    data = frame(8_000, seed=1, shift=0.5)
    data["x"][:400] = np.nan
    data["x"][400:410] = 99.0
    data["new" + EVIL] = data["x"]
    return reference.compare(data)


def test_a_page_is_whole_and_asks_for_nothing(report: DriftReport) -> None:
    page = report.to_html()
    assert page.startswith("<!doctype html>")
    assert tags(page) >= {"html", "svg", "details", "style", "title"}
    assert "width=device-width" in page
    assert "prefers-color-scheme:dark" in page
    assert not re.search(r"<script|https?:|url\(|@import|<link|<img", page)


def test_every_text_is_escaped(report: DriftReport, reference: Reference) -> None:
    reports = {EVIL: report, "later": reference.compare(frame(3_000))}
    for page in (report.to_html(), report._repr_html_(), history_html(reports)):
        assert "<script" not in page
        assert "&lt;script&gt;" in page
    assert "<script" not in report.to_markdown()


def test_a_part_brings_its_style_and_no_page(report: DriftReport) -> None:
    part = report.to_html(page=False)
    assert part == report._repr_html_()
    assert part.startswith("<style>.mlguard-drift")
    assert not tags(part) & {"html", "body", "main", "h1"}


def test_drifted_columns_are_open_and_stable_ones_folded(report: DriftReport) -> None:
    shown, folded = report.to_html().split("<details>")
    assert [name in shown.split("<body>")[1] for name in (">x<", ">many<")] == [True, False]
    assert ">many<" in folded
    assert "drifted: breach" in shown
    assert "missing 5 %" in shown
    assert "out of range " in shown


def test_each_drawing_says_in_words_what_it_shows(report: DriftReport) -> None:
    page = report.to_html()
    drawings = re.findall(r'<svg class="mlguard-svg" role="img"[^>]*><title>([^<]+)</title>', page)
    assert len(drawings) == 2 * len(report.columns)
    assert any(title.startswith("x: effect 0.") for title in drawings)
    assert any(title.startswith("x: median ") for title in drawings)


def test_many_levels_are_put_together(report: DriftReport) -> None:
    assert "36 further levels" in report.to_html()


def test_markdown_is_one_table(report: DriftReport) -> None:
    title, blank, *table = report.to_markdown().splitlines()
    assert title.startswith("**2 of 6 columns have drifted: ")
    assert not blank
    assert len(table) == 2 + len(report.columns)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in table} == {7}


def test_a_history_has_a_row_for_each_column_and_a_cell_for_each_period(
    report: DriftReport, reference: Reference
) -> None:
    few, none = reference.compare(frame(60)), reference.compare(reference.profile())
    calm = reference.compare(frame(8_000, seed=2))
    page = history_html({"1 Jul": calm, "8 Jul": report, "15 Jul": few, "22 Jul": none})
    tags(page)
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page)
    assert len(rows) == len(reference.columns)
    assert {row.count("<td") for row in rows} == {4}
    assert "x, 1 Jul: " in rows[0]
    assert "stable" in rows[0]
    assert re.search(r'class="b\d" title="x, 8 Jul: 0\.\d\d sd, drifted">0\.\d\d<', rows[0])
    assert "x, 22 Jul: no rows, inconclusive" in rows[0]
    assert "too few rows to tell" in page
    part = history_html({"1 Jul": calm}, page=False)
    assert "<html" not in part
    assert "too few rows to tell" not in part


def test_only_some_periods_are_labelled_where_there_are_many(report: DriftReport) -> None:
    page = history_html({f"week {place}": report for place in range(52)})
    assert page.count('<span class="wide') == 13
    assert len(re.findall(r'<span class="[^"]*narrow', page)) == 6


def test_a_history_is_of_the_same_columns(report: DriftReport) -> None:
    with pytest.raises(ConfigurationError, match="at least one report"):
        history_html({})
    other = Reference.fit({"y": np.arange(100.0)}).compare({"y": np.arange(100.0)})
    with pytest.raises(ConfigurationError, match=r"reports\['b'\] = \['y'\]"):
        history_html({"a": report, "b": other})


def test_labels_of_bars_are_shortened_or_left_out() -> None:
    few = [svg.Bar(f"a long name {place}", 0.2, 0.2, f"a long name {place}") for place in range(5)]
    assert "a long n…<" in svg.histogram(few, title="few")
    many = [svg.Bar("name", 0.02, 0.02, "name") for _ in range(50)]
    assert "<text" not in svg.histogram(many, title="many")
    assert "<rect" not in svg.histogram([], title="none")


def test_an_interval_is_drawn_within_its_scale() -> None:
    drawn = svg.interval(9.0, (8.0, 11.0), top=4.0, lines=[(0.1, "red")], title="far")
    assert 'cx="100.00%"' in drawn
    unknown = svg.interval(float("nan"), (0.0, 0.0), top=4.0, lines=[], title="none")
    assert "<circle" not in unknown


def test_a_calm_page_is_short_and_says_when(reference: Reference) -> None:
    profile = reference.profile()
    profile.observe_many(frame(5_000, seed=3), at=1_790_000_000)
    profile.observe_many(frame(5_000, seed=4), at=1_790_003_600)
    page = reference.compare(profile).to_html()
    assert "None of 6 columns has drifted" in page
    assert "2026-09-21T14:13:20Z to 2026-09-21T15:13:20Z" in page
    assert 'class="drift-lead"' not in page


def test_a_column_without_a_finite_number_is_drawn() -> None:
    gone = Reference.fit({"x": np.full(5_000, np.nan)})
    assert "missing: 100 % → 100 %" in gone.compare({"x": np.full(5_000, np.nan)}).to_html()
    assert "finite: 0 % → 100 %" in gone.compare({"x": np.full(5_000, 3.0)}).to_html()


def test_times_at_the_ends_of_the_calendar_are_written() -> None:
    when = [datetime.min, datetime(2026, 1, 1), datetime.max] * 40  # noqa: DTZ001, DTZ901 -- UTC
    report = Reference.fit({"t": when}).compare(
        {"t": when[1:] + [datetime(3, 1, 1, tzinfo=UTC)] * 99}
    )
    page = report.to_html()
    tags(page)
    assert "0001-01-01 00:00" in page
    assert "2026-01-01 00:00" in page
    assert words.written(1.7e12, time=True) == "1,700,000,000,000"


def test_names_from_outside_can_be_saved_and_neither_turn_nor_hide_a_text() -> None:
    odd = "a\ud800b\u202ec\x00d\u2066e\x1b[2J"
    data = {odd: ["x", odd] * 60, "x": np.arange(120.0)}
    reference = Reference.fit(data)
    report = reference.compare(
        {odd: [odd] * 120, "x": np.arange(120.0) * 9, "new" + odd: data["x"]}
    )
    for text in (
        report.to_html(),
        report.to_html(page=False),
        report.to_markdown(),
        history_html({odd: report}),
        report.verdict().explain(),
    ):
        assert text.encode()
        assert not set(text) & set("\u202e\x00\u2066\x1b")
    assert r"a\ud800b\u202ec\x00d\u2066e\x1b[2J" in report.to_html()


@pytest.mark.parametrize("name", ["", " "])
def test_a_blank_name_is_shown_in_quotes(name: str) -> None:
    data = {name: np.arange(400.0)}
    report = Reference.fit(data).compare({name: data[name] + 300.0})
    assert f">&quot;{name}&quot;<" in report.to_html()
    assert f">&quot;{name}&quot;<" in history_html({"today": report})
    assert f'| "{name.strip()}' in report.to_markdown()
    assert f': "{name}";' in words.found(report)


def test_periods_are_labelled_by_anything(report: DriftReport) -> None:
    page = history_html({date(2026, 7, 1): report, 7: report})
    tags(page)
    assert ">2026-07-01<" in page
    assert "x, 7: " in page
