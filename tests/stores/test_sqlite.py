"""What is special about the store in a file: other processes, forks, kills, and bad files."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import pytest

from mlguard import ConfigurationError, SqliteStore
from mlguard.stores import database
from mlguard.testing import ManualClock

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path, clock=ManualClock(1_000.0))) as store:
        yield store


def printed(program: str, *arguments: object, timeout: float = 120.0) -> str:
    """Run a program in a process of its own, which may fork and have threads as it likes."""
    command = [sys.executable, "-W", "ignore:.*fork:DeprecationWarning", "-c", dedent(program)]
    run = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout,
    )
    return run.stdout.strip()


def test_it_outlives_its_process(path: Path) -> None:
    program = """
        import os, sys, mlguard
        store = mlguard.SqliteStore(sys.argv[1])
        print(store.save("key", b"kept"), store.acquire("decider", 3600.0), flush=True)
        os._exit(0)  # nothing is closed
    """
    version, token = map(int, printed(program, path).split())
    with closing(SqliteStore(path)) as store:
        assert store.load("key") == (b"kept", version)
        assert store.acquire("decider", 1.0) is None
        assert store.release("decider", token)
        later = store.acquire("decider", 1.0)
        assert later is not None
        assert later > token


def test_versions_and_tokens_follow_the_clock(tmp_path: Path) -> None:
    clock = ManualClock(1_000.0)
    with closing(SqliteStore(tmp_path / "one.db", clock=clock)) as before:
        assert [before.save("key", b""), before.acquire("decider", 5.0)] == [10**9, 10**9 + 1]
    clock.advance(1.0)
    with closing(SqliteStore(tmp_path / "two.db", clock=clock)) as after:  # the first was lost
        assert after.acquire("decider", 5.0) == 1_001_000_000


SAVES = """
    import itertools, sys, mlguard
    store = mlguard.SqliteStore(sys.argv[1])
    for letter in itertools.cycle(b"abcdefgh"):
        store.save("key", bytes([letter]) * 100_000)
        print("saved", flush=True)
"""


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_kill_9_while_saving_leaves_a_state_that_was_saved(path: Path, kills: int) -> None:
    versions = [0]
    for kill in range(kills):
        command = [sys.executable, "-c", dedent(SAVES), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(1 + kill % 7):
                assert process.stdout.readline()
            process.kill()
        with closing(SqliteStore(path)) as store:
            data, version = store.load("key") or (b"", 0)
            assert len(data) == 100_000
            assert len(set(data)) == 1
            assert version > versions[-1]
            versions.append(store.save("key", b"next", if_version=version))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    program = """
        import sys, mlguard
        from multiprocessing import get_context

        def run(start, folder):
            for number in range(100):
                start.wait(60.0)
                mlguard.SqliteStore(f"{folder}/{number}.db").acquire("decider", 60.0)

        context = get_context("fork")
        start = context.Barrier(8)
        runs = [context.Process(target=run, args=(start, sys.argv[1])) for _ in range(8)]
        for each in runs: each.start()
        for each in runs: each.join()
        print(*(each.exitcode for each in runs))
    """
    assert printed(program, tmp_path) == "0 0 0 0 0 0 0 0"


class Busy(sqlite3.Connection):
    """A connection that finds another one changing the file at first, as SQLite does not wait."""

    busy = 3
    made: ClassVar[list[sqlite3.Connection]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.made.append(self)

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if "journal_mode" in statement and self.busy:
            self.busy -= 1
            message = "database is locked"
            raise sqlite3.OperationalError(message)
        return super().execute(statement, *parameters)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[sqlite3.Connection]]:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Busy))
    yield Busy.made
    Busy.made.clear()


def closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018 -- an error if it is closed
    except sqlite3.ProgrammingError:
        return True
    return False


def test_a_new_file_that_another_process_makes_just_now_is_waited_for(
    path: Path, made: list[sqlite3.Connection]
) -> None:
    with closing(SqliteStore(path)) as store:
        assert store.keys() == []
        (connection,) = made
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_is_closed_with_its_store_and_when_it_is_refused(
    path: Path, made: list[sqlite3.Connection]
) -> None:
    store = SqliteStore(path)
    store.save("key", b"")
    assert [closed(each) for each in made] == [False]
    del store
    gc.collect()  # a connection that is not closed is a warning on newer Pythons
    with closing(sqlite3.Connection(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError):
        SqliteStore(path)
    assert [closed(each) for each in made] == [True, True]


@forks
def test_a_child_does_not_lose_what_it_saves_when_the_parent_closes(path: Path) -> None:
    """SQLite would, if the child had inherited a connection: see the end of the module."""
    program = """
        import os, signal, sys, mlguard
        store = mlguard.SqliteStore(sys.argv[1])
        store.save("key", b"the parent's")
        (said, say), (heard, hear) = os.pipe(), os.pipe()
        if not (child := os.fork()):
            store.save("key", b"the child's first")
            os.write(say, b".")
            os.read(heard, 1)
            store.save("key", b"the child's last")
            os.kill(os.getpid(), signal.SIGKILL)
        os.read(said, 1)
        store.load("key")
        store.close()  # is it the last to close the file? Then it removes the log
        os.write(hear, b".")
        os.waitpid(child, 0)
        print(store.load("key")[0].decode())
    """
    assert printed(program, path) == "the child's last"


@forks
def test_a_fork_waits_for_an_operation_under_way(path: Path) -> None:
    program = """
        import os, sys, threading, mlguard
        inside, go = threading.Event(), threading.Event()

        def clock():
            inside.set()
            go.wait(60.0)
            return 1000.0

        store = mlguard.SqliteStore(sys.argv[1], clock=clock)
        holder = threading.Thread(target=store.save, args=("key", b"the holder's"))
        codes = []

        def fork():
            child = os.fork()
            if not child:
                store.save("key", b"the child's", if_version=store.load("key")[1])
                os._exit(0)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        holder.start()
        inside.wait(60.0)
        forker = threading.Thread(target=fork)
        forker.start()
        go.set()
        forker.join()
        holder.join()
        print(codes, store.load("key"))
    """
    assert printed(program, path) == '[0] (b"the child\'s", 1000000001)'


@forks
def test_forks_while_threads_work_leave_every_child_a_store_that_works(path: Path) -> None:
    program = """
        import os, signal, sys, threading, mlguard
        sys.setswitchinterval(1e-5)
        store, other = mlguard.SqliteStore(sys.argv[1]), mlguard.SqliteStore(sys.argv[1])
        stop = threading.Event()

        def work(number):
            done = 0
            while not stop.is_set():
                done += 1
                (store, other)[done % 2].save(f"thread {number}", b"%d" % done)
            total[number] = done

        total = [0, 0, 0]
        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for each in threads: each.start()
        failed = 0
        for number in range(40):
            child = os.fork()
            if not child:
                signal.alarm(60)
                store.save(f"child {number}", b"", if_version=0)
                other.load("thread 0")
                os._exit(0)
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        for each in threads: each.join()
        there = [int(store.load(f"thread {n}")[0]) for n in range(3)]
        print(failed, there == total, len(store.keys("child ")))
    """
    assert printed(program, path) == "0 True 40"


def test_a_reader_does_not_wait_for_a_writer_and_a_writer_not_for_ever(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.save("key", b"before")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert store.load("key") == (b"before", version)
        assert store.keys() == ["key"]
        monkeypatch.setattr(database, "_PATIENCE", 0.01)
        with closing(SqliteStore(path)) as impatient:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                impatient.save("key", b"after")
            other.execute("ROLLBACK")
            assert impatient.save("key", b"after") > version


def test_its_clock_is_read_while_the_file_is_locked(path: Path) -> None:
    """Else one process would read the time, wait for another to take the lease, and find it ahead."""

    def clock() -> float:
        with (
            closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")
        return 1_000.0

    with closing(SqliteStore(path, clock=clock)) as store:
        store.save("key", b"")
        token = store.acquire("decider", 60.0)
        assert token is not None
        assert store.renew("decider", token, 60.0)
        assert store.release("decider", token)


def test_an_error_in_the_middle_changes_nothing(path: Path) -> None:
    times = chain([1_000.0, float("nan")], repeat(2_000.0))
    with closing(SqliteStore(path, clock=times.__next__)) as store:
        version = store.save("key", b"before")
        with pytest.raises(ValueError, match="NaN"):
            store.save("key", b"after")
        assert store.load("key") == (b"before", version)
        assert store.save("key", b"after", if_version=version) == 2_000_000_000


def test_it_may_be_closed_copied_and_pickled(path: Path) -> None:
    store = SqliteStore(path, clock=ManualClock())
    version = store.save("key", b"kept")
    for twin in (store, copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))):  # noqa: S301 -- our own
        assert twin.load("key") == (b"kept", version)
        twin.close()
        twin.close()
        assert twin.load("key") == (b"kept", version)
        twin.close()
    assert repr(store) == f"SqliteStore({str(path)!r})"


def test_many_threads_share_one_store(store: SqliteStore) -> None:
    def run(number: int) -> list[int]:
        return [store.save(f"{number}/{turn}", b"") for turn in range(50)]

    with ThreadPoolExecutor(8) as pool:
        versions = list(chain.from_iterable(pool.map(run, range(8))))
    assert len(set(versions)) == len(store.keys()) == 400


def test_its_path_is_that_of_the_folder_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("guard.db")
    store.save("key", b"")
    store.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert store.keys() == ["key"]
    store.close()


@pytest.mark.parametrize("bad", ["", ":memory:", ".", "nowhere/guard.db", "a\0b", b"x", None, 5])
def test_a_bad_path_is_refused(bad: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"^path = .*: must be that of a file in a folder"):
        SqliteStore(bad)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_kind_is_an_error_that_names_it(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        SqliteStore(path)
    assert caught.value.__notes__ == [f"path = {str(path)!r}"]
    assert path.read_bytes() == b"not a database at all" * 100


def test_a_file_of_a_newer_mlguard_is_refused_and_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match=r"schema 99.*schema 1 or older") as caught:
        SqliteStore(path)
    assert caught.value.__notes__ == [f"path = {str(path)!r}"]


def test_a_file_of_another_program_keeps_its_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with closing(SqliteStore(path)) as store:
        store.save("key", b"")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


def test_an_older_schema_is_brought_up_step_by_step(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteStore(path)) as store:
        version = store.save("key", b"kept")
    monkeypatch.setattr(database, "_STEPS", (*database._STEPS, ("CREATE TABLE spend (id)",)))
    with closing(SqliteStore(path)) as store:
        assert store.load("key") == (b"kept", version)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM spend").fetchone() == (0,)
