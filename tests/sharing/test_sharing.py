"""Publishing, gathering and checking out: every kind of meter, every way it can go wrong."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    ConfigurationError,
    ErrorBudget,
    GuardUnknown,
    Histogram,
    Keyed,
    LatencyBudget,
    MemoryStore,
    Severity,
    SqliteStore,
    StateConflict,
    StreamLatency,
    checkout,
    gather,
    publish,
)
from mlguard.drift import Profile, Reference
from mlguard.testing import ManualClock

HOUR, DAY = 3_600.0, 86_400.0
START = 1_700_000_000.0


def budget(clock: ManualClock, *, good: int = 0, bad: int = 0, **options: Any) -> ErrorBudget:
    errors = ErrorBudget(0.999, clock=clock, **options)
    errors.observe_counts(good=good, bad=bad)
    return errors


def good(store: Any, key: str = "k", **options: Any) -> int:
    found: int = gather(store, key, **options).totals["good"]
    return found


# Every kind of meter.


def latency(clock: ManualClock) -> LatencyBudget:
    found = LatencyBudget({0.5: 0.01, 0.99: 0.05}, clock=clock)
    found.observe_many([0.005] * 500 + [0.04] * 5)
    return found


def stream(clock: ManualClock) -> StreamLatency:
    found = StreamLatency(first={0.9: 1.0}, gap={0.9: 0.1}, clock=clock)
    with found.start(intended_start=START - 0.5) as one:
        one.item()
        one.item()
    return found


def keyed(clock: ManualClock) -> Keyed[ErrorBudget]:
    found = Keyed(lambda: ErrorBudget(0.999, clock=clock), by="tenant")
    found["acme"].observe_counts(good=90, bad=10)
    found["größer/Ltd"].observe_counts(good=5)
    return found


def streams(clock: ManualClock) -> Keyed[StreamLatency]:
    found = Keyed(lambda: StreamLatency(total={0.9: 1.0}, clock=clock), by="model")
    found["v1"]["total"].observe(0.5)
    return found


def histogram(_: ManualClock) -> Histogram:
    found = Histogram()
    found.add_many([1.0, 2.0, 3.0])
    return found


REFERENCE = Reference.fit({"x": [float(value % 10) for value in range(100)]})


def profile(_: ManualClock) -> Profile:
    found = REFERENCE.profile()
    found.observe({"x": 3.0})
    return found


KINDS: dict[str, Any] = {
    "errors": lambda clock: budget(clock, good=99, bad=1),
    "latency": latency,
    "stream": stream,
    "keyed": keyed,
    "streams": streams,
    "histogram": histogram,
    "profile": profile,
}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@each_kind
def test_what_is_gathered_is_the_sum(make: Any) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    parts = [make(clock) for _ in range(3)]
    for number, part in enumerate(parts):
        publish(part, store, "k", source=f"pod-{number}", clock=clock)
        publish(part, store, "k", source=f"pod-{number}", clock=clock)
    found = gather(store, "k", clock=clock)
    assert type(found) is type(parts[0])
    assert found.to_json() == (parts[0] + parts[1] + parts[2]).to_json()
    if callable(found):
        whole = parts[0] + parts[1] + parts[2]
        assert found() == whole()
        assert found.sources.live == ("pod-0", "pod-1", "pod-2")


@each_kind
def test_a_restarted_source_adds_to_what_it_published(make: Any) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    runs = [make(clock) for _ in range(4)]
    for run in runs:
        publish(run, store, "k", source="pod", clock=clock)
    found = gather(store, "k", clock=clock)
    assert found.to_json() == (runs[0] + runs[1] + runs[2] + runs[3]).to_json()
    for run in runs[:3]:
        with pytest.raises(StateConflict, match="two live processes publish as source 'pod'"):
            publish(run, store, "k", source="pod", clock=clock)
    assert gather(store, "k", clock=clock).to_json() == found.to_json()
    publish(runs[3], store, "k", source="pod", clock=clock)


@each_kind
def test_a_job_goes_on_from_what_the_last_one_saved(make: Any) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    for _ in range(3):
        with checkout(store, "k", lambda: make(clock)):
            pass
    whole = make(clock) + make(clock) + make(clock)
    data, _ = store.load("k") or (b"", 0)
    assert json.loads(data) == json.loads(whole.to_json())


@each_kind
@pytest.mark.parametrize("other", KINDS)
def test_meters_of_two_kinds_do_not_mix(make: Any, other: str) -> None:
    clock, another = ManualClock(START), KINDS[other]
    if make is another:
        return
    store = MemoryStore()
    publish(make(clock), store, "k", source="a", clock=clock)
    with pytest.raises(ConfigurationError, match="'k/a' in the store: "):
        publish(another(clock), store, "k", source="a", clock=clock)
    assert gather(store, "k", clock=clock).to_json() == make(clock).to_json()
    publish(another(clock), store, "k", source="b", clock=clock)
    with pytest.raises(ConfigurationError, match="'k/b' in the store: "):
        gather(store, "k", clock=clock)
    store.save("job", make(clock).to_json().encode())
    with (
        pytest.raises(ConfigurationError, match="'job' in the store: "),
        checkout(store, "job", lambda: another(clock)),
    ):
        pytest.fail("the block must not run")


def test_different_settings_are_named() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    publish(budget(clock), store, "k", source="a")
    with pytest.raises(ConfigurationError, match=r"'k/a' in the store: .* different slo do not"):
        publish(ErrorBudget(0.99), store, "k", source="a")
    publish(ErrorBudget(0.99), store, "k", source="b")
    with pytest.raises(
        ConfigurationError, match=r"'k/b' in the store: budgets of different slo .*0.999.*0.99"
    ):
        gather(store, "k")


# Sources.


def test_nobody_published() -> None:
    with pytest.raises(GuardUnknown, match="0 of at least 3 sources live, 3 never heard of"):
        gather(MemoryStore(), "k", min_sources=3)


def test_too_few_sources_are_unknown_and_named() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    for source in ("a", "b"):
        publish(budget(clock, bad=100), store, "k", source=source, clock=clock)
    clock.advance(120.0)
    publish(budget(clock, bad=100), store, "k", source="c", clock=clock)
    enough = gather(store, "k", live=60.0, clock=clock)
    assert enough().severity is Severity.BREACH
    assert enough.sources.live == ("c",)
    assert dict(enough.sources.silent) == {"a": 120.0, "b": 120.0}
    few = gather(store, "k", live=timedelta(minutes=1), min_sources=4, clock=clock)
    verdict = few()
    assert (verdict.severity, verdict.low) == (Severity.UNKNOWN, Severity.OK)
    assert verdict.reason == (
        "1 of at least 4 sources live, a silent for 2 min, b silent for 2 min, 1 never heard of"
    )
    assert few.totals["bad"] == 300
    assert pickle.loads(pickle.dumps(few))() == verdict  # noqa: S301 -- our own
    assert gather(store, "k", min_sources=3, clock=clock)().severity is Severity.BREACH


@each_kind
def test_too_few_sources_of_any_kind(make: Any) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    publish(make(clock), store, "k", source="a", clock=clock)
    if callable(make(clock)):
        assert gather(store, "k", min_sources=2, clock=clock)().severity is Severity.UNKNOWN
    else:
        with pytest.raises(GuardUnknown, match="1 of at least 2 sources live"):
            gather(store, "k", min_sources=2, clock=clock)


def test_a_silent_source_leaves_the_windows_and_stays_in_totals_and_period() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    errors, slow = budget(clock, good=500, bad=500, min_coverage=0.0), latency(clock)
    clock.advance(10.0)
    publish(errors, store, "errors", source="dead", clock=clock)
    publish(slow, store, "latency", source="dead", clock=clock)
    clock.advance(30.0)
    publish(
        budget(clock, good=1000, min_coverage=0.0), store, "errors", source="alive", clock=clock
    )
    publish(LatencyBudget(slow.limits, clock=clock), store, "latency", source="alive", clock=clock)
    everyone = gather(store, "errors", clock=clock)
    assert everyone.burn_rate(HOUR) == pytest.approx(250.0)
    living = gather(store, "errors", live=20.0, clock=clock)
    assert living.burn_rate(HOUR) == 0.0
    assert living.totals == everyone.totals == {"good": 1500, "bad": 500, "invalid": 0}
    assert living.remaining == everyone.remaining == pytest.approx(-249.0)
    assert gather(store, "latency", clock=clock).over(0.05).n == 505
    assert gather(store, "latency", live=20.0, clock=clock).over(0.05).n == 0
    assert gather(store, "latency", live=20.0, clock=clock).totals["requests"] == 505


def test_all_are_silent() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    publish(budget(clock, good=50), store, "k", source="a", clock=clock)
    clock.advance(HOUR)
    found = gather(store, "k", live=60.0, clock=clock)
    assert found().severity is Severity.UNKNOWN
    assert found().reason == "0 of at least 1 sources live, a silent for 1 h"
    assert found.totals["good"] == 50


@pytest.mark.parametrize(
    "source",
    ["a/b", "a%2Fb", "pod 1", " x ", "größer", "日本", "\U0001f600", "..", "/", "a\nb", "\ud800", "%", "x" * 500],
)  # fmt: skip
def test_a_source_may_have_any_name(source: str, tmp_path: Path) -> None:
    clock = ManualClock(START)
    for store in (MemoryStore(), SqliteStore(tmp_path / "guard.db")):
        publish(budget(clock, good=1), store, "k", source="other", clock=clock)
        publish(budget(clock, good=2), store, "k", source=source, clock=clock)
        publish(budget(clock, good=4), store, "k", source=source, clock=clock)
        found = gather(store, "k", clock=clock)
        assert set(found.sources.live) == {"other", source}
        assert found.totals["good"] == 7
        assert len(store.keys()) == 2


@pytest.mark.parametrize("source", ["", "  ", None, 3])
def test_a_source_has_a_name(source: Any) -> None:
    with pytest.raises(ConfigurationError, match="source = "):
        publish(ErrorBudget(0.999), MemoryStore(), "k", source=source)


@pytest.mark.parametrize("key", ["", " ", None])
def test_a_key_has_a_name(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="key = "):
        publish(ErrorBudget(0.999), MemoryStore(), key, source="a")
    with pytest.raises(ConfigurationError, match="key = "):
        gather(MemoryStore(), key)
    with (
        pytest.raises(ConfigurationError, match="key = "),
        checkout(MemoryStore(), key, lambda: ErrorBudget(0.999)),
    ):
        pytest.fail("the block must not run")


def test_keys_that_begin_alike_are_kept_apart() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    keys = ["a", "a/b", "a/b/c", "ab", "a%2Fb", "a ", "A", "a/", "a_"]
    for number, key in enumerate(keys):
        publish(budget(clock, good=2**number), store, key, source="b/c", clock=clock)
        publish(budget(clock, bad=1), store, key, source="c", clock=clock)
    for number, key in enumerate(keys):
        found = gather(store, key, clock=clock)
        assert found.totals == {"good": 2**number, "bad": 1, "invalid": 0}
        assert found.sources.live == ("b/c", "c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"live": 0}, "live = 0: must be a positive duration"),
        ({"live": "1 min"}, "live = '1 min'"),
        ({"min_sources": 0}, "min_sources = 0: must be a whole number of at least 1"),
        ({"min_sources": 1.5}, "min_sources = 1.5"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gather(MemoryStore(), "k", **options)


# Clocks that disagree.


@pytest.mark.parametrize("skew", [1.0, 300.0, HOUR, DAY, 40 * DAY])
def test_a_host_ahead_does_not_wipe_out_the_others(skew: float) -> None:
    store, clock, ahead = MemoryStore(), ManualClock(START), ManualClock(START + skew)
    one = budget(clock, good=60, bad=40, min_coverage=0.0)
    two = budget(ahead, good=100, min_coverage=0.0)
    for now in (clock, ahead):
        now.advance(120.0)
    publish(one, store, "k", source="here", clock=clock)
    publish(two, store, "k", source="ahead", clock=ahead)
    found = gather(store, "k", live=300.0, clock=clock)
    assert found.burn_rate(HOUR) == pytest.approx(200.0)
    assert found.burn_rate(300.0) == pytest.approx(200.0)
    assert found.remaining == pytest.approx(-199.0)
    assert found.sources.live == ("ahead", "here")
    verdict = found()
    assert verdict.severity is Severity.BREACH
    assert verdict.at is not None
    assert verdict.at <= clock()


def test_a_host_behind_is_out_of_the_windows_and_in_the_totals() -> None:
    store, clock, behind = MemoryStore(), ManualClock(START), ManualClock(START - DAY)
    publish(budget(clock, good=100), store, "k", source="here", clock=clock)
    publish(budget(behind, bad=100), store, "k", source="behind", clock=behind)
    found = gather(store, "k", live=300.0, clock=clock)
    assert found.burn_rate(HOUR) == 0.0
    assert found.totals == {"good": 100, "bad": 100, "invalid": 0}
    assert dict(found.sources.silent) == {"behind": DAY}


@pytest.mark.parametrize("skew", [-31 * DAY, -600.0, 600.0, 31 * DAY])
def test_a_restart_on_a_host_with_a_wrong_clock_loses_nothing(skew: float) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    publish(budget(clock, good=990, bad=10, min_coverage=0.0), store, "k", source="a", clock=clock)
    before = gather(store, "k", clock=clock)
    wrong = ManualClock(START + skew)
    publish(budget(wrong, min_coverage=0.0), store, "k", source="a", clock=wrong)
    after = gather(store, "k", clock=clock)
    assert after.remaining == before.remaining
    assert after.burn_rate(300.0) == before.burn_rate(300.0)


def test_a_source_whose_meter_has_a_clock_behind_looks_silent() -> None:
    """The wall clock of a host that slept is right again, the clock of its meter is not."""
    store, clock, slept = MemoryStore(), ManualClock(START), ManualClock(START - 3600.0)
    publish(budget(slept, good=100), store, "k", source="slept", clock=clock)
    found = gather(store, "k", live=300.0, clock=clock)
    assert dict(found.sources.silent) == {"slept": 3600.0}
    assert found().severity is Severity.UNKNOWN


# Restarts and twins.


def test_two_live_processes_of_one_name_are_told() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    one, two = budget(clock, good=1), budget(clock, good=2)
    publish(one, store, "k", source="pod", clock=clock)
    publish(two, store, "k", source="pod", clock=clock)  # perhaps a restart
    with pytest.raises(StateConflict, match="two live processes publish as source 'pod': give"):
        publish(one, store, "k", source="pod", clock=clock)
    publish(two, store, "k", source="pod", clock=clock)
    assert good(store, clock=clock) == 3
    publish(one, store, "k", source="pod-2", clock=clock)  # under a name of its own, from now on
    publish(one, store, "other", source="pod", clock=clock)
    assert good(store, "other", clock=clock) == 1


def test_only_the_last_hundred_runs_are_remembered() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    for _ in range(150):
        publish(budget(clock, good=1), store, "k", source="pod", clock=clock)
    assert good(store, clock=clock) == 150
    data, _ = store.load("k/pod") or (b"", 0)
    assert len(json.loads(data)["ended"]) == 100
    assert len(data) < 20_000


def test_an_object_has_one_name_for_all_threads_and_no_other_gets_it() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    for _ in range(20):
        errors, start = budget(clock, good=1), threading.Barrier(4)

        def work(meter: ErrorBudget = errors, start: threading.Barrier = start) -> None:
            start.wait()
            publish(meter, store, "k", source="pod", clock=clock)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        del errors, work
    assert good(store, clock=clock) == 20


def test_a_publisher_that_loses_a_race_writes_what_it_knows_by_then() -> None:
    clock = ManualClock(START)
    errors = budget(clock, good=1)

    class Contended(MemoryStore):
        raced = 0

        def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
            if Contended.raced < 3:
                Contended.raced += 1
                errors.observe_counts(good=1)
                super().save(key, super().load(key)[0] if super().load(key) else data)  # type: ignore[index]
            return super().save(key, data, if_version=if_version)

    store = Contended()
    publish(errors, store, "k", source="pod", clock=clock)
    assert good(store, clock=clock) == 4


# What is damaged.


def published() -> str:
    store, clock = MemoryStore(), ManualClock(START)
    for _ in range(2):
        publish(budget(clock, good=5, bad=1), store, "k", source="a", clock=clock)
    data, _ = store.load("k/a") or (b"", 0)
    return data.decode()


PUBLISHED = published()
NONSENSE: list[Any] = [None, -1, 0.5, 1e300, "x", "", [], {}, [1], {"kind": "x"}, True, "[" * 5000]


def broken() -> dict[str, bytes]:
    record = json.loads(PUBLISHED)
    found = {"nothing": b"", "binary": b"\xff\xfe\x00", "half": PUBLISHED[:200].encode()}
    found["brackets"] = b"[" * 100_000
    for place, value in enumerate(NONSENSE):
        found[f"the whole is {place}"] = json.dumps(value).encode()
        for field in ("kind", "schema", "at", "own"):
            found[f"{field} is {place}"] = json.dumps(record | {field: value}).encode()
        if value is not None:
            found[f"before is {place}"] = json.dumps(record | {"before": value}).encode()
    for field in record:
        without = {key: value for key, value in record.items() if key != field}
        found[f"no {field}"] = json.dumps(without).encode()
    found["newer"] = json.dumps(record | {"schema": 2}).encode()
    found["own of another kind"] = json.dumps(record | {"own": '{"kind": "profit"}'}).encode()
    found["own of no kind"] = json.dumps(record | {"own": '{"kind": []}'}).encode()
    return {
        name: data
        for name, data in found.items()
        if name not in {"at is 1", "at is 2", "at is 10", "schema is 10"}
    }


BROKEN = broken()


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_damaged_part_is_a_configuration_error_that_names_it(data: bytes) -> None:
    store, clock = MemoryStore(), ManualClock(START)
    publish(budget(clock, good=5), store, "k", source="b", clock=clock)
    store.save("k/a", data)
    with pytest.raises(ConfigurationError, match="'k/a' in the store: "):
        gather(store, "k", clock=clock)
    with pytest.raises(ConfigurationError, match="'k/a' in the store: "):
        publish(budget(clock), store, "k", source="a", clock=clock)
    store.save("job", data)
    with (
        pytest.raises(ConfigurationError, match="'job' in the store: "),
        checkout(store, "job", lambda: budget(clock)),
    ):
        pytest.fail("the block must not run")
    store.delete("k/a")
    assert good(store, clock=clock) == 5


paths = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)


@given(paths, st.sampled_from(NONSENSE), st.booleans())
def test_whatever_is_damaged_nothing_else_is_raised(
    path: list[int],
    value: Any,
    own: bool,  # noqa: FBT001 -- hypothesis gives it by position
) -> None:
    record = json.loads(PUBLISHED)
    meter = json.loads(record["own"])
    place: Any = meter if own else record
    for step in path[:-1]:
        inside = [each for each in (place.values() if isinstance(place, dict) else place)]  # noqa: C416
        inside = [each for each in inside if isinstance(each, dict | list) and each]
        if not inside:
            break
        place = inside[step % len(inside)]
    keys = list(place) if isinstance(place, dict) else range(len(place))
    place[keys[path[-1] % len(keys)]] = value
    if own:
        record["own"] = json.dumps(meter)
    store, clock = MemoryStore(), ManualClock(START)
    store.save("k/a", json.dumps(record).encode())
    try:
        found = gather(store, "k", clock=clock)
    except ConfigurationError:
        return
    found()
    assert found.remaining is None or found.remaining <= 1.0
    assert found.to_json()


# Checking out.


def test_a_lost_race_is_told_and_loses_nothing() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    make = lambda: budget(clock)  # noqa: E731 -- as users write it
    for first in (True, False):
        with (  # noqa: PT012 -- it is the end of the block that raises
            pytest.raises(StateConflict, match="load it and try again"),
            checkout(store, "k", make) as mine,
        ):
            mine.observe_counts(bad=1)
            with checkout(store, "k", make) as theirs:
                theirs.observe_counts(good=1)
        with checkout(store, "k", make) as again:
            assert again.totals == {"good": 1 if first else 2, "bad": 0, "invalid": 0}


def test_an_exception_saves_nothing() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    with checkout(store, "k", lambda: budget(clock)) as errors:
        errors.observe(good=True)
    before = store.load("k")
    for error in (RuntimeError("crash"), KeyboardInterrupt(), GeneratorExit()):
        with (  # noqa: PT012 -- it is the block that raises
            pytest.raises(type(error)),
            checkout(store, "k", lambda: budget(clock)) as errors,
        ):
            errors.observe(good=False)
            raise error
    assert store.load("k") == before


def test_the_maker_decides_on_clock_and_name() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    with checkout(store, "k", lambda: budget(clock, name="nightly")) as errors:
        errors.observe_counts(good=1)
    later = ManualClock(START + 60.0)
    with checkout(store, "k", lambda: budget(later, name="nightly")) as errors:
        assert errors.clock is later
        assert errors.name == "nightly"
        assert errors.burn_rate(HOUR) == 0.0


def test_a_family_goes_on_making_meters_after_it_was_checked_out() -> None:
    store, clock = MemoryStore(), ManualClock(START)
    for key in ("acme", "umbrella"):
        with checkout(store, "k", lambda: Keyed(lambda: budget(clock))) as tenants:
            tenants[key].observe(good=True)
    with checkout(store, "k", lambda: Keyed(lambda: budget(clock))) as tenants:
        assert list(tenants) == ["acme", "umbrella"]
        assert all(each.clock is clock for _, each in tenants.items())


JOB = """
import sys
from mlguard import ErrorBudget, SqliteStore, StateConflict, checkout
store, done, conflicts = SqliteStore(sys.argv[1]), 0, 0
while done < int(sys.argv[2]):
    try:
        with checkout(store, "job", lambda: ErrorBudget(0.999)) as errors:
            errors.observe_counts(good=3, bad=1)
    except StateConflict:
        conflicts += 1
        continue
    done += 1
print(conflicts)
"""


def test_processes_that_try_again_lose_nothing(tmp_path: Path) -> None:
    path, processes, times = tmp_path / "guard.db", 8, 25
    arguments = [sys.executable, "-c", JOB, str(path), str(times)]
    jobs = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    conflicts = [int(job.communicate(timeout=120)[0]) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * processes
    with checkout(SqliteStore(path), "job", lambda: ErrorBudget(0.999)) as errors:
        found = errors.totals
    assert found == {"good": 3 * processes * times, "bad": processes * times, "invalid": 0}, (
        conflicts
    )
