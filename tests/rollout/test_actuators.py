"""Moving traffic: each move once, seen to stand, and finished after a crash at any point."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mlguard import Action, ConfigurationError, Decision, MemoryStore, SqliteStore, StateConflict
from mlguard.rollout import (
    Acting,
    Actuator,
    Guardrail,
    Move,
    RollbackEngine,
    RollbackPlan,
    Router,
    Splitter,
)
from mlguard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "0c1d"
NAN = float("nan")


@dataclass
class Mesh:
    """An actuator that remembers what it was told."""

    share: float = 0.0
    calls: list[str] = field(default_factory=list)
    during: Callable[[], object] = lambda: None

    def _move(self, call: str, share: float) -> None:
        self.calls.append(call)
        self.during()
        self.share = share

    def set_share(self, share: float) -> None:
        self._move(f"share {share:g}", share)

    def promote(self) -> None:
        self._move("promote", 1.0)

    def rollback(self) -> None:
        self._move("rollback", 0.0)

    def standing(self) -> float:
        return self.share


def acting(mesh: Actuator | None = None, journal: Any = None) -> tuple[Acting, Any]:
    place = mesh or Mesh()
    return Acting(place, journal=journal or MemoryStore(), name="eta"), place


def decided(action: Action | str = Action.NONE, key: str = KEY) -> Decision:
    return Decision(action, "because", key=key, at=1_700_000_000.0)


def failing(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def rows(act: Acting) -> list[tuple[str, bool]]:
    return [(str(move), move.done) for move in act.moves]


# With an engine.


def rollout(errors: int, **settings: Any) -> tuple[RollbackEngine, Callable[[], Decision]]:
    clock = ManualClock(1_700_000_000)
    plan = RollbackPlan([0.1, 0.5], guardrails=[Guardrail("errors")], bake=60, mismatch="ignore")
    engine = RollbackEngine(plan, clock=clock, **settings)

    def turn() -> Decision:
        engine.observe("canary", requests=500, events={"errors": errors})
        engine.observe("baseline", requests=500, events={"errors": 5})
        clock.advance(30.0)
        return engine.decide()

    return engine, turn


def test_a_good_canary_is_moved_through_its_stages_each_once() -> None:
    act, mesh = acting()
    engine, turn = rollout(errors=5)
    for _ in range(60):
        act(turn(), engine.share)
        assert mesh.standing() == engine.share
    assert mesh.calls == ["share 0.1", "share 0.5", "promote"]


def test_a_bad_canary_is_rolled_back_once() -> None:
    act, mesh = acting()
    engine, turn = rollout(errors=60)
    for _ in range(20):
        act(turn(), engine.share)
    assert mesh.calls[-1] == "rollback"
    assert mesh.calls.count("rollback") == 1
    assert act.moves[-1].reason.startswith("errors: ")


@pytest.mark.parametrize(("command", "call"), [("abort", "rollback"), ("promote", "promote")])
def test_an_operators_command_is_acted_upon(command: str, call: str) -> None:
    act, mesh = acting()
    engine, turn = rollout(errors=5)
    act(turn(), engine.share)
    engine.command(command, who="ada", reason="a hunch")
    act(turn(), engine.share)
    assert mesh.calls == ["share 0.1", call]


def test_a_rollback_that_was_missed_is_made_with_the_next_decision() -> None:
    act, mesh = acting()
    engine, turn = rollout(errors=60)
    assert any(turn().action is Action.ROLLBACK for _ in range(20))  # and a crash right after it
    restarted, _ = rollout(errors=60)
    later = restarted.from_state(json.loads(json.dumps(engine.state())))
    decision = later.decide()
    assert decision.action is Action.NONE
    act(decision, later.share)
    assert mesh.calls == ["rollback"]


def test_as_a_sink_it_rolls_back_though_the_pager_before_it_fails() -> None:
    act, mesh = acting()
    pager = failing(ConnectionError("no route to the pager"))
    engine, turn = rollout(errors=60, sinks=[lambda _: pager(), act])
    with pytest.raises(ExceptionGroup) as failed:
        any(turn().action is Action.ROLLBACK for _ in range(20))
    assert [str(error) for error in failed.value.exceptions] == ["no route to the pager"]
    assert mesh.calls == ["rollback"]
    act(turn(), engine.share)
    assert mesh.calls == ["rollback"]


# Once.


@pytest.mark.parametrize("action", [Action.NONE, Action.HOLD, Action.ALERT, "my own"])
def test_the_same_decision_twice_moves_once(action: str) -> None:
    act, mesh = acting()
    for _ in range(3):
        act(decided(action), 0.1)
    assert mesh.calls == ["share 0.1"]
    assert rows(act) == [("give the canary 10.000%", True)]


@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.PROMOTE])
def test_what_ends_a_rollout_needs_no_share_and_is_done_once(action: Action) -> None:
    act, mesh = acting()
    for share in (NAN, {"rollback": 0.0, "promote": 1.0}[action], NAN):
        act(decided(action), share)
    assert mesh.calls == [str(action)]


def test_where_something_else_moves_the_traffic_only_the_end_is_acted_upon() -> None:
    act, mesh = acting()
    for action in (Action.NONE, Action.HOLD, Action.ALERT):
        act(decided(action), NAN)
    assert (mesh.calls, act.moves) == ([], ())
    act(decided(), 0.0)  # the share of an engine that is over, whoever moved before
    assert mesh.calls == ["rollback"]


def test_two_threads_move_once_and_never_at_the_same_time() -> None:
    started, go = threading.Event(), threading.Event()

    def slowly() -> None:
        started.set()
        assert go.wait(60)

    act, mesh = acting(Mesh(during=slowly))
    threads = [threading.Thread(target=act, args=(decided(Action.ROLLBACK),)) for _ in range(8)]
    threads[0].start()
    assert started.wait(60)
    for thread in threads[1:]:
        thread.start()
    assert mesh.calls == ["rollback"]
    go.set()
    for thread in threads:
        thread.join(60)
    assert mesh.calls == ["rollback"]
    assert rows(act) == [("roll back", True)]


def test_many_threads_and_shares_leave_the_journal_and_the_traffic_agreed() -> None:
    act, mesh = acting()
    shares = [each / 100 for each in range(1, 51)]
    threads = [threading.Thread(target=act, args=(decided(), share)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(mesh.calls) == Counter(f"share {share:g}" for share in shares)
    assert [move.share for move in act.moves][-1] == mesh.standing()
    assert all(move.done for move in act.moves)


def test_a_second_decider_that_moved_meanwhile_is_found() -> None:
    store = MemoryStore()
    other, _ = acting(journal=store)
    act, mesh = acting(Mesh(during=lambda: other(decided(Action.ROLLBACK))), store)
    with pytest.raises(StateConflict):
        act(decided(), 0.5)
    assert rows(act) == [("give the canary 50.000%", False), ("roll back", True)]
    mesh.during = lambda: None
    with pytest.raises(StateConflict, match="it ended: to roll back, says the journal"):
        act(decided(), 0.5)


# Verified.


def test_a_share_that_does_not_stand_is_an_error_that_names_both() -> None:
    class Stuck(Mesh):
        def standing(self) -> float:
            return 0.05

    act, mesh = acting(Stuck())
    message = r"eta: the canary was to have 25.000% of the requests, and it has 5.000%"
    for _ in range(2):  # and it is tried again
        with pytest.raises(StateConflict, match=message):
            act(decided(), 0.25)
    assert rows(act) == [("give the canary 25.000%", False)]
    assert mesh.calls == ["share 0.25"] * 2


@pytest.mark.parametrize("found", [NAN, float("inf"), 0.249])
def test_whatever_else_is_read_is_no_success(found: float) -> None:
    class Odd(Mesh):
        def standing(self) -> float:
            return found

    act, _ = acting(Odd())
    with pytest.raises(StateConflict):
        act(decided(), 0.25)
    assert not act.moves[-1].done


# Failures and crashes.


def test_an_actuator_that_fails_halfway_is_called_again() -> None:
    act, mesh = acting(Mesh(during=failing(OSError("half of the pods"))))
    with pytest.raises(OSError, match="half of the pods"):
        act(decided(Action.ROLLBACK))
    assert rows(act) == [("roll back", False)]
    mesh.during = lambda: None
    act(decided(), 0.0)
    assert mesh.calls == ["rollback", "rollback"]
    assert rows(act) == [("roll back", True)]


def test_a_rollback_takes_the_place_of_a_share_that_could_not_be_set() -> None:
    act, mesh = acting(Mesh(during=failing(OSError("down"))))
    with pytest.raises(OSError, match="down"):
        act(decided(), 0.25)
    mesh.during = lambda: None
    act(decided(Action.ROLLBACK), 0.0)
    assert mesh.calls == ["share 0.25", "rollback"]
    assert rows(act) == [("give the canary 25.000%", False), ("roll back", True)]


class Dying(MemoryStore):
    """A journal that dies before or after its nth save."""

    __slots__ = ("after", "before", "saves")

    def __init__(self, *, before: int = 0, after: int = 0) -> None:
        super().__init__()
        self.before, self.after, self.saves = before, after, 0

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        self.saves += 1
        if self.saves == self.before:
            raise KeyboardInterrupt
        version = super().save(key, data, if_version=if_version)
        if self.saves == self.after:
            raise KeyboardInterrupt
        return version


@pytest.mark.parametrize("action", [Action.NONE, Action.ROLLBACK, Action.PROMOTE])
@pytest.mark.parametrize(
    ("dies", "seen", "made"),
    [
        ({"before": 1}, [], 0),  # nothing was written: the next decision makes it
        ({"after": 1}, [False], 0),  # written, not made
        ({"before": 2}, [False], 1),  # made, not written
        ({"after": 2}, [True], 1),  # all was done
    ],
)
def test_a_crash_anywhere_is_finished(
    action: Action, dies: dict[str, int], seen: list[bool], made: int
) -> None:
    share = {"rollback": 0.0, "promote": 1.0}.get(action, 0.25)
    store, mesh = Dying(**dies), Mesh(share=0.1)
    act, _ = acting(mesh, store)
    with pytest.raises(KeyboardInterrupt):
        act(decided(action), share)
    assert [move.done for move in act.moves] == seen
    assert len(mesh.calls) == made
    restarted, _ = acting(mesh, store)
    restarted.resume()
    assert [move.done for move in restarted.moves] == [True] * len(seen)
    restarted(decided(), share)  # what was decided is not decided again, but the share says it
    assert mesh.standing() == share
    assert len(restarted.moves) == 1
    assert len(mesh.calls) <= 2


def test_an_interrupted_rollback_is_finished_though_the_engine_has_forgotten_it() -> None:
    store, mesh = Dying(after=1), Mesh(share=0.25)
    with pytest.raises(KeyboardInterrupt):
        acting(mesh, store)[0](decided(Action.ROLLBACK))
    assert mesh.standing() == 0.25
    restarted, _ = acting(mesh, store)
    message = r"rollout 0c1d is to give the canary 25.000%, but it ended: to roll back"
    with pytest.raises(StateConflict, match=message):
        restarted(decided(), 0.25)
    assert mesh.calls == ["rollback"]
    assert mesh.standing() == 0.0
    with pytest.raises(StateConflict, match=message):
        restarted(decided(), 0.25)
    assert mesh.calls == ["rollback"]


SERVICE = """
    import pickle, sys
    from pathlib import Path
    from mlguard import Action, Decision, SqliteStore
    from mlguard.rollout import Acting

    class Split:  # two pods, each with a file of its own
        def __init__(self, pods): self.pods = pods
        def set_share(self, share):
            for number, pod in enumerate(self.pods):
                print("pod", number, flush=True)
                if number == die_at: sys.stdin.read()
                pod.write_text(repr(share))
            print("moved", flush=True)
            if die_at == 2: sys.stdin.read()
        def promote(self): self.set_share(1.0)
        def rollback(self): self.set_share(0.0)
        def standing(self):
            shares = {float(pod.read_text()) for pod in self.pods}
            return shares.pop() if len(shares) == 1 else float("nan")

    folder, die_at = Path(sys.argv[1]), int(sys.argv[2])
    split = Split([folder / "pod0", folder / "pod1"])
    act = Acting(split, journal=SqliteStore(folder / "journal.db"), name="eta")
    if sys.argv[3] == "resume":
        act.resume()
    else:
        act(Decision(sys.argv[3], "because", key="0c1d"))
    print("standing", split.standing(), flush=True)
"""


@pytest.mark.parametrize("action", ["rollback", "promote"])
@pytest.mark.parametrize("die_at", [0, 1, 2])
def test_kill_9_between_journal_and_move_is_finished_at_restart(
    tmp_path: Path, action: str, die_at: int
) -> None:
    pods = [tmp_path / "pod0", tmp_path / "pod1"]
    for pod in pods:
        pod.write_text("0.25")
    command = [sys.executable, "-c", dedent(SERVICE), str(tmp_path)]
    last = ["pod 0", "pod 1", "moved"][die_at]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, str(die_at), action], **pipes) as process:  # type: ignore[call-overload]
        while process.stdout.readline().strip() != last:
            assert process.poll() is None
        process.kill()
    share = {"rollback": "0.0", "promote": "1.0"}[action]
    assert [pod.read_text() for pod in pods] == [share] * die_at + ["0.25"] * (2 - die_at)

    store = SqliteStore(tmp_path / "journal.db")
    assert [move.done for move in acting(journal=store)[0].moves] == [False]
    restart = [*command, "-1", "resume"]
    run = subprocess.run(restart, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.endswith(f"standing {share}\n")
    assert [pod.read_text() for pod in pods] == [share] * 2
    assert [move.done for move in acting(journal=store)[0].moves] == [True]


# One rollout after another.


def test_a_rollout_that_ended_gives_no_traffic_back() -> None:
    act, mesh = acting()
    act(decided(Action.ROLLBACK))
    for late in (decided(), decided(Action.PROMOTE)):
        with pytest.raises(StateConflict, match="it ended: to roll back"):
            act(late, 0.5)
    assert mesh.calls == ["rollback"]


def test_the_next_candidate_begins_and_the_last_one_has_no_say() -> None:
    act, mesh = acting()
    act(decided(Action.ROLLBACK, "v7"))
    act(decided(key="v8"), 0.1)
    act(decided(key="v7"), 0.0)  # its decider goes on: nothing is new
    assert mesh.calls == ["rollback", "share 0.1"]
    act(decided(key="v9"), 0.2)
    with pytest.raises(StateConflict, match="rollout v9 has taken its place"):
        act(decided(Action.ROLLBACK, "v8"))
    assert mesh.calls == ["rollback", "share 0.1", "share 0.2"]


def test_the_next_candidate_waits_until_the_last_one_is_done() -> None:
    act, mesh = acting(Mesh(during=failing(OSError("down"))))
    with pytest.raises(OSError, match="down"):
        act(decided(Action.ROLLBACK, "v7"))
    mesh.during = lambda: None
    with pytest.raises(StateConflict, match=r"v7 was to roll back, which was not done: call resu"):
        act(decided(key="v8"), 0.1)
    act.resume()
    act(decided(key="v8"), 0.1)
    assert mesh.calls == ["rollback", "rollback", "share 0.1"]


# The journal.


def test_the_journal_keeps_a_hundred_moves() -> None:
    act, _ = acting()
    for each in range(150):
        act(decided(), (each + 1) / 1000)
    assert [move.share for move in act.moves] == [(each + 51) / 1000 for each in range(100)]


def test_two_places_share_a_store_by_name() -> None:
    store, meshes = MemoryStore(), {"eta": Mesh(), "price": Mesh()}
    for name, mesh in meshes.items():
        Acting(mesh, journal=store, name=name)(decided(), 0.1)
    assert [mesh.calls for mesh in meshes.values()] == [["share 0.1"]] * 2


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"kind": "moves", "schema": 2}'])
def test_a_journal_that_cannot_be_read_moves_nothing_but_a_rollback(data: bytes) -> None:
    store = MemoryStore()
    store.save("acting/eta", data)
    act, mesh = acting(journal=store)
    for action, calls in ((Action.PROMOTE, []), (Action.ROLLBACK, ["rollback"])):
        with pytest.raises(ConfigurationError, match="'acting/eta' in the store: "):
            act(decided(action))
        assert mesh.calls == calls


def test_a_move_is_plain_json_and_back() -> None:
    move = Move(KEY, 0.25, done=True, reason="stage 2 of 4", at=1.5)
    assert Move.from_dict(json.loads(json.dumps(move.to_dict()))) == move
    assert pickle.loads(pickle.dumps(move)) == move  # noqa: S301 -- our own


def test_a_store_that_is_down_moves_nothing_but_a_rollback() -> None:
    class Down(MemoryStore):
        __slots__ = ()

        def load(self, key: str) -> tuple[bytes, int] | None:
            raise ConnectionError(key)

    act, mesh = acting(journal=Down())
    for action, calls in ((Action.PROMOTE, []), (Action.NONE, []), (Action.ROLLBACK, ["rollback"])):
        with pytest.raises(ConnectionError):
            act(decided(action), 0.5)
        assert mesh.calls == calls


def refused(settings: dict[str, Any]) -> None:
    Acting(**{"actuator": Mesh(), "journal": MemoryStore(), "name": "eta", **settings})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: refused({"actuator": len}), "it has no set_share"),
        (lambda: refused({"journal": {}}), "journal = {}: must be a store"),
        (lambda: refused({"name": ""}), "name = ''"),
        (lambda: acting()[0](decided(key="")), ""),
        (lambda: acting()[0](decided(key=""), 0.1), "decision.key = ''"),
        (lambda: acting()[0](decided(), 1.1), "share = 1.1: must be between 0 and 1"),
        (lambda: acting()[0](decided(), -0.1), "share = -0.1: must be between 0 and 1"),
        (lambda: acting()[0]("rollback"), "decision = 'rollback': must be a Decision"),  # type: ignore[arg-type]
        (lambda: Move("", 0.5), "rollout = ''"),
        (lambda: Move(KEY, NAN), "share = nan: must be between 0 and 1"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], object], message: str) -> None:
    if not message:
        call()  # nothing is to be moved, so no key is needed
        return
    with pytest.raises(ConfigurationError, match=message):
        call()


# The router.


def test_the_router_serves_as_its_splitter_assigns() -> None:
    splitter = Splitter("v7")
    router = Router(str.upper, str.lower, splitter=splitter)
    for share in (0.0, 0.1, 0.5, 1.0):
        router.set_share(share)
        assert router.standing() == share
        for user in range(2_000):
            arm, model = router(user)
            assert arm == splitter.arm(user, share)
            assert model("Ada") == {"canary": "ADA", "baseline": "ada"}[arm]


def test_a_call_that_fails_is_counted_for_its_arm() -> None:
    def fails() -> int:
        return 1 // 0

    router = Router(fails, int, splitter=Splitter("v7"))
    router.promote()
    arm, model = router("ada")
    with pytest.raises(ZeroDivisionError):
        model()
    assert arm == "canary"


def test_raising_the_share_takes_nobody_back() -> None:
    router = Router(len, len, splitter=Splitter("v7"))
    before: set[int] = set()
    for share in (0.01, 0.05, 0.25, 0.5, 1.0):
        router.set_share(share)
        now = {user for user in range(2_000) if router(user)[0] == "canary"}
        assert before <= now
        before = now


def test_arm_and_model_belong_together_though_the_share_moves_in_between() -> None:
    class Interrupted(Splitter):
        def arm(self, key: str | int, share: float) -> Literal["canary", "baseline"]:
            router.promote()  # as another thread may
            return super().arm(key, share)

    router = Router(str.upper, str.lower, splitter=Interrupted("v7"))
    assert router("ada") == ("baseline", str.lower)
    assert router("ada") == ("canary", str.upper)


@pytest.mark.parametrize("share", [-0.1, 1.1, NAN, "much", None])
def test_a_bad_share_leaves_the_old_one(share: Any) -> None:
    router = Router(len, len, splitter=Splitter("v7"))
    router.set_share(0.25)
    with pytest.raises(ConfigurationError, match="share = "):
        router.set_share(share)
    assert router.standing() == 0.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canary": 1}, "canary = 1: must be a callable"),
        ({"baseline": None}, "baseline = None: must be a callable"),
        ({"splitter": "v7"}, "splitter = 'v7': must be a Splitter"),
    ],
)
def test_a_router_is_made_of_two_callables_and_a_splitter(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Router(**{"canary": len, "baseline": len, "splitter": Splitter("v7"), **settings})


def test_a_router_that_began_anew_is_set_again() -> None:
    store = MemoryStore()
    act, _ = acting(journal=store)
    act(decided(), 0.25)
    again, mesh = acting(journal=store)
    again(decided(), 0.25)
    assert mesh.standing() == 0.25
    act(decided(Action.PROMOTE))
    after, later = acting(journal=store)
    with pytest.raises(StateConflict, match="resume"):
        after(decided(), 1.0)
    after.resume()
    assert later.standing() == 1.0
