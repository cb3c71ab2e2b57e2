"""What an engine wrote down gives the same decisions again: in code, in the shell, as a drawing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, Decision, Severity, Verdict
from mlguard.__main__ import main
from mlguard.rollout import (
    BlastRadius,
    Guardrail,
    RollbackEngine,
    RollbackPlan,
    replay,
    timeline_html,
)
from mlguard.testing import ManualClock

START = 1_750_000_000.0
PLAN = RollbackPlan(
    [0.05, 0.5],
    guardrails=[Guardrail("errors"), Guardrail("<slow>", action="hold")],
    bake=120,
    approvals=[1],
)


def recorded(plan: RollbackPlan, rate: float, looks: int = 60) -> tuple[list[Any], list[Decision]]:
    """Roll out a canary of so many errors; what was written, and what was decided."""
    events: list[Any] = []
    clock, rng = ManualClock(START), np.random.default_rng(5)
    said = {"severity": Severity.UNKNOWN}
    judge = RollbackEngine(
        plan,
        clock=clock,
        journal=events.append,
        approval=lambda: Verdict("approval", said["severity"], "as said"),
        budget=lambda: Verdict("budget", Severity.OK, "enough is left"),
    )
    decisions = []
    totals = {arm: np.zeros(3, dtype=np.int64) for arm in ("canary", "baseline")}
    for look in range(looks):
        for arm, part, errors in (("canary", judge.share, rate), ("baseline", 1.0, 0.01)):
            new = int(400 * (part if arm == "canary" else 1.0 - judge.share))
            totals[arm] += [new, rng.binomial(new, errors), rng.binomial(new, 0.02)]
            n, *told = totals[arm]
            counts = dict(zip(("errors", "<slow>"), told, strict=True))
            judge.observe(
                arm,  # type: ignore[arg-type]
                requests=n,  # type: ignore[arg-type]
                events=counts,  # type: ignore[arg-type]
                source="pod",
                seq=look,
                interval=str(look),
            )
        if look == 0:
            judge.command("pause", who="ada", reason="freeze")
            judge.command("resume", who="ada", reason="over")
        if look == 6:
            said["severity"] = Severity.OK
        clock.advance(60.0)
        decisions.append(judge.decide())
    return [json.loads(json.dumps(each)) for each in events], decisions


@pytest.mark.parametrize("rate", [0.01, 0.04])
def test_a_journal_gives_the_same_decisions_also_where_checks_were_asked(rate: float) -> None:
    events, decisions = recorded(PLAN, rate)
    assert {each.reason for each in decisions} >= {"stage 2 awaits an approval: as said"} or (
        decisions[-1].reason.startswith("errors")
    )
    assert replay(PLAN, events) == decisions


def test_a_check_that_is_given_is_asked_again() -> None:
    events, _ = recorded(PLAN, 0.01)
    decisions = replay(PLAN, events, approval=lambda: Verdict("a", Severity.BREACH, "never"))
    assert {each.reason for each in decisions} >= {"stage 2 awaits an approval: never"}
    assert "promoted" not in str(decisions[-1].because)


guardrails = st.builds(
    Guardrail,
    st.sampled_from(["errors", "slow", "sales"]),
    direction=st.sampled_from(["increase", "decrease"]),
    action=st.sampled_from(["rollback", "hold", "notify"]),
    margin=st.sampled_from([None, 3.0]),
    weight=st.floats(0.1, 10.0),
)
plans = st.builds(
    RollbackPlan,
    st.sampled_from(["external", [0.1, 0.5]]),
    guardrails=st.lists(guardrails, min_size=1, max_size=3, unique_by=lambda each: each.name),
    alpha=st.floats(0.001, 0.3),
    blast_radius=st.builds(BlastRadius, st.sampled_from([None, 7]), users=st.sampled_from([5])),
    max_duration=st.sampled_from([None, 60.0]),
    approvals=st.sampled_from([[], ["promote"]]),
    cluster=st.just("user"),
)


@given(plans)
def test_a_plan_is_read_from_what_it_wrote(plan: RollbackPlan) -> None:
    again = RollbackPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again.to_dict() == plan.to_dict()
    assert again.digest == plan.digest


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({}, "plan"),
        ([], "plan"),
        ({"guardrails": [{}]}, "guardrails"),
        ({"guardrails": [{"name": "e", "limit": 3}]}, "guardrails"),
        ({"guardrails": [{"name": "e"}], "blast_radius": [1]}, "blast_radius"),
        ({"guardrails": [{"name": "e"}], "digest": "0"}, "plan"),
        ({"guardrails": [{"name": "e"}], "alpha": 2}, "alpha"),
    ],
)
def test_a_plan_that_is_none_is_named(record: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} = "):
        RollbackPlan.from_dict(record)


@pytest.mark.parametrize(("rate", "code", "end"), [(0.04, 1, "rolled back"), (0.01, 3, "stage")])
def test_the_command_prints_what_was_decided(
    rate: float, code: int, end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, decisions = recorded(PLAN, rate, looks=30)
    plan, file, page = (str(tmp_path / name) for name in ("plan.json", "events.jsonl", "page.html"))
    Path(plan).write_text(json.dumps(PLAN.to_dict()), encoding="utf-8")
    Path(file).write_text("\n\n".join(map(json.dumps, events)), encoding="utf-8")
    assert main(["replay", plan, file, "--html", page]) == code
    out = capsys.readouterr().out.splitlines()
    assert out[-3].startswith(f"{end}: ")
    runs = itertools.groupby(decisions, key=lambda each: (each.action, each.reason))
    assert len(out) - 3 == sum(action != "none" for (action, _), _ in runs)
    assert Path(page).read_text(encoding="utf-8") == timeline_html(PLAN, events)
    assert main(["replay", plan, plan]) == 2
    assert main(["replay", file, file]) == 2
    assert main(["replay", plan, str(tmp_path / "none")]) == 2
    (tmp_path / "empty").write_text("")
    assert main(["replay", plan, str(tmp_path / "empty")]) == 2


def test_a_drawing_shows_phases_and_evidence_and_escapes_names() -> None:
    events, _ = recorded(PLAN, 0.04)
    page = timeline_html(PLAN, events, subject={"version": "<7>"})
    assert "<slow>" not in page
    assert "&lt;slow&gt;" in page
    assert "&lt;7&gt;" in page
    for phase in ("stage", "rolled-back"):
        assert f'class="phase {phase}"' in page
    part = timeline_html(PLAN, events, page=False)
    assert "<style>" not in part
    assert part.count("polyline") == 5  # the share, and worse and safe of two guardrails
    with pytest.raises(ConfigurationError, match="events"):
        timeline_html(PLAN, [])


def test_a_drawing_of_one_look_and_of_many_is_small() -> None:
    events, _ = recorded(PLAN, 0.01, looks=1)
    assert timeline_html(PLAN, events, page=False).count("<circle") == 6
    quiet = RollbackPlan([0.5], guardrails=[Guardrail("errors")], bake=1e9)
    looks: list[Any] = [{"decide": START + at} for at in range(5_000)]
    assert len(timeline_html(quiet, looks)) < 400_000
