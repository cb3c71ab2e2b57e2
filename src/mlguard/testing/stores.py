"""The suite that a store of your own must pass."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from itertools import cycle
from multiprocessing import get_context
from threading import Barrier
from typing import TYPE_CHECKING, Any

from mlguard.arguments import seconds, whole
from mlguard.errors import StateConflict
from mlguard.testing.spend import check_spend, check_spent, keeps_spend, spend_up, sum_up

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from mlguard.protocols import Store

_ODD = (
    *("a", "a/", "a/b", "a/b/c", "A", "ab", "a b", " a", "a\nb", "a\0b", "a\\b", "a'b", 'a"b'),
    *("a%b", "a_b", "a*b", "a?b", "a[b]", "a{b}", "a:b", "é", "e\u0301", "\uffff", "\U0010ffff"),
)
_FAULT = "the store breaks a rule: "
_THREADS = 8
_TIMES = 25
_PATIENCE = 60.0


def check_store(
    make: Callable[[], Store],
    *,
    advance: Callable[[float], object],
    ttl: float = 60.0,
    processes: int = 0,
) -> None:
    """Assert that a store keeps the rules: call it from a test.

    It must save by compare-and-set, never give a version or a token twice, keep any bytes under any
    key, list keys by prefix, lend a name to one holder at a time, end a lease when its time is
    over, and refuse bad input; for eight threads, and for processes of which one is killed. A store
    that has a method `reserve` must keep spend as `mlguard.stores.spend.Spend` says. The suite uses
    names that begin with `check_store` and deletes its keys; of its spend a sum stays.

    Args:
        make: Opens the store; called more than once. With `processes` it must open the same
            data each time and be picklable, such as `partial(SqliteStore, path)`.
        advance: Lets seconds pass for the store: a clock's `advance`, or `time.sleep`.
        ttl: Seconds of the leases; make it short where time can only be slept away, but long
            enough for a few operations.
        processes: How many processes use it at once. They are spawned, so a script of your own
            that calls this needs its `if __name__ == "__main__":`.

    Raises:
        AssertionError: A rule is broken; the message says which.

    Examples:
        >>> from mlguard import MemoryStore
        >>> from mlguard.testing import ManualClock
        >>> clock = ManualClock()
        >>> check_store(lambda: MemoryStore(clock=clock), advance=clock.advance)
    """
    seconds("ttl", ttl)
    whole("processes", processes)
    name = f"check_store {secrets.token_hex(8)}"
    store = make()
    try:
        _check_states(store, f"{name}/state")
        _check_data(store, f"{name}/data")
        _check_keys(store, f"{name}/keys/")
        _check_refusals(store, f"{name}/refused", ttl)
        _check_leases(store, f"{name}/lease", ttl)
        _check_expiry(store, f"{name}/expiry", ttl, advance)
        _check_threads(store, f"{name}/threads", ttl)
        if processes:
            _check_processes(make, f"{name}/processes", processes)
            _check_kill(make, f"{name}/kill", ttl, advance)
        if keeps_spend(store):
            check_spend(store, f"{name}/spend")
    finally:
        for key in store.keys(name):
            store.delete(key)
        if keeps_spend(store):
            sum_up(store, name)


def _check_states(store: Store, key: str) -> None:
    _must(store.load(key) is None, "load() finds a key that was never saved")
    first = store.save(key, b"1", if_version=0)
    _must(store.load(key) == (b"1", first), "load() does not give what save() wrote")
    _must(_conflicts(store, key, 0), "if_version=0 writes over a state that is there")
    second = store.save(key, b"2", if_version=first)
    _must(second != first, "save() gives the version that was there before")
    _must(_conflicts(store, key, first), "if_version writes over another version")
    third = store.save(key, b"3")
    _must(store.load(key) == (b"3", third), "save() without if_version does not write")
    _must(third not in {first, second}, "save() without if_version repeats a version")
    store.delete(key)
    store.delete(key)
    _must(store.load(key) is None, "load() finds a key that was deleted")
    _must(_conflicts(store, key, third), "if_version writes where nothing is")
    fourth = store.save(key, b"4", if_version=0)
    _must(fourth not in {first, second, third}, "a version is given again after delete()")


def _conflicts(store: Store, key: str, version: int) -> bool:
    before = store.load(key)
    try:
        store.save(key, b"lost", if_version=version)
    except StateConflict:
        _must(store.load(key) == before, "a save that lost the race has changed the state")
        return True
    return False


def _check_data(store: Store, key: str) -> None:
    for data in (b"", bytes(range(256)), b"\0", b"long" * 250_000):
        version = store.save(key, data)
        loaded = store.load(key)
        _must(loaded == (data, version), f"the bytes {data[:10]!r}… come back as {loaded!r:.40}…")
        _must(isinstance(loaded, tuple) and isinstance(loaded[0], bytes), "data is not bytes")


def _check_keys(store: Store, start: str) -> None:
    keys = [start + odd for odd in _ODD]
    for key in keys:
        store.save(key, key.encode())
    for key in keys:
        data, _ = store.load(key) or (None, 0)
        _must(data == key.encode(), f"the key {key!r} is taken for another")
        wanted = sorted(each for each in keys if each.startswith(key))
        found = store.keys(key)
        _must(found == wanted, f"keys({key!r}) gives {found}, not {wanted}")
    _must(store.keys(start) == sorted(keys), "keys() are not sorted by code point")
    _must(set(keys) <= set(store.keys()), "keys() without a prefix does not give all")
    store.delete(keys[0])
    _must(store.keys(start) == sorted(keys[1:]), "delete() leaves its key, or takes another")


def _check_refusals(store: Store, key: str, ttl: float) -> None:
    for name in ("", None, b"bytes", "\ud800"):
        _refuses(f"save() takes the key {name!r}", store.save, name, b"")
        _refuses(f"load() takes the key {name!r}", store.load, name)
        _refuses(f"acquire() takes the name {name!r}", store.acquire, name, ttl)
    for data in ("text", None, 5):
        _refuses(f"save() takes the data {data!r}", store.save, key, data)
    for version in (-1, "first", 0.5):
        _refuses(f"save() takes if_version={version!r}", store.save, key, b"", if_version=version)
    for length in (0, -1.0, float("nan"), float("inf"), timedelta(0), "long", None):
        _refuses(f"acquire() takes ttl={length!r}", store.acquire, key, length)
        _refuses(f"renew() takes ttl={length!r}", store.renew, key, 1, length)
    _must(store.load(key) is None, "a refused save() has written")
    _lent(store, key, ttl, "a refused acquire() holds the lease")


def _refuses(fault: str, call: Callable[..., object], *arguments: Any, **named: Any) -> None:
    try:
        call(*arguments, **named)
    except (TypeError, ValueError):
        return
    raise AssertionError(f"{_FAULT}{fault}")


def _lent(store: Store, name: str, ttl: float | timedelta, fault: str, *, after: int = 0) -> int:
    token = store.acquire(name, ttl)
    if token is None:
        raise AssertionError(f"{_FAULT}{fault}")
    _must(token > after, f"the token {token} follows {after}: it is not greater")
    return token


def _check_leases(store: Store, name: str, ttl: float) -> None:
    first = _lent(store, name, ttl, "acquire() does not give a lease that is free")
    _must(store.acquire(name, ttl) is None, "acquire() gives a lease that is held")
    _lent(store, f"{name}/other", timedelta(seconds=ttl), "a lease keeps another from being lent")
    _must(store.load(name) is None, "a lease and a state of the same name are one")
    _must(not store.renew(name, first + 1, ttl), "renew() takes a token that was not given")
    _must(not store.release(name, first + 1), "release() takes a token that was not given")
    _must(store.renew(name, first, ttl), "renew() refuses the holder")
    _must(store.release(name, first), "release() refuses the holder")
    _must(not store.release(name, first), "a lease is released twice")
    _must(not store.renew(name, first, ttl), "a released lease is renewed")
    second = _lent(store, name, ttl, "a released lease is not lent again", after=first)
    _must(not store.renew(name, first, ttl), "a late holder renews the lease of the next")
    _must(not store.release(name, first), "a late holder releases the lease of the next")
    _must(store.renew(name, second, ttl), "a late holder ends the lease of the next")


def _check_expiry(store: Store, name: str, ttl: float, advance: Callable[[float], object]) -> None:
    first = _lent(store, name, ttl, "acquire() does not give a lease that is free")
    advance(ttl / 2)
    _must(store.renew(name, first, ttl), "a lease ends before its time")
    advance(ttl / 2)
    _must(store.acquire(name, ttl) is None, "renew() does not prolong the lease")
    advance(ttl / 2)
    _must(not store.renew(name, first, ttl), "a lease that has ended is renewed")
    second = _lent(store, name, ttl, "a lease does not end with its time", after=first)
    advance(ttl)
    _must(not store.release(name, second), "release() of a lease that has ended gives True")
    _lent(store, name, ttl, "a lease that was released late is not lent again", after=second)


def _check_threads(store: Store, key: str, ttl: float) -> None:
    start = Barrier(_THREADS)

    def run(_: int) -> int | None:
        start.wait(_PATIENCE)
        token = store.acquire(key, ttl)
        _count_up(store, key)
        return token

    with ThreadPoolExecutor(_THREADS) as pool:
        tokens = [token for token in pool.map(run, range(_THREADS)) if token is not None]
    _must(len(tokens) == 1, f"{len(tokens)} of {_THREADS} threads got the lease at once")
    _check_count(store, key, _THREADS)


def _count_up(store: Store, key: str) -> None:
    done = 0
    while done < _TIMES:
        data, version = store.load(key) or (b"0", 0)
        try:
            store.save(key, b"%d" % (int(data) + 1), if_version=version)
        except StateConflict:
            continue
        done += 1


def _check_count(store: Store, key: str, parties: int) -> None:
    data, _ = store.load(key) or (b"0", 0)
    wanted = parties * _TIMES
    _must(int(data) == wanted, f"{wanted} increments by compare-and-set make {int(data)}")


def _check_processes(make: Callable[[], Store], key: str, processes: int) -> None:
    context = get_context("spawn")
    start = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, start.wait, (_PATIENCE,)) as pool:
        runs: list[Future[int]] = [pool.submit(_use, make, key, who) for who in range(processes)]
        grants = [run.result(_PATIENCE) for run in runs]
    store = make()
    _check_count(store, key, processes)
    if keeps_spend(store):
        check_spent(store, key, "processes", grants)


def _use(make: Callable[[], Store], key: str, who: int) -> int:
    store = make()
    granted = spend_up(store, key, who) if keeps_spend(store) else 0
    _count_up(make(), key)
    return granted


def _check_kill(
    make: Callable[[], Store], key: str, ttl: float, advance: Callable[[float], object]
) -> None:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_save_for_ever, args=(make, key, ttl, theirs), daemon=True)
    child.start()
    theirs.close()  # so that a child that fails ends the pipe
    try:
        token = ours.recv()
        ours.recv()  # it is saving
    finally:
        child.kill()
        child.join()
        ours.close()
    store = make()
    data, version = store.load(key) or (b"", 0)
    _must(len(set(data)) == 1, "a process killed while saving leaves a state that nobody saved")
    store.save(key, b"next", if_version=version)
    advance(ttl)
    _lent(store, key, ttl, "the lease of a killed process does not end with its time", after=token)


def _save_for_ever(make: Callable[[], Store], key: str, ttl: float, pipe: Connection) -> None:
    store = make()
    pipe.send(store.acquire(key, ttl))
    for turn, letter in enumerate(cycle(range(256))):
        store.save(key, bytes([letter]) * 100_000)
        if turn == 1:
            pipe.send(turn)


def _must(rule: bool, fault: str) -> None:  # noqa: FBT001 -- an assertion
    if not rule:
        raise AssertionError(f"{_FAULT}{fault}")
