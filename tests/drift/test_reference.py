"""A reference is refused where it would count wrongly, and reads back only as it was written."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import numpy as np
import pytest

from mlguard import ConfigurationError, Profile, Reference

RNG = np.random.default_rng(31)
FRAME = {"x": RNG.normal(size=500), "k": RNG.choice(["a", "b"], 500)}


def test_a_report_of_a_live_profile_does_not_change_with_it() -> None:
    profile = Reference.fit(FRAME).profile(FRAME)
    report = Reference.fit(FRAME).compare(profile)
    before = report.to_dict()
    profile.take()
    assert report.to_dict() == before
    assert report.profile.rows == 500


def test_a_comparison_of_a_profile_that_others_feed_is_of_one_moment() -> None:
    reference = Reference.fit(FRAME)
    profile = reference.profile()
    done = threading.Event()
    chunk = {name: values[:7] for name, values in FRAME.items()}

    def feed() -> None:
        while not done.is_set():
            profile.observe_many(chunk)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    feeders = [threading.Thread(target=feed) for _ in range(3)]
    try:
        for feeder in feeders:
            feeder.start()
        for _ in range(30):
            report = reference.compare(profile)
            assert {int(c.current_counts.sum()) for c in report.columns.values()} == {
                report.profile.rows
            }
    finally:
        done.set()
        for feeder in feeders:
            feeder.join()
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("frame", "how", "message"),
    [
        ({"t": np.array(["2020-01-01", "2020-02-01"], "M8[s]"), "t.hour": [1.0, 2.0]}, {}, r"frame = 't\.hour'"),
        (FRAME, {"columns": ["x", "x"]}, r"columns = \['x', 'x'\]"),
        (FRAME, {"private": ["x"]}, r"private: x = 'number'"),
        (FRAME, {"private": "k"}, r"private = 'k'"),
        (FRAME, {"leave_out": "k"}, r"leave_out = 'k'"),
        (FRAME, {"bins": 5_000}, r"bins = 5000"),
        (FRAME, {"bins": 1}, r"bins = 1"),
    ],
)  # fmt: skip
def test_what_would_count_wrongly_is_refused(
    frame: dict[str, Any], how: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Reference.fit(frame, **how)


def test_a_reference_cannot_be_changed_and_equals_what_it_was_read_from() -> None:
    reference = Reference.fit(FRAME)
    twin = Reference.from_json(reference.to_json())
    assert (twin, hash(twin)) == (reference, hash(reference))
    assert len(repr(reference)) < 80
    assert len(repr(reference.profile())) < 80
    with pytest.raises(ValueError, match="read-only"):
        reference.counts[:] = 0


def broken(**change: Any) -> str:
    record = json.loads(Reference.fit(FRAME).to_json())
    for path, value in change.items():
        place, *rest = path.split("__")
        if rest:
            record[place]["x"][rest[0]] = value
        else:
            record[place] = value
    return json.dumps(record)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "3",
        broken(kind="profile"), broken(schema=2), broken(columns={}), broken(columns=3),
        broken(rows=-1), broken(rows=1.5), broken(rows="x"), broken(rows=499),
        broken(columns__counts=[500]), broken(columns__counts="abc"), broken(columns__source=3),
        broken(columns__edges=["a"]),
    ],
)  # fmt: skip
def test_a_text_that_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Reference.from_json(text)


def test_profiles_whose_columns_were_swapped_do_not_compare_or_add() -> None:
    reference = Reference.fit(FRAME)
    record = json.loads(reference.profile(FRAME).to_json())
    record["columns"].reverse()
    swapped = Profile.from_json(json.dumps(record))
    with pytest.raises(ConfigurationError, match=reference.digest):
        reference.compare(swapped)
    with pytest.raises(ConfigurationError, match=reference.digest):
        reference.profile() + swapped
