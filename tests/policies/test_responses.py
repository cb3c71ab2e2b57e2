"""A response says what to do, when it is due and what may hold it back; bad input is named."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any, cast

import numpy as np
import pytest

from mlguard import Action, ConfigurationError, Response, Severity, Verdict
from mlguard.policies.persistence import Persistence
from mlguard.testing import ScriptedCheck

OK, UNKNOWN, WARN, BREACH = Severity.OK, Severity.UNKNOWN, Severity.WARN, Severity.BREACH


def make(**arguments: Any) -> Response:
    return Response(**{"action": Action.ALERT, "when": "drift", **arguments})


def verdict(name: str, severity: Severity, **ends: Severity) -> Verdict:
    return Verdict(name, severity, "r", at=7.0, low=ends.get("low"), high=ends.get("high"))


# ---------------------------------------------------------------- reading


def test_the_defaults() -> None:
    assert make().to_dict() == {
        "name": "alert",
        "action": "alert",
        "when": {"drift": "BREACH"},
        "k": 1,
        "of": 1,
        "every": None,
        "for_": 0.0,
        "keep": 0.0,
        "cooldown": 0.0,
        "at_most": None,
        "needs": [],
        "unless": [],
        "unknown": "keep",
    }


def test_all_arguments() -> None:
    response = Response(
        "page-the-vendor",
        when={"drift": "WARN", "recall": BREACH},
        for_=3,
        of=5,
        every=timedelta(minutes=1),
        keep=timedelta(hours=1),
        cooldown=timedelta(days=7),
        at_most=(2, timedelta(days=30)),
        needs=[ScriptedCheck("OK", name="labels")],
        unless=["rollback"],
        unknown="fire",
        name="vendor",
    )
    assert response.to_dict() == json.loads(json.dumps(response.to_dict())) == {
        "name": "vendor",
        "action": "page-the-vendor",
        "when": {"drift": "WARN", "recall": "BREACH"},
        "k": 3,
        "of": 5,
        "every": 60.0,
        "for_": 0.0,
        "keep": 3600.0,
        "cooldown": 604_800.0,
        "at_most": [2, 2_592_000.0],
        "needs": ["labels"],
        "unless": ["rollback"],
        "unknown": "fire",
    }  # fmt: skip
    assert repr(response) == (
        "<Response vendor: page-the-vendor when drift is WARN and recall is BREACH in 3 of 5>"
    )


@pytest.mark.parametrize(
    ("for_", "terms"),
    [
        (3, Persistence(3, 3)),
        (3.0, Persistence(for_=3.0)),
        (0.0, Persistence()),
        (timedelta(seconds=3), Persistence(for_=3.0)),
        (timedelta(0), Persistence()),
        (np.int64(3), Persistence(3, 3)),
        (np.float64(3), Persistence(for_=3.0)),
    ],
    ids=lambda each: f"{type(each).__name__} {each!r}",
)
def test_a_whole_number_is_of_evaluations_and_a_float_of_seconds(
    for_: Any, terms: Persistence
) -> None:
    assert make(for_=for_).terms == terms


@pytest.mark.parametrize("action", ["RETRAIN", "retrain", Action.RETRAIN], ids=repr)
def test_an_action_by_its_name(action: str) -> None:
    assert make(action=action).action is Action.RETRAIN
    assert make(action=action).name == "retrain"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        cast("Any", make()).cooldown = 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": ""}, r"^action = ''"),
        ({"action": None}, r"^action = None"),
        ({"action": Action.NONE}, r"^action = "),
        ({"action": "resolve"}, r"^action = 'resolve'.*follows an ALERT"),
        ({"when": ""}, r"^when = ''"),
        ({"when": []}, r"^when = \[\]"),
        ({"when": {}}, r"^when = \{\}"),
        ({"when": None}, r"^when = None"),
        ({"when": 7}, r"^when = 7"),
        ({"when": [7]}, r"^when = 7"),
        ({"when": {"drift": "bad"}}, r"^when = 'bad'"),
        ({"when": {"drift": OK}}, r"^when = "),
        ({"severity": "breach"}, r"^severity = 'breach'"),
        ({"severity": "OK"}, r"^severity = 'OK': must be WARN, BREACH or UNKNOWN"),
        ({"severity": 3}, r"^severity = 3"),
        ({"for_": 0}, r"^for_ = 0"),
        ({"for_": -1}, r"^for_ = -1"),
        ({"for_": -1.0}, r"^for_ = -1.0"),
        ({"for_": math.nan}, r"^for_ = nan"),
        ({"for_": math.inf}, r"^for_ = inf"),
        ({"for_": "3"}, r"^for_ = '3'"),
        ({"for_": True}, r"^for_ = True"),
        ({"for_": None}, r"^for_ = None"),
        ({"for_": 3, "of": 2}, r"^of = 2"),
        ({"for_": 3.0, "of": 5}, r"^of = 5: must be given with for_ as a whole number"),
        ({"every": 0}, r"^every = 0"),
        ({"keep": -1}, r"^keep = -1"),
        ({"cooldown": -1}, r"^cooldown = -1"),
        ({"cooldown": None}, r"^cooldown = None"),
        ({"cooldown": math.inf}, r"^cooldown = inf"),
        ({"at_most": 3}, r"^at_most = 3: must be a number and a period"),
        ({"at_most": (1, 2, 3)}, r"^at_most = \(1, 2, 3\)"),
        ({"at_most": (0, 60.0)}, r"^at_most = 0"),
        ({"at_most": (1.5, 60.0)}, r"^at_most = 1.5"),
        ({"at_most": (1, 0)}, r"^at_most = 0"),
        ({"needs": [7]}, r"^check = 7"),
        ({"needs": None}, r"^needs = None"),
        ({"needs": ScriptedCheck("OK")}, r"^needs = "),
        ({"unless": "rollback"}, r"^unless = 'rollback'"),
        ({"unless": [7]}, r"^unless = 7"),
        ({"unless": None}, r"^unless = None"),
        ({"unknown": "own"}, r"^unknown = 'own'"),
        ({"unknown": []}, r"^unknown = \[\]"),
        ({"name": " "}, r"^name = ' '"),
        ({"name": 7}, r"^name = 7"),
    ],
    ids=lambda each: None if isinstance(each, str) else re.sub(r"<.*>", "a check", repr(each)),
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(**arguments)


# ---------------------------------------------------------------- its condition


@pytest.mark.parametrize(
    ("needed", "of_verdict", "expected"),
    [
        ("BREACH", verdict("drift", BREACH), True),
        ("BREACH", verdict("drift", WARN), False),
        ("BREACH", verdict("drift", WARN, low=WARN, high=BREACH), None),
        ("BREACH", verdict("drift", UNKNOWN), None),
        ("BREACH", verdict("drift", UNKNOWN, low=OK, high=WARN), False),
        ("BREACH", verdict("drift", OK), False),
        ("WARN", verdict("drift", BREACH), True),
        ("WARN", verdict("drift", WARN, low=WARN, high=BREACH), True),
        ("WARN", verdict("drift", UNKNOWN, low=OK, high=WARN), None),
        ("WARN", verdict("drift", OK), False),
        ("UNKNOWN", verdict("drift", UNKNOWN), True),
        ("UNKNOWN", verdict("drift", UNKNOWN, low=OK, high=WARN), True),
        ("UNKNOWN", verdict("drift", WARN, low=WARN, high=BREACH), False),
        ("UNKNOWN", verdict("drift", BREACH), False),
        ("UNKNOWN", verdict("drift", OK), False),
        ("BREACH", verdict("another", BREACH), None),
    ],
)  # fmt: skip
def test_how_bad_is_bad_enough(needed: str, of_verdict: Verdict, expected: object) -> None:
    given = {of_verdict.name: of_verdict}
    assert make(severity=needed).answer(given)[0] is expected
    assert make(severity=needed, unknown="fire").answer(given)[0] is (expected is not False)
    assert make(severity=needed, unknown="resolve").answer(given)[0] is (expected is True)


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("BB", True), ("BO", False), ("BU", None), ("UO", False), ("UU", None), ("B-", None), ("O-", False), ("--", None)],
)  # fmt: skip
def test_all_must_be_bad(letters: str, expected: object) -> None:
    severities = {each.name[0]: each for each in Severity}
    given = {
        name: verdict(name, severities[letter])
        for name, letter in zip(("a", "b"), letters, strict=True)
        if letter != "-"
    }
    assert make(when=["a", "b"]).answer(given)[0] is expected
    assert make(when=["b", "a"]).answer(given)[0] is expected


def test_its_time_is_that_of_the_newest_verdict() -> None:
    two = make(when=["a", "b"])
    at: Callable[[str, float | None], Verdict] = lambda name, when: Verdict(name, BREACH, "r", at=when)  # noqa: E731 -- short  # fmt: skip
    assert two.answer({"a": at("a", 3.0), "b": at("b", 9.0)}) == (True, 9.0)
    assert two.answer({"a": at("a", 3.0), "b": at("b", None)}) == (True, 3.0)
    assert two.answer({"a": at("a", None), "b": at("b", None)}) == (True, None)
