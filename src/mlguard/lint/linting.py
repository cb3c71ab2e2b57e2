"""Linting: from documents to the requirements that they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlguard.lint import read as reading
from mlguard.lint.bar import Bar, bar
from mlguard.lint.findings import Finding, Judgement, LintReport, Rule, State
from mlguard.lint.intent import Fact, ServingIntent
from mlguard.lint.kinds import Given, known
from mlguard.lint.kinds.evidence import beside
from mlguard.lint.nodes import Node
from mlguard.lint.read import Document, Source, read
from mlguard.lint.rules import NOT_JUDGED, looks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlguard.budgets.money import Money
    from mlguard.requirements import Requirements

AT_RUN_TIME = {
    "rollback": "RollbackEngine",
    "drift": "Reference",
    "cost": "CostBudget",
    "latency": "LatencyBudget",
    "errors": "ErrorBudget",
    "performance": "performance.compare",
    "approvals": "approved",
}
"""By requirement, what of mlguard enforces it where no config can."""
_STATES: Mapping[str, State] = {"absent": "unmet", "unknown": "unknown", "present": "met"}


class Told(NamedTuple):
    """What a rule tells of a service."""

    rule: Rule
    intent: ServingIntent
    fact: Fact


def lint(
    source: Source | Iterable[Source],
    requirements: Requirements | None = None,
    *,
    hourly: Money | str | None = None,
) -> LintReport:
    """Judge configs by what is required.

    What belongs together is given together: an autoscaler or a canary that stands in another
    document is found there, and one that is not given is missed.

    Args:
        source: As `read` takes it: a path, a text, a mapping, or several of these.
        requirements: What is required; without them rollback, drift and cost are.
        hourly: What one replica costs for an hour, as "2.50 USD". With it and a cap, what all
            replicas may cost is computed.

    Raises:
        ConfigurationError: An argument is of another kind, or a file is.
        MissingDependencyError: A file is YAML, and PyYAML is not installed.
        OSError: A file cannot be opened.

    Examples:
        >>> report = lint({"replicas": 3, "resources": {"cpu": "500m", "memory": "1Gi"}})
        >>> report.requirements
        {'rollback': 'unmet', 'drift': 'unmet', 'cost': 'unmet'}
        >>> print(report.findings[0].fix.diff({"replicas": 3}))
        @@ -1 +1,2 @@
         replicas: 3
        +rollback_on_error: true
    """
    documents = tuple(read(source))
    wanted = bar(requirements, hourly)
    intents, aside = services(documents, wanted)
    told = list(_told(intents, wanted))
    problems = (each for document in documents for each in document.problems)
    return LintReport(
        judgements=tuple(_judgement(name, told) for name in wanted.names),
        findings=(*problems, *aside, *_findings(told)),
        documents=documents,
        rules=(*reading.RULES, NOT_JUDGED, *(each.rule for each in looks())),
    )


def services(
    documents: Sequence[Document], wanted: Bar
) -> tuple[list[ServingIntent], list[Finding]]:
    """Give the services that documents describe, and what is not judged of them."""
    roots = tuple(root for each in documents for root in _objects(Node.of(each)))
    given = Given.of(roots, wanted)
    kinds = known()
    intents: list[ServingIntent] = []
    aside: list[Finding] = []
    for root in roots:
        kind = next((each for each in kinds if each.recognises(root)), None)
        if kind is None and (root.at("apiVersion").there or root.document.form == "python"):
            continue  # it belongs to others, as a Service does, or is no config
        if kind is None:
            aside.append(Finding(NOT_JUDGED, "", "no kind of config that is known", root.place))
        elif kind.read is None:
            name = root.at("kind").text or kind.name
            aside.append(Finding(NOT_JUDGED, name, f"{name}: not judged yet", root.place))
        else:
            intents += kind.read(root, given)
    return beside(intents, given), aside


def _objects(root: Node) -> Iterator[Node]:
    """Give what stands in a document: itself, or the items of a List of Kubernetes."""
    if root.at("kind").text == "List" and root.at("items").there:
        yield from root.at("items")
    elif root.there:
        yield root


def _told(intents: Sequence[ServingIntent], wanted: Bar) -> Iterator[Told]:
    """Give what the rules tell of each service; what none tells of a requirement is unknown."""
    for name in ("", *wanted.names):
        silent = {id(intent): intent for intent in intents}
        asked = [each for each in looks() if each.rule.requirement == name]
        for each in asked:
            for intent, fact in each.look(intents, wanted):
                silent.pop(id(intent), None)
                yield Told(each.rule, intent, fact)
        if name:
            for intent in silent.values():
                says = f"{intent.kind}: has no place for it; {_enforced(name)}"
                yield Told(asked[0].rule, intent, Fact("unknown", says, intent.place))


def _enforced(name: str) -> str:
    return f"enforce it at run time with mlguard.{AT_RUN_TIME[name]}"


def _judgement(name: str, told: Sequence[Told]) -> Judgement:
    facts = [each.fact for each in told if each.rule.requirement == name]
    if not facts:
        says = f"nothing here that is judged; {_enforced(name)}"
        return Judgement(name, "unknown", says)
    worst = next(
        known for known in ("absent", "unknown", "present") if known in {f.known for f in facts}
    )
    deciding = [each for each in facts if each.known == worst]
    says = "; ".join(dict.fromkeys(each.says for each in deciding))
    places = tuple(dict.fromkeys(each.place for each in deciding))
    return Judgement(name, _STATES[worst], says, places)


def _findings(told: Iterable[Told]) -> Iterator[Finding]:
    """Give a finding for what is absent, and one a file for what a requirement leaves unknown."""
    seen: set[tuple[str, object]] = set()
    for rule, intent, fact in told:
        doubt = fact.known == "unknown"
        if fact.known == "present" or (doubt and not rule.requirement):
            continue
        which = rule.id, (fact.place.file if doubt else fact.place)
        if which not in seen:
            seen.add(which)
            yield Finding(rule, intent.kind, fact.says, fact.place, fact.fix, doubt=doubt)
