"""Drift put into profiles: as much as asked for, without a row more or less."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, Profile, Reference, Severity
from mlguard.drift import scaled, shifted, vanished

if TYPE_CHECKING:
    from mlguard.drift.injected import Injection

NUMBERS = ("normal", "skewed", "even", "whole", "constant", "holey")
LEVELS = ("plan", "flag", "secret")
CYCLES = ("when.hour", "when.weekday")
DAY = 86_400.0


def frame(rows: int, *seed: object) -> dict[str, Any]:
    rng = np.random.default_rng(zlib.crc32(repr(seed).encode()))
    days = rng.choice(7, rows, p=[0.3, 0.2, 0.15, 0.15, 0.1, 0.05, 0.05]) + 7 * rng.integers(
        0, 50, rows
    )
    holey = rng.normal(size=rows)
    holey[rng.random(rows) < 0.2] = np.nan
    holey[:3] = [np.inf, -np.inf, np.inf]
    seconds = (days * DAY + rng.triangular(0.0, 9 * 3_600.0, DAY, rows)).astype("int64")
    return {
        "normal": rng.normal(size=rows),
        "skewed": rng.lognormal(size=rows),
        "even": rng.random(rows),
        "whole": rng.poisson(3.0, rows).astype(float),
        "constant": np.full(rows, 7.0),
        "holey": holey,
        "plan": rng.choice(["basic", "pro", "team", "trial"], rows, p=[0.5, 0.3, 0.15, 0.05]),
        "flag": rng.random(rows) < 0.3,
        "secret": rng.choice(["p", "q", "r"], rows, p=[0.6, 0.3, 0.1]),
        "when": seconds.astype("datetime64[s]"),
    }


REFERENCE = Reference.fit(frame(20_000, "reference"), private=["secret"])
SAME = REFERENCE.profile(frame(20_000, "reference"))


def wider(rows: int = 5_000, *seed: object) -> Profile:
    """Count rows of which some lie beyond what the reference has seen, on either side."""
    values = frame(rows, "wider", *seed)
    values |= {name: 3.0 * values[name] - 2.0 for name in ("normal", "skewed", "even", "holey")}
    values["plan"] = np.where(np.arange(rows) % 10 == 0, "never seen", values["plan"])
    return REFERENCE.profile(values)


INJECTIONS: dict[str, Injection] = {
    "shifted": shifted(REFERENCE, 0.5),
    "shifted down": shifted(REFERENCE, -0.5),
    "shifted far": shifted(REFERENCE, 40.0),
    "scaled": scaled(REFERENCE, 1_000.0, columns=NUMBERS),
    "scaled down": scaled(REFERENCE, 1e-3, columns=NUMBERS),
    "vanished": vanished(REFERENCE, 0.3),
}
each_injection = pytest.mark.parametrize("name", [*INJECTIONS])


def parts(profile: Profile) -> dict[str, Any]:
    return {name: profile.counts[part] for name, part in REFERENCE.layout.parts.items()}


def effects(profile: Profile) -> dict[str, float]:
    return {name: each.effect for name, each in REFERENCE.compare(profile).columns.items()}


@given(st.sampled_from([*INJECTIONS]), st.floats(0.0, 1.0), st.integers(0, 400), st.integers(0, 9))
def test_every_column_keeps_its_rows(name: str, strength: float, rows: int, seed: int) -> None:
    before = wider(rows, seed) if rows > 3 else REFERENCE.profile()
    after = INJECTIONS[name](before, strength)
    assert after.rows == before.rows
    assert after.counts.dtype == np.int64
    for counts in parts(after).values():
        assert counts.sum() == before.rows
        assert (counts >= 0).all()


@each_injection
def test_without_strength_nothing_moves(name: str) -> None:
    for profile in (SAME, wider()):
        moved = INJECTIONS[name](profile, 0.0)
        for column, counts in parts(profile).items():
            assert parts(moved)[column].tolist() == counts.tolist(), column


@each_injection
def test_the_profile_that_is_given_stays_as_it_is(name: str) -> None:
    profile = wider()
    before = profile.to_json()
    moved = INJECTIONS[name](profile, 1.0)
    assert profile.to_json() == before
    assert moved.to_json() != before
    assert INJECTIONS[name](profile, 1.0) == moved


def test_other_columns_stay_as_they_are() -> None:
    for injection in (
        shifted(REFERENCE, 0.5, columns=["normal"]),
        scaled(REFERENCE, 60.0, columns=["normal"]),
        vanished(REFERENCE, 0.5, columns=["normal"]),
    ):
        before, after = parts(SAME), parts(injection(SAME, 1.0))
        assert [name for name in before if (before[name] != after[name]).any()] == ["normal"]


def test_a_profile_from_json_moves_in_the_same_way() -> None:
    read = Profile.from_json(SAME.to_json())
    for injection in INJECTIONS.values():
        assert injection(read, 0.7).counts.tolist() == injection(SAME, 0.7).counts.tolist()


def test_notes_and_span_come_along() -> None:
    profile = REFERENCE.profile()
    profile.observe({**dict.fromkeys(REFERENCE.columns), "new": 1}, at=5.0)
    moved = INJECTIONS["shifted"](profile, 1.0)
    assert moved.span == (5.0, 5.0)
    assert moved.schema_changes == profile.schema_changes


# Shifts.


@pytest.mark.parametrize("by", [0.1, 0.2, 0.3, 0.5, 1.0, -0.2, -0.5, -1.0])
def test_a_shift_of_a_normal_column_has_the_effect_asked_for(by: float) -> None:
    found = effects(shifted(REFERENCE, by)(SAME, 1.0))
    assert found["normal"] == pytest.approx(abs(by), rel=0.45 if abs(by) < 0.2 else 0.35)


@pytest.mark.parametrize("by", [0.2, 0.5, 1.0, -0.2, -0.5, -1.0])
def test_a_shift_of_counts_does_what_a_shift_of_the_rows_of_a_normal_column_does(by: float) -> None:
    values = frame(20_000, "reference")
    real = REFERENCE.profile({**values, "normal": values["normal"] + by * values["normal"].std()})
    moved = shifted(REFERENCE, by, columns=["normal"])(SAME, 1.0)
    one, other = (parts(each)["normal"] / SAME.rows for each in (real, moved))
    inner = np.cumsum(one - other)[2:-4]  # rows that are shifted out of the range stay at its end
    assert float(np.abs(inner).max()) <= 0.03


@pytest.mark.parametrize("column", ["normal", "skewed", "even"])
@pytest.mark.parametrize("by", [0.2, 0.5, -0.5, 1.0])
def test_a_shift_has_the_effect_asked_for_whatever_the_law(column: str, by: float) -> None:
    found = effects(shifted(REFERENCE, by, columns=[column])(SAME, 1.0))[column]
    assert found == pytest.approx(abs(by), abs=0.06)


@pytest.mark.parametrize("column", ["plan", "flag", "secret", "when.weekday"])
def test_levels_private_ones_and_cycles_move_too(column: str) -> None:
    counts = parts(SAME)[column]
    moved = parts(shifted(REFERENCE, 0.5)(SAME, 1.0))[column]
    away = counts - moved
    assert 0.05 < np.abs(away).sum() / 2.0 / SAME.rows <= 0.25
    assert effects(shifted(REFERENCE, 0.5)(SAME, 1.0))[column] > 0.1


def test_what_is_missing_stays_missing() -> None:
    for name in ("shifted", "shifted far", "scaled"):
        moved = parts(INJECTIONS[name](SAME, 1.0))
        for column, counts in parts(SAME).items():
            assert moved[column][-1] == counts[-1], column


def test_infinities_stay_where_they_are() -> None:
    before = parts(SAME)["holey"]
    for name in ("shifted", "shifted far", "scaled"):
        after = parts(INJECTIONS[name](SAME, 1.0))["holey"]
        assert (after[0], after[-2]) == (before[0], before[-2]) == (1, 2)


def test_a_shift_far_away_gathers_at_the_end_of_the_range() -> None:
    moved = parts(INJECTIONS["shifted far"](SAME, 1.0))["normal"]
    assert moved[-4] == SAME.rows
    down = parts(shifted(REFERENCE, -40.0)(SAME, 1.0))["normal"]
    assert down[2] == SAME.rows


@pytest.mark.parametrize(("make", "columns"), [
    (lambda: shifted(REFERENCE, 0.5), ("normal", "skewed", "even", "whole", *LEVELS, "when.weekday")),
    (lambda: shifted(REFERENCE, -0.5), ("normal", "skewed", "even", "whole", *LEVELS, "when.weekday")),
    (lambda: scaled(REFERENCE, 1_000.0, columns=["normal", "skewed", "even"]), ("normal", "skewed", "even")),
    (lambda: vanished(REFERENCE, 0.5), ("normal", "plan", "secret", "when.hour")),
])  # fmt: skip
def test_more_strength_is_no_smaller_an_effect(make: Any, columns: tuple[str, ...]) -> None:
    injection = make()
    found = [effects(injection(SAME, strength)) for strength in np.linspace(0.0, 1.0, 11)]
    for column in columns:
        series = [each[column] for each in found]
        assert series[0] == pytest.approx(0.0, abs=1e-6)
        assert series[-1] > 0.12
        steps = np.diff(series)
        assert (steps > -0.02).all(), (column, series)


# Unit errors and values that go missing.


def test_milliseconds_sent_as_seconds_are_detected() -> None:
    report = REFERENCE.compare(
        scaled(REFERENCE, 1_000.0, columns=["normal", "skewed", "even"])(SAME, 1.0)
    )
    assert {*report.drifted} == {"normal", "skewed", "even"}
    assert report.verdict().severity is Severity.BREACH
    assert all(report.columns[name].effect > 1.0 for name in report.drifted)


def test_scaling_there_and_back_is_where_it_began() -> None:
    there = parts(scaled(REFERENCE, 2.0, columns=["even"])(SAME, 1.0))["even"]
    half = parts(scaled(REFERENCE, 4.0, columns=["even"])(SAME, 0.5))["even"]
    assert there.tolist() == half.tolist()  # at half strength its square root


def test_scaling_does_what_scaling_the_rows_does() -> None:
    values = frame(20_000, "reference")
    for column, factor in (("even", 0.5), ("even", 3.0), ("normal", 2.0), ("skewed", 0.3)):
        real = parts(REFERENCE.profile({**values, column: factor * values[column]}))[column]
        moved = parts(scaled(REFERENCE, factor, columns=[column])(SAME, 1.0))[column]
        assert np.abs(np.cumsum(real - moved)).max() <= 0.05 * SAME.rows, (column, factor)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_share_asked_for_goes_missing(part: float, strength: float) -> None:
    moved = parts(vanished(REFERENCE, part)(SAME, strength))
    for column, counts in parts(SAME).items():
        there = SAME.rows - counts[-1]
        assert moved[column][-1] - counts[-1] == pytest.approx(part * strength * there, abs=1.0)
        assert REFERENCE.layout.cells[column].size == len(moved[column])
    report = REFERENCE.compare(vanished(REFERENCE, part)(SAME, strength))
    assert report.columns["normal"].missing == pytest.approx(part * strength, abs=1e-4)


def test_a_column_can_go_missing_altogether() -> None:
    """The commonest failure of a feed; refused for now."""
    moved = parts(vanished(REFERENCE, 1.0, columns=["normal"])(SAME, 1.0))["normal"]
    assert moved[-1] == SAME.rows


# Bad input.


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: shifted(REFERENCE, float("nan")), "by = nan: must be a finite number"),
        (lambda: shifted(REFERENCE, float("inf")), "by = inf: must be a finite number"),
        (lambda: shifted(REFERENCE, 0.5, columns="normal"), "columns = 'normal': must be some of the columns"),
        (lambda: shifted(REFERENCE, 0.5, columns=["odd"]), r"columns = \['odd'\]: must be some of the columns \['normal'"),
        (lambda: shifted(REFERENCE, 0.5, columns=[]), r"columns = \[\]: must be some of the columns"),
        (lambda: scaled(REFERENCE, 0.0, columns=["normal"]), "factor = 0.0: must be a positive number"),
        (lambda: scaled(REFERENCE, -2.0, columns=["normal"]), "factor = -2.0: must be a positive number"),
        (lambda: scaled(REFERENCE, float("nan"), columns=["normal"]), "factor = nan: must be a finite number"),
        (lambda: scaled(REFERENCE, 2.0, columns=["normal", "plan"]), r"columns = \['plan'\]: must be columns of numbers"),
        (lambda: scaled(REFERENCE, 2.0, columns=["when.hour"]), r"columns = \['when.hour'\]: must be columns of numbers"),
        (lambda: vanished(REFERENCE, 1.5), "part = 1.5: must be"),
        (lambda: vanished(REFERENCE, -0.1), "part = -0.1: must be"),
        (lambda: vanished(REFERENCE, float("nan")), "part = nan: must be"),
        (lambda: vanished(REFERENCE, 0.5, columns=["odd"]), "columns"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


@each_injection
def test_a_profile_of_another_reference_is_refused(name: str) -> None:
    other = Reference.fit({"normal": np.arange(50.0)})
    with pytest.raises(ConfigurationError, match=f"profile = '{other.digest}': must be one of reference {REFERENCE.digest}"):  # fmt: skip
        INJECTIONS[name](other.profile({"normal": [1.0]}), 1.0)
