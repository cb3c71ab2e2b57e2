"""Comparing a profile with its reference: the rule, its arguments, and the edges of the data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError, Severity
from mlguard.drift import Profile, Reference, js, ks, psi

RNG = np.random.default_rng(11)
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _same_draws_in_any_order() -> None:
    RNG.bit_generator.state = STATE


def frame(rows: int, shift: float = 0.0, rng: np.random.Generator = RNG) -> dict[str, Any]:
    return {
        "x": rng.standard_normal(rows) + shift,
        "y": rng.lognormal(size=rows),
        "k": rng.choice(np.array(["a", "b", "c"], dtype=object), rows, p=[0.5, 0.3, 0.2]),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(frame(20_000, 0.0, np.random.default_rng(12)))


# The rule.


def test_significant_and_material_is_drifted_and_significant_alone_is_stable(
    reference: Reference,
) -> None:
    profile = reference.profile(frame(20_000, 0.2))
    for tolerance, breach, status, severity in (
        (0.1, 0.3, "drifted", Severity.WARN),
        (0.05, 0.1, "drifted", Severity.BREACH),
        (0.25, 0.3, "stable", Severity.OK),
    ):
        column = reference.compare(profile, tolerance=tolerance, breach=breach).columns["x"]
        assert (column.status, column.severity) == (status, severity)
        assert column.low < 0.2 < column.high
        assert column.adjusted_p < 1e-6


def test_with_few_rows_it_is_inconclusive_and_says_how_many_it_takes(reference: Reference) -> None:
    few = reference.compare(frame(100))
    needed = few.columns["x"].required_n
    assert needed is not None
    assert needed > 100
    assert {column.status for column in few.columns.values()} == {"inconclusive"}
    assert few.verdict().severity is Severity.UNKNOWN
    assert reference.compare(frame(needed + 100)).columns["x"].status == "stable"


def test_a_reference_that_is_too_small_is_inconclusive_whatever_the_rows() -> None:
    small = Reference.fit({"x": RNG.standard_normal(30)})
    column = small.compare({"x": RNG.standard_normal(100_000)}, tolerance=0.1).columns["x"]
    assert column.status == "inconclusive"
    assert column.required_n is None
    assert small.required_n() == {"x": None}


def test_drifted_outranks_inconclusive(reference: Reference) -> None:
    report = reference.compare({**frame(100), "x": np.full(100, 2.0)})
    assert report.drifted == ["x"]
    assert report.verdict().severity is Severity.BREACH


def test_required_rows_fall_with_the_tolerance_and_rise_with_the_columns_and_with_smaller_alpha(
    reference: Reference,
) -> None:
    def rows(of: Reference = reference, **how: Any) -> int:
        needed = of.required_n(**how)["x"]
        assert needed is not None
        return needed

    assert rows(tolerance=0.2) < rows(tolerance=0.1) < rows(tolerance=0.1, alpha=0.001)
    assert rows(Reference.fit({"x": RNG.standard_normal(20_000)})) < rows()
    assert reference.compare(frame(5000)).columns["x"].required_n == pytest.approx(rows(), rel=0.05)


def test_a_tolerance_in_a_metric_of_its_own_is_applied_in_that_metric(reference: Reference) -> None:
    profile = reference.profile(frame(20_000, 0.5))
    numbers = Reference.fit({"x": RNG.standard_normal(20_000)})
    shifted = numbers.profile({"x": RNG.standard_normal(20_000) + 0.5})
    for of, current, metric in (
        (reference, profile, psi),
        (reference, profile, js),
        (numbers, shifted, ks),
    ):
        size = getattr(of.compare(current).columns["x"], metric.__name__)
        for factor, status in ((0.9, "drifted"), (1.1, "stable")):
            report = of.compare(current, tolerance=metric(factor * size), breach=metric(2 * size))
            assert report.columns["x"].status == status
            assert report.columns["x"].severity is (Severity.WARN if factor < 1.0 else Severity.OK)
    breached = reference.compare(profile, tolerance=psi(0.1), breach=0.2)  # in the same metric
    assert breached.columns["x"].severity is Severity.BREACH


@pytest.mark.parametrize(
    ("tolerance", "breach"), [(0.1, 0.3), (0.5, 1.5), (psi(0.1), psi(0.3)), (js(0.2), js(0.6))]
)
def test_without_a_breach_line_it_is_three_times_the_tolerance(
    reference: Reference, tolerance: Any, breach: Any
) -> None:
    settings = reference.compare(frame(50), tolerance=tolerance).settings
    assert settings == reference.compare(frame(50), tolerance=tolerance, breach=breach).settings


def test_required_rows_of_equivalent_tolerances_are_alike() -> None:
    numbers = Reference.fit({"x": RNG.standard_normal(50_000)})
    needed = [numbers.required_n(tolerance=t)["x"] for t in (0.3, psi(0.09), js(0.127), ks(0.119))]
    assert None not in needed
    assert max(needed) <= 1.3 * min(needed)  # type: ignore[operator, type-var]


def test_the_strict_rule_asks_for_more(reference: Reference) -> None:
    for shift, loose, strict in ((0.13, True, False), (0.2, True, True)):
        profile = reference.profile(frame(10_000, shift))
        assert ("x" in reference.compare(profile).drifted) is loose
        assert ("x" in reference.compare(profile, rule="proven").drifted) is strict


def test_the_strict_rule_calls_stable_only_what_seems_within_the_tolerance(
    reference: Reference,
) -> None:
    for shift, status, words in (
        (0.13, "inconclusive", "too few rows to prove that the change is over the tolerance"),
        (0.03, "stable", "no change beyond the tolerance found"),
    ):
        moved = frame(2500, shift, np.random.default_rng(5))
        column = reference.compare(moved, rule="proven").columns["x"]
        assert column.status == status
        assert words in column.reason


def test_important_columns_get_more_of_alpha(reference: Reference) -> None:
    profile = reference.profile(frame(700, 0.14, np.random.default_rng(3)))
    equal = reference.compare(profile).columns["x"]
    heavy = reference.compare(profile, weights={"x": 50.0}).columns["x"]
    assert heavy.p_value == equal.p_value
    assert heavy.adjusted_p < equal.adjusted_p
    assert heavy.required_n is not None
    assert equal.required_n is not None
    assert heavy.required_n < equal.required_n


def test_the_other_correction_flags_no_less(reference: Reference) -> None:
    profile = reference.profile(frame(3000, 0.1))
    holm, bh = (reference.compare(profile, correction=c).columns for c in ("holm", "bh"))
    assert all(bh[name].adjusted_p <= holm[name].adjusted_p for name in holm)


def test_many_are_compared_as_one_by_one_in_their_order(reference: Reference) -> None:
    sizes = [500, 0, 40_000, 7, 60, 5000, 1, 300]
    profiles = [reference.profile(frame(rows, 0.1)) for rows in sizes]
    many = reference.compare_many(iter(profiles), tolerance=0.05)
    for profile, report in zip(profiles, many, strict=True):
        alone = reference.compare(profile, tolerance=0.05)
        assert report.profile == profile
        for name, column in report.columns.items():
            other = alone.columns[name]
            assert (column.status, column.severity, column.n, column.required_n) == (
                other.status,
                other.severity,
                other.n,
                other.required_n,
            )
            numbers = ("p_value", "adjusted_p", "effect", "low", "high")
            assert [getattr(column, each) for each in numbers] == pytest.approx(
                [getattr(other, each) for each in numbers], nan_ok=True
            )
    assert reference.compare_many([]) == []


def test_counts_decide_not_how_they_came(reference: Reference) -> None:
    rows = frame(4000, 0.1)
    profile = reference.profile()
    for start in range(0, 4000, 500):
        profile += reference.profile(
            {name: values[start : start + 500] for name, values in rows.items()}
        )
    stored = Profile.from_json(profile.to_json())
    whole = reference.compare(rows).columns
    for report in (reference.compare(profile), reference.compare(stored)):
        assert [column.p_value for column in report.columns.values()] == [
            column.p_value for column in whole.values()
        ]


# Columns at the edge.


def quiet(before: dict[str, Any], after: dict[str, Any]) -> None:
    report = Reference.fit(before).compare(after, tolerance=1e-6)
    assert not report.drifted
    for column in report.columns.values():
        assert 0.0 <= column.p_value <= column.adjusted_p <= 1.0


@pytest.mark.parametrize("rows", [1, 2, 5, 30, 1000])
@pytest.mark.parametrize("current", [0, 1, 2, 5, 30, 1000])
def test_any_number_of_rows_compares_without_a_warning(rows: int, current: int) -> None:
    names = np.array(["a", "b"], dtype=object)

    def draw(count: int) -> dict[str, Any]:
        return {
            "x": RNG.standard_normal(count),
            "one": np.ones(count),
            "missing": np.full(count, np.nan),
            "infinite": np.where(RNG.random(count) < 0.5, np.inf, -np.inf),
            "few": RNG.integers(0, 3, count),
            "level": RNG.choice(names, count),
            "same": np.full(count, "a", dtype=object),
            "when": np.datetime64("2026-01-01")
            + RNG.integers(0, 10**6, count).astype("timedelta64[s]"),
        }

    report = Reference.fit(draw(rows)).compare(draw(current))
    assert {"one", "missing", "same"}.isdisjoint(report.drifted)
    for column in report.columns.values():
        assert 0.0 <= column.p_value <= column.adjusted_p <= 1.0
        assert math.isnan(column.effect) == (current == 0)
        assert current == 0 or column.low <= column.high
    report.verdict().explain()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (np.ones(100), np.zeros(100)),
        (np.ones(100), np.full(100, np.nan)),
        (np.full(100, np.nan), np.ones(100)),
        (np.full(100, "a", dtype=object), np.full(100, "b", dtype=object)),
        (np.full(100, "a", dtype=object), np.full(100, None, dtype=object)),
        (np.arange(100.0), np.full(100, np.inf)),
        (np.arange(100.0), np.full(100, -1e300)),
    ],
)
def test_a_column_that_is_nothing_like_before_has_drifted_as_far_as_it_goes(
    before: Any, after: Any
) -> None:
    column = Reference.fit({"x": before}).compare({"x": after}).columns["x"]
    assert column.status == "drifted"
    assert column.severity is Severity.BREACH
    assert column.effect > 3.0


def test_a_billion_rows_neither_overflow_nor_frighten(reference: Reference) -> None:
    huge = reference.counts * 10**5
    profile = reference.profile()
    profile._counts[:] = huge
    profile._rows = 2_000_000_000
    report = reference.compare(profile)
    for column in report.columns.values():
        assert column.status == "stable"
        assert column.effect == pytest.approx(0.0, abs=1e-3)
    both = Reference(reference.layout, huge, 2_000_000_000)
    for column in both.compare(profile, rule="proven").columns.values():
        assert column.status == "stable"
        assert column.p_value == pytest.approx(1.0)


def test_more_levels_than_are_kept_neither_cry_wolf_nor_hide_a_change_of_all() -> None:
    names = np.array([f"zip {place}" for place in range(1000)], dtype=object)
    before = Reference.fit({"zip": RNG.choice(names, 10_000)})
    assert before.compare({"zip": RNG.choice(names, 10_000)}).columns["zip"].p_value > 1e-4
    renamed = before.compare({"zip": RNG.choice(names + " ", 10_000)}).columns["zip"]
    assert renamed.status == "drifted"


def test_a_cell_that_nobody_expected_is_found_even_against_many_rows() -> None:
    before = Reference.fit({"k": RNG.choice(np.array(["a", "b"], dtype=object), 100_000)})
    after = np.repeat(np.array(["a", "b", "new"], dtype=object), [45, 45, 10])
    column = before.compare({"k": after}).columns["k"]
    assert column.status == "drifted"
    assert column.adjusted_p < 1e-9


# Another reference.


def test_a_reference_of_the_same_ranges_is_compared_exactly(reference: Reference) -> None:
    again = Reference.fit(frame(20_000))
    same = Reference(reference.layout, reference.profile(frame(5000, 0.3)).counts, 5000)
    report = reference.compare_reference(same)
    assert report.profile.schema_changes == []
    assert report.columns["x"].effect == pytest.approx(0.3, abs=0.06)
    other = reference.compare_reference(again)
    assert other.profile.schema_changes == [
        f"approximate column {name}: its ranges differ" for name in "xy"
    ]
    assert not other.drifted
    assert (
        other.columns["k"].p_value
        == reference.compare(again_in(reference, again)).columns["k"].p_value
    )


def again_in(reference: Reference, other: Reference) -> Profile:
    profile = reference.profile()
    profile._counts[reference.layout.parts["k"]] = other.counts[other.layout.parts["k"]]
    profile._rows = other.rows
    return profile


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5, 1.0])
def test_what_a_retrain_moved_is_about_what_its_rows_say(shift: float) -> None:
    rng = np.random.default_rng(5)
    rows = [
        {
            "x": rng.standard_normal(50_000) + d,
            "y": np.exp(rng.standard_normal(50_000) + d),
            "i": rng.poisson(5.0 + d, 50_000),
        }
        for d in (0.0, shift)
    ]
    older, newer = map(Reference.fit, rows)
    report, exact = older.compare_reference(newer), older.compare(rows[1])
    assert older.compare_reference(older).profile.schema_changes == []
    for name, column in report.columns.items():
        assert column.effect == pytest.approx(exact.columns[name].effect, abs=0.05)
        assert column.current_counts.sum() == 50_000
        assert (column.current_counts >= 0).all()


def test_levels_of_two_references_are_compared_where_both_know_them() -> None:
    def fit(names: str, levels: int = 100) -> Reference:
        return Reference.fit(
            {"k": np.repeat(np.array(list(names), dtype=object), 1000)}, levels=levels
        )

    assert not fit("abc").compare_reference(fit("abc")).drifted
    appeared = fit("abc").compare_reference(fit("abcd")).columns["k"]
    assert appeared.status == "drifted"
    assert appeared.current_counts.tolist() == [1000, 1000, 1000, 1000, 0]
    gone = fit("abcd").compare_reference(fit("abc")).columns["k"]
    assert gone.current_counts.tolist() == [1000, 1000, 1000, 0, 0, 0]
    # of two levels kept, one is common; what the other is in the newer reference, nobody knows
    some = fit("aabbc", levels=2).compare_reference(fit("aabcc", levels=2)).columns["k"]
    assert some.reference_counts.tolist() == [2000, 3000, 0]
    assert some.current_counts.tolist() == [2000, 3000, 0]


def test_columns_that_came_went_or_changed_their_kind_are_named() -> None:
    text = np.array(["a", "b"] * 500, dtype=object)
    when = np.datetime64("2026-01-01") + np.arange(1000).astype("timedelta64[m]")
    older = Reference.fit(
        {"gone": np.arange(1000.0), "kind": np.arange(1000.0), "secret": text, "when": when},
        private=["secret"],
    )
    newer = Reference.fit(
        {"kind": text, "secret": text, "new": text, "when": when}, private=["secret"]
    )
    report = older.compare_reference(newer)
    assert report.profile.schema_changes == [
        "absent column gone",
        "other levels or kind in column kind",
        "other levels or kind in column secret",
        "unknown column new",
    ]
    assert set(report.drifted) == {"gone", "kind", "secret"}
    assert older.compare_reference(older).drifted == []


# Arguments.


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": math.inf}, "tolerance"),
        ({"tolerance": "much"}, "tolerance"),
        ({"tolerance": ks(0.1)}, "tolerance"),
        ({"breach": 0.0}, "breach"),
        ({"breach": math.nan}, "breach"),
        ({"breach": 0.05}, "breach"),
        ({"breach": psi(0.3)}, "breach"),
        ({"tolerance": psi(0.1), "breach": js(0.3)}, "breach"),
        ({"tolerance": psi(0.5), "breach": 0.3}, "breach"),
        ({"rule": "hunch"}, "rule"),
        ({"rule": "proven", "tolerance": psi(0.1)}, "rule"),
        ({"correction": "none"}, "correction"),
        ({"weights": {"z": 1.0}}, "weights"),
        ({"weights": {"x": 0.0}}, "weights"),
        ({"weights": {"x": math.inf}}, "weights"),
        ({"weights": {"x": 1.0}, "correction": "bh"}, "weights"),
    ],
)
def test_a_bad_argument_is_named(reference: Reference, how: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{named}"):
        reference.compare(frame(10), **how)


@pytest.mark.parametrize("make", [psi, ks, js])
@pytest.mark.parametrize("limit", [0.0, -0.1, math.nan, math.inf, "0.1 or so"])
def test_a_bad_limit_is_named(make: Any, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^limit"):
        make(limit)


def test_bad_arguments_of_required_rows_are_named(reference: Reference) -> None:
    with pytest.raises(ConfigurationError, match=r"^alpha"):
        reference.required_n(alpha=2.0)
    with pytest.raises(ConfigurationError, match=r"^tolerance"):
        reference.required_n(tolerance=0.0)


def test_a_profile_of_another_reference_is_refused_naming_both(reference: Reference) -> None:
    other = Reference.fit(frame(50))
    with pytest.raises(ConfigurationError, match=rf"{other.digest}.*{reference.digest}"):
        reference.compare(other.profile(frame(5)))
