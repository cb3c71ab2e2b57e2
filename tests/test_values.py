"""The frozen values: what they take, what they refuse, and that JSON gives them back."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    Action,
    ConfigurationError,
    Decision,
    GuardBreached,
    GuardUnknown,
    Measurement,
    Severity,
    Verdict,
    Waiver,
)

if TYPE_CHECKING:
    from mlguard.records import Record

FIXTURES = Path(__file__).parent / "fixtures"
OK, UNKNOWN, WARN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.WARN, Severity.BREACH

# The whole scale: the two ends of a verdict, and the severity they give.
ENDS = {
    (OK, OK): OK,
    (OK, WARN): UNKNOWN,
    (OK, BREACH): UNKNOWN,
    (WARN, WARN): WARN,
    (WARN, BREACH): WARN,
    (BREACH, BREACH): BREACH,
}

P99 = Measurement(
    "p99",
    0.061,
    unit="s",
    n=4210,
    low=0.055,
    high=0.07,
    confidence=0.95,
    p_value=0.003,
    at=1_700_000_000.5,
    details={"covers": {"asked": 300, "seen": 250.5}, "hosts": ["a", "b"], "cold": True, "x": None},
)
WAIVER = Waiver("ada", "upstream fix – under way", until=1_700_000_000)
LATE = Verdict("p99", BREACH, "p99 = 61 ms: above 50 ms", evidence=[P99], at=P99.at)
RELEASE = Verdict(
    "release",
    WARN,
    "1 WARN (drift), 1 OK (p99)",
    evidence=[Measurement("drift", math.nan), Measurement("worst", math.inf, low=-math.inf)],
    causes=[Verdict("p99", OK, f"waived by {WAIVER}", causes=[LATE, WAIVER], at=P99.at)],
    at=P99.at,
    subject={"model": "eta", "version": 7},
    low=WARN,
    high=BREACH,
)
ROLLBACK = Decision(
    Action.ROLLBACK,
    "errors: 5 % against 1 %",
    subject={"service": "eta"},
    at=1_700_000_060,
    key="0c1d",
    verdicts=(LATE,),
    because=({"arm": "canary", "shares": [0.01, 0.05]}, {}),
    policy_digest="aa",
    state_digest="bb",
    version="0.1.0",
)
VALUES: list[Record] = [P99, RELEASE, ROLLBACK, WAIVER]
each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)

# ---------------------------------------------------------------- JSON


def through_json(value: Record) -> Record:
    return type(value).from_dict(json.loads(json.dumps(value.to_dict(), allow_nan=False)))


@each_value
def test_a_record_of_schema_1_reads_for_ever(value: Record) -> None:
    fixture = FIXTURES / "schema-1" / f"{type(value).__name__.lower()}.json"
    read = type(value).from_dict(json.loads(fixture.read_text("utf-8")))
    assert read == value
    assert repr(read) == repr(value)


@each_value
def test_what_is_written_today_is_the_newest_fixture(value: Record) -> None:
    fixture = FIXTURES / f"schema-{value.schema}" / f"{type(value).__name__.lower()}.json"
    assert json.loads(json.dumps(value.to_dict())) == json.loads(fixture.read_text("utf-8"))


words = st.text(max_size=8)
names = st.text(min_size=1, max_size=8).filter(str.strip)
numbers = st.floats() | st.integers(-(2**60), 2**60)
numpy_scalars = st.sampled_from(
    [np.float64(0.5), np.float32(0.1), np.float64("nan"), np.float32("-inf"), np.int64(-3), np.bool_(1), np.str_("é")]
)  # fmt: skip
plain_json = st.recursive(
    st.none() | st.booleans() | numbers | words | numpy_scalars | st.just(np.array([1.5, np.nan])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
details = st.dictionaries(words, plain_json, max_size=3)
moments = st.none() | st.floats(-1e10, 1e11)
shares = st.none() | st.floats(0, 1)
subjects = st.dictionaries(names, words | st.integers(), max_size=2)
intervals = st.tuples(st.none() | numbers, st.none() | numbers).map(
    lambda ends: tuple(sorted(ends)) if None not in ends else ends  # type: ignore[type-var] # no None here
)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    low, high = draw(intervals)
    value: Any = draw(numbers | st.none() | st.just(np.float32(0.1)))
    n: Any = draw(st.none() | st.integers(0, 2**70) | st.just(np.int64(2**53 + 1)))
    return Measurement(
        draw(names), value, unit=draw(words), n=n, low=low, high=high,
        confidence=draw(shares), p_value=draw(shares), at=draw(moments), details=draw(details),
    )  # fmt: skip


def as_plain(value: object) -> Any:
    return Measurement("a", 1.0, details={"x": value}).to_dict()["details"]["x"]


waivers = st.builds(Waiver, names, names, st.floats(-1e10, 1e11))


def judged(causes: st.SearchStrategy[Verdict | Waiver]) -> st.SearchStrategy[Verdict]:
    def judge(ends: tuple[Severity, Severity], **rest: Any) -> Verdict:
        return Verdict(severity=ENDS[ends], low=ends[0], high=ends[1], **rest)

    return st.builds(
        judge, st.sampled_from(list(ENDS)), name=names, reason=words, at=moments, subject=subjects,
        evidence=st.lists(measurements(), max_size=1), causes=st.lists(causes, max_size=2),
    )  # fmt: skip


verdicts = st.recursive(judged(waivers), judged, max_leaves=3)
decisions = st.builds(
    Decision, st.sampled_from(Action) | names, words, subject=subjects, at=moments, key=words,
    verdicts=st.lists(verdicts, max_size=1), because=st.lists(details, max_size=2),
)  # fmt: skip


@given(value=measurements() | waivers | verdicts | decisions)
def test_every_value_comes_back_from_json_and_pickle_with_its_hash(value: Record) -> None:
    for back in (through_json(value), pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):  # noqa: S301 -- our own
        assert back == value
        assert hash(back) == hash(value)
        assert repr(back) == repr(value)


@each_value
def test_copies_are_equal_and_another_field_makes_another_value(value: Record) -> None:
    first = fields(cast("Any", value))[0].name
    assert copy.copy(value) == replace(cast("Any", value)) == value
    assert len({value, copy.copy(value), through_json(value)}) == 1
    assert replace(cast("Any", value), **{first: "another"}) != value
    assert value != value.to_dict()


def test_values_of_two_kinds_are_never_equal() -> None:
    assert len(set(VALUES)) == len(VALUES)
    assert Verdict("a", OK, "b") != Waiver("a", "b", until=0)


@each_value
def test_values_are_frozen_and_slotted(value: Record) -> None:
    assert not hasattr(value, "__dict__")
    for name in [each.name for each in fields(cast("Any", value))]:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    for mapping in ("details", "subject"):
        if hasattr(value, mapping):
            with pytest.raises(TypeError, match="does not support item assignment"):
                getattr(value, mapping)["new"] = "label"


@each_value
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"schema = 2: must be 1: a newer mlguard wrote this"),
        ({"schema": 0}, r"schema = 0: must be 1$"),
        ({"schema": None}, r"schema = None: must be 1$"),
        ({"kind": "cheese"}, r"must be a mapping of kind"),
        ({"colour": 1, "smell": 2}, r"record = \['colour', 'smell'\]: must be the fields of a"),
    ],
)
def test_a_strange_record_is_refused(value: Record, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        type(value).from_dict({**value.to_dict(), **change})


@each_value
def test_a_missing_field_is_named(value: Record) -> None:
    record = value.to_dict()
    first = next(name for name in record if name not in {"kind", "schema"})
    del record[first]
    with pytest.raises(ConfigurationError, match=first):
        type(value).from_dict(record)


@pytest.mark.parametrize("kind", [Measurement, Verdict, Decision, Waiver])
@pytest.mark.parametrize("record", [None, 1, "text", [], {}, {1: 2, "schema": 1, "a": 3}])
def test_what_is_no_record_is_refused(kind: type[Record], record: Any) -> None:
    with pytest.raises(ConfigurationError):
        kind.from_dict(record)


@pytest.mark.parametrize("inner", [None, 1, "text", {"a": 1}, [1], [None], ["text"], [[]], [{}]])
@pytest.mark.parametrize(
    ("value", "field"), [(RELEASE, "evidence"), (RELEASE, "causes"), (ROLLBACK, "verdicts")]
)
def test_what_is_no_list_of_records_is_refused(value: Record, field: str, inner: Any) -> None:
    with pytest.raises(ConfigurationError):
        type(value).from_dict({**value.to_dict(), field: inner})


@given(garbage=plain_json.map(as_plain), at=st.sampled_from(sorted(RELEASE.to_dict())))
def test_garbage_in_a_field_is_read_or_refused_and_nothing_else(garbage: Any, at: str) -> None:
    record = {**RELEASE.to_dict(), at: garbage}
    try:
        verdict = Verdict.from_dict(record)
    except ConfigurationError:
        return
    assert through_json(verdict) == verdict


def test_a_record_written_before_an_optional_field_came_still_reads() -> None:
    assert Verdict.from_dict({"schema": 1, "name": "a", "severity": "UNKNOWN", "reason": ""}) == (
        Verdict("a", UNKNOWN, "")
    )
    assert Measurement.from_dict({"schema": 1, "name": "a", "value": "inf"}).value == math.inf


def test_numbers_that_json_cannot_write_are_spelled_out() -> None:
    record = Measurement("a", math.nan, low=-math.inf, high=math.inf, details={"x": [math.nan, math.inf]}).to_dict()  # fmt: skip
    assert (record["value"], record["low"], record["high"]) == (None, "-inf", "inf")
    assert record["details"] == {"x": [None, "inf"]}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.str_("é"), "é"),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(1), True),
        (np.array([1, 2]), [1, 2]),
        ((1, (2,)), [1, [2]]),
        (BREACH, "BREACH"),
        (Action.HOLD, "HOLD"),
        (P99, P99.to_dict()),
    ],
)
def test_details_are_kept_as_plain_json(value: object, plain: object) -> None:
    kept = as_plain(value)
    assert kept == plain
    assert type(kept) is type(plain)


# ---------------------------------------------------------------- what they take and refuse


WHOLE: dict[type[Record], dict[str, Any]] = {
    Measurement: {"name": "a", "value": 1.0},
    Waiver: {"who": "ada", "why": "why", "until": 0.0},
    Verdict: {"name": "a", "severity": OK, "reason": "r"},
    Decision: {"action": "a", "reason": "r"},
}


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (Measurement, {"name": ""}, "name"),
        (Measurement, {"name": " \n"}, "name"),
        (Measurement, {"name": 5}, "name"),
        (Measurement, {"value": "1.0"}, "value"),
        (Measurement, {"value": [1.0]}, "value"),
        (Measurement, {"value": 1j}, "value"),
        (Measurement, {"value": 10**400}, "value"),
        (Measurement, {"low": 2.0, "high": 1.0}, "low = 2.0: must be at most high = 1.0"),
        (Measurement, {"n": -1}, "n"),
        (Measurement, {"n": 1.5}, "n"),
        (Measurement, {"n": math.nan}, "n"),
        (Measurement, {"confidence": 95.0}, "confidence = 95.0: must be between 0 and 1"),
        (Measurement, {"p_value": -0.1}, "p_value"),
        (Measurement, {"at": math.nan}, "at"),
        (Measurement, {"at": 1.7e12}, "at"),
        (Measurement, {"at": datetime(2026, 1, 1)}, "at = .*: must be an aware datetime"),  # noqa: DTZ001 -- the point
        (Measurement, {"details": 0}, "details"),
        (Measurement, {"details": [1]}, "details"),
        (Measurement, {"details": {"a": {"b": {1}}}}, r"details\['a'\]\['b'\]"),
        (Measurement, {"details": {"raw": b"rows"}}, r"details\['raw'\]"),
        (Waiver, {"who": ""}, "who"),
        (Waiver, {"why": "\t"}, "why"),
        (Waiver, {"until": "tomorrow"}, "until"),
        (Waiver, {"until": math.inf}, "until"),
        (Waiver, {"until": 1.7e12}, r"until = 1700000000000.0.*milliseconds"),
        (Waiver, {"until": datetime(2026, 1, 1)}, "until"),  # noqa: DTZ001 -- the point
        (Verdict, {"name": ""}, "name"),
        (Verdict, {"severity": "FINE"}, "severity = 'FINE': must be one of OK, UNKNOWN, WARN, BREACH"),
        (Verdict, {"severity": 3}, "severity"),
        (Verdict, {"reason": None}, "reason"),
        (Verdict, {"evidence": P99}, "evidence = .*: must be a sequence of Measurement"),
        (Verdict, {"evidence": [1]}, "evidence"),
        (Verdict, {"causes": [P99]}, "causes = .*: must be Verdict or Waiver"),
        (Verdict, {"subject": "eta"}, "subject"),
        (Verdict, {"subject": {"": "x"}}, "subject"),
        (Verdict, {"subject": {"x": [1]}}, r"subject\['x'\]"),
        (Verdict, {"low": WARN}, "low"),
        (Verdict, {"high": WARN}, "severity"),
        (Verdict, {"severity": WARN, "low": UNKNOWN}, "low"),
        (Verdict, {"severity": UNKNOWN, "low": []}, "low"),
        (Decision, {"action": ""}, "action"),
        (Decision, {"reason": None}, "reason"),
        (Decision, {"key": 1}, "key"),
        (Decision, {"verdicts": [P99]}, "verdicts"),
        (Decision, {"because": 5}, "because"),
        (Decision, {"because": [0]}, "because"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(kind: type[Record], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{message}"):
        kind(**{**WHOLE[kind], **change})


def test_what_could_not_be_measured_is_not_a_number() -> None:
    assert math.isnan(Measurement("a", cast("Any", None)).value)
    bare = Measurement("a", 1.0, low=math.nan, high=math.nan, p_value=math.nan)
    assert (bare.low, bare.high, bare.p_value) == (None, None, None)


def test_a_whole_number_of_any_kind_is_kept_exactly() -> None:
    big = 2**53 + 1
    assert [Measurement("a", 0.0, n=n).n for n in (big, cast("int", np.int64(big)))] == [big, big]


@pytest.mark.parametrize("until", [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), 1_700_000_000])
def test_a_waiver_reads_an_aware_datetime_or_unix_seconds(until: Any) -> None:
    assert Waiver("ada", "why", until) == Waiver("ada", "why", 1_700_000_000.0)


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_every_moment_that_is_accepted_can_be_written(year: int) -> None:
    day = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) if year > 1 else datetime(1, 1, 1, tzinfo=UTC)  # fmt: skip
    assert f"until {year:04}-" in str(Waiver("ada", "why", cast("Any", day)))


def test_an_action_is_one_of_ours_or_a_users_own() -> None:
    assert {Decision(action, "r").action for action in ("hold", "HOLD", Action.HOLD)} == {
        Action.HOLD
    }
    assert Decision("hold", "r").to_dict()["action"] == "HOLD"
    assert Decision("page-the-vendor", "r").action == "page-the-vendor"


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(("ends", "severity"), ENDS.items())
def test_the_ends_give_the_severity(ends: tuple[Severity, Severity], severity: Severity) -> None:
    verdict = Verdict("a", severity, "r", low=ends[0], high=ends[1])
    assert (verdict.low, verdict.high, verdict.ok) == (*ends, severity is OK)
    for other in set(Severity) - {severity}:
        with pytest.raises(ConfigurationError, match=r"^severity"):
            Verdict("a", other, "r", low=ends[0], high=ends[1])


def test_a_severity_alone_gives_the_ends() -> None:
    ends = {
        severity: (v.low, v.high) for severity in Severity for v in [Verdict("a", severity, "")]
    }
    assert ends == {
        OK: (OK, OK),
        UNKNOWN: (OK, BREACH),
        WARN: (WARN, WARN),
        BREACH: (BREACH, BREACH),
    }
    assert sorted(Severity) == [OK, UNKNOWN, WARN, BREACH]


def test_a_verdict_has_no_truth_value_and_says_what_to_ask() -> None:
    with pytest.raises(
        TypeError, match=r"'release' has no truth value.*verdict\.ok.*raise_for_breach"
    ):
        bool(RELEASE)


@pytest.mark.parametrize(
    ("severity", "unknown", "error"),
    [
        (OK, "raise", None),
        (OK, "pass", None),
        (WARN, "raise", None),
        (WARN, "pass", None),
        (UNKNOWN, "raise", GuardUnknown),
        (UNKNOWN, "pass", None),
        (BREACH, "raise", GuardBreached),
        (BREACH, "pass", GuardBreached),
    ],
)
def test_raise_for_breach_stops_on_breach_and_on_unknown(
    severity: Severity, unknown: Any, error: type[GuardBreached] | None
) -> None:
    verdict = Verdict("gate", severity, "no rows", causes=[LATE])
    if error is None:
        assert verdict.raise_for_breach(unknown=unknown) is verdict
        return
    with pytest.raises(error) as caught:
        verdict.raise_for_breach(unknown=unknown)
    assert caught.value.verdict is verdict
    assert str(caught.value) == verdict.explain()
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 -- our own
    assert (type(again), again.verdict, str(again)) == (error, verdict, verdict.explain())


def test_raise_for_breach_raises_on_unknown_unless_told() -> None:
    with pytest.raises(GuardUnknown):
        Verdict("gate", UNKNOWN, "no rows").raise_for_breach()


@pytest.mark.parametrize("unknown", ["ignore", "RAISE", True, None])
@pytest.mark.parametrize("severity", Severity)
def test_raise_for_breach_refuses_another_word_whatever_the_severity(
    unknown: Any, severity: Severity
) -> None:
    with pytest.raises(ConfigurationError, match=r'^unknown = .*must be "raise" or "pass"'):
        Verdict("gate", severity, "r").raise_for_breach(unknown=unknown)


def test_measurements_and_verdicts_already_taken_give_themselves() -> None:
    assert P99() is P99
    assert LATE() is LATE


def test_a_timezone_does_not_matter_to_a_moment() -> None:
    from datetime import timezone

    there = datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))
    assert (
        Measurement("a", 1.0, at=cast("Any", there)).at
        == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    )


def test_a_warning_that_may_be_a_breach_is_in_doubt_and_stops_a_gate() -> None:
    verdict = Verdict("gate", WARN, "r", low=WARN, high=BREACH)
    assert verdict.in_doubt
    with pytest.raises(GuardUnknown):
        verdict.raise_for_breach()
    assert verdict.raise_for_breach(unknown="pass") is verdict


def test_details_cannot_be_changed_however_deep() -> None:
    details = Measurement("m", 1.0, details={"a": {"b": [1, {"c": 2}]}}).details
    with pytest.raises(TypeError):
        details["a"]["b"][1]["c"] = 3
    with pytest.raises(AttributeError):
        details["a"]["b"].append(3)
