"""Documents say what the records say, mark what only a person can write, and pass nothing through as markup."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import (
    Action,
    ConfigurationError,
    Measurement,
    Response,
    ResponsePolicy,
    Severity,
    Verdict,
    approved,
    measured,
    model_card,
    runbook,
)
from mlguard.governance.pages import Command, Document, Human, Table, Warned

CARD: dict[str, Any] = {"at": 1.9e9, "digests": {"model": "sha256:5e", "reference": "json:0c"}}
POLICY = ResponsePolicy(
    Response(Action.ALERT, when="drift", for_=3),
    Response("page", when="errors", for_=2, of=5),
    Response(
        Action.RETRAIN,
        when=["drift", "performance"],
        for_=3600.0,
        cooldown=7 * 86_400.0,
        at_most=(2, 30 * 86_400.0),
        unless=["page"],
        needs=[Verdict("labels", Severity.OK, "5,000 new ones")],
    ),
)


def section(document: str, title: str) -> str:
    return document.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0].strip("\n")


def test_what_only_a_person_can_write_is_marked_and_what_is_not_on_record_is_said() -> None:
    card, book = model_card("eta 7", **CARD), runbook("eta", **CARD)
    for title in ("What it is for", "Limits", "Who answers for it"):
        assert section(card, title).startswith("> **To be written by a person:** ")
    for title in ("Performance", "Performance by slice", "What is done about drift", "Approvals"):
        assert section(card, title) == "None is on record."
    assert section(book, "Roll back") == (
        "> **To be written by a person:** the command that rolls back\n\n"
        "Last drill: None is on record."
    )
    assert section(book, "Alarms") == section(book, "Budgets") == "None is on record."
    assert "To be written" not in model_card("e", **CARD, purpose="p", limits="l", owner="o")


def test_a_blank_text_is_none() -> None:
    assert "To be written by a person" in section(model_card("e", **CARD, limits=" \n"), "Limits")
    assert "To be written by a person" in section(runbook("e", **CARD, rollback=" "), "Roll back")


def test_the_same_arguments_give_the_same_document() -> None:
    one, two = (
        model_card("eta 7", **{**CARD, "at": at}, metrics=[measured("auc", 0.7)], responses=POLICY)
        for at in (1.9e9, datetime.fromtimestamp(1.9e9, UTC))
    )
    assert one == two
    assert one.to_html() == two.to_html()


def test_metrics_stand_with_their_intervals_overall_and_by_slice() -> None:
    overall = Measurement("auc", 0.741, n=5_000, low=0.72, high=0.76, confidence=0.95)
    ewr = Measurement("auc[origin=EWR]", 0.7, n=900, low=0.6, high=0.8, details={"slice": "EWR"})
    nothing = measured("p99", None, unit="s")
    card = model_card("eta 7", **CARD, metrics=[lambda: [overall, ewr], nothing])
    assert section(card, "Performance").splitlines()[2:] == [
        "| auc | 0.741 | 0.72 to 0.76 (95 %) | 5,000 |",
        "| p99 | not a number | – | – |",
    ]
    assert section(card, "Performance by slice").splitlines()[2:] == [
        "| auc\\[origin=EWR] | 0.7 | 0.6 to 0.8 | 900 |"
    ]


def test_the_policy_stands_in_words_with_its_digest() -> None:
    lines = section(model_card("eta 7", **CARD, responses=POLICY), "What is done about drift")
    assert lines.splitlines()[2:] == [
        "| alert | alert | drift is BREACH, 3 times in a row | – |",
        "| page | page | errors is BREACH, 2 of 5 times | – |",
        "| retrain | retrain | drift and performance are BREACH, for 1 h | at least 7 d apart; at most 2 in 30 d; needs labels; not while page fires |",
        "",
        f"Digest of the policy: {POLICY.digest}",
    ]


def test_every_alarm_of_the_policy_is_there_and_those_of_others_too() -> None:
    book = runbook(
        "e", **CARD, responses=POLICY, alarms={"page": ("m", ""), "disk": ("full", "df")}
    )
    wanted = "(to be written by a person)"
    assert section(book, "Alarms").splitlines()[2:] == [
        f"| alert | drift is BREACH, 3 times in a row | {wanted} | {wanted} |",
        f"| page | errors is BREACH, 2 of 5 times | m | {wanted} |",
        f"| retrain | drift and performance are BREACH, for 1 h | {wanted} | {wanted} |",
        "| disk | – | full | df |",
    ]


def test_a_command_stands_word_for_word() -> None:
    command = "kubectl rollout undo deployment/eta\necho `date` | tee *_log_ <log"
    book = runbook("eta", **CARD, rollback=command, drilled=1.8e9)
    assert section(book, "Roll back") == (
        "    kubectl rollout undo deployment/eta\n    echo `date` | tee *_log_ <log\n\n"
        "Last drill: 2027-01-15T08:00:00Z."
    )


def test_approvals_and_budgets_are_asked_and_one_that_crashes_says_so(world: Any) -> None:
    approvals = world.approvals()
    check = approved(world.approved(approvals), approvals)

    def lost() -> Verdict:
        raise ConnectionError("no route")

    card = model_card("eta 7", **CARD, approvals=[check, lost])
    rows = section(card, "Approvals").splitlines()[2:]
    assert rows[0].startswith("| approval of deploy | production, sha256:5e | OK | approve by ada")
    assert rows[1] == "| lost | – | UNKNOWN | crashed: ConnectionError: no route |"
    assert rows[1] in runbook("eta", **CARD, budgets=[lost])


@pytest.mark.parametrize(
    ("found", "since", "says"),
    [
        (None, None, None),
        ({}, None, None),
        ({"model": "sha256:5e"}, 1.9e9, None),
        ({"model": "sha256:77"}, None, "Stale: model is sha256:77 now, and this was written for"),
        ({"reference": "json:0d"}, 1.9e9, "Stale since 2030-03-17T17:46:40Z: reference is json:0d"),
    ],
)
def test_it_is_stale_exactly_where_a_digest_moved(found: Any, since: Any, says: str | None) -> None:
    for document in (
        model_card("eta 7", **CARD, found=found, since=since),
        runbook("eta", **CARD, found=found, since=since),
    ):
        assert ("Stale" in document) is (says is not None)
        assert f"\n\n> **{says or ''}" in document or says is None
        assert ("Stale" in document.to_html()) is (says is not None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"digests": {}}, "digests = {}"),
        ({"digests": "sha256:5e"}, "digests = 'sha256:5e'"),
        ({"digests": {"model": "version 7"}}, "digests['model'] = 'version 7'"),
        ({"found": {"weights": "sha256:5e"}}, "found = ['weights']"),
        ({"found": {"model": None}}, "found['model'] = None"),
        ({"at": None}, "at = None"),
        ({"at": datetime(2030, 1, 1)}, "at = "),  # noqa: DTZ001 -- that is the mistake
        ({"responses": [POLICY]}, "responses = "),
        ({"name": ""}, "name = ''"),
    ],
)
def test_bad_input_is_refused(wrong: dict[str, Any], says: str) -> None:
    for write in (model_card, runbook):
        with pytest.raises(ConfigurationError) as refused:
            write(**{"name": "eta", **CARD, **wrong})
        assert says in str(refused.value)
    with pytest.raises(ConfigurationError, match=r"alarms\['p99'\] = 'slow'"):
        runbook("eta", **CARD, alarms={"p99": "slow"})  # type: ignore[dict-item]
    with pytest.raises(ConfigurationError, match="check = 7"):
        model_card("eta", **CARD, approvals=[7])  # type: ignore[list-item]


def test_a_document_is_a_string_that_can_be_copied_and_saved() -> None:
    card = model_card("eta 7", **CARD, metrics=[measured("auc", 0.7)])
    assert isinstance(card, str)
    for twin in (copy.deepcopy(card), pickle.loads(pickle.dumps(card))):  # noqa: S301 -- our own
        assert twin == card
        assert twin.to_html() == card.to_html()
    assert card.endswith("\n")
    assert card.to_html().startswith("<!doctype html>")
    assert card._repr_html_() in card.to_html()


class Words(HTMLParser):
    """Collects the tags of a page, and what stands between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 -- the parser's signature
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def everywhere(text: str) -> Document:
    table = Table(["a", "b"], [[text, "c"]])
    return Document(text, [("", [Warned(text)]), (text, [Human(text, "w"), table, Command(text)])])


TAGS = Words(everywhere("word").to_html()).tags


@given(st.text(min_size=1).filter(str.strip))
def test_no_text_becomes_a_tag_or_another_cell(text: str) -> None:
    document = everywhere(text)
    assert [tag for tag in Words(document.to_html()).tags if tag != "p"] == [
        tag for tag in TAGS if tag != "p"
    ]
    head = next(line for line in document.split("\n") if line == "| a | b |")
    row = document.split("\n")[document.split("\n").index(head) + 2]
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 3
    outside = [line for line in document.split("\n") if not line.startswith("    ")]
    assert not [line for line in outside if "<" in line]
    assert len([line for line in outside if line.startswith("#")]) == 2


@pytest.mark.parametrize(
    "text", ["<b>bold</b>", "<script>alert(1)</script>", "</td></table><i>", "&lt;b>"]
)
def test_markup_in_a_text_stays_text(text: str) -> None:
    page = Words(everywhere(text).to_html())
    assert page.tags == TAGS
    assert "".join(page.words).count(text) == 7  # title, two heads, warning, words, cell, command
    assert "<b" not in everywhere(text).replace("    <b", "")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("roc_auc", "roc_auc"),
        ("_loud_ *loud* `code`", "\\_loud\\_ \\*loud\\* \\`code\\`"),
        ("[here](https://x)", "\\[here](https://x)"),
        ("<script>&amp;", "&lt;script>&amp;amp;"),
        ("# no heading", "\\# no heading"),
        ("- no item", "\\- no item"),
        ("1. no item", "1\\. no item"),
        ("> no quote", "\\> no quote"),
        ("-5 degrees", "-5 degrees"),
        ("one\n\ntwo\nlines", "one\n\ntwo lines"),
    ],
)
def test_a_text_is_shown_as_it_is(text: str, written: str) -> None:
    assert section(Document("t", [("s", [text])]), "s") == written
