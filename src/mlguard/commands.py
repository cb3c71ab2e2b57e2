"""The commands `simulate`, what an alert would do, `replay`, of a rollout, and `lint`, of configs.

Those of the governance are added to them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal
from mlguard.clocks import unix_clock
from mlguard.governance import commands as governance
from mlguard.policies.ladder import ResponsePolicy
from mlguard.policies.responses import Response
from mlguard.policies.thresholds import at_least, at_most
from mlguard.records import iso
from mlguard.values import Action, Measurement, Severity

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mlguard.lint.findings import LintReport

_DAY = 86_400.0
_FORMATS = "text", "json", "sarif", "github", "markdown", "baseline"


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "simulate",
        help="what would an alert on this history do? false alarms, missed drifts, delays",
        description="Reads what was measured while nothing was wrong, the oldest first, and prints "
        "what an alert on it would do: quiet, and with a shift put in, at once and growing.",
    )
    parser.add_argument(
        "file", help="a number or a Measurement.to_dict() on each line, or - for standard input"
    )
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--at-most", type=float, metavar="LIMIT", help="alert above this")
    side.add_argument("--at-least", type=float, metavar="LIMIT", help="alert below this")
    parser.add_argument("--shift", type=float, required=True, help="the drift: added to each value")
    parser.add_argument(
        "--for", dest="for_", type=int, default=3, help="bad evaluations (%(default)s)"
    )
    parser.add_argument("--of", type=int, help="among the last so many; in a row when not given")
    parser.add_argument(
        "--every", type=float, default=_DAY, help="seconds between two (%(default)g)"
    )
    parser.add_argument(
        "--block", type=int, default=7, help="evaluations that stay together (%(default)s)"
    )
    parser.add_argument(
        "--cycle", type=int, default=7, help="after which a pattern repeats, or 0 (%(default)s)"
    )
    parser.add_argument("--years", type=float, default=50.0, help="quiet years (%(default)g)")
    again = commands.add_parser(
        "replay",
        help="what would this plan have done? the decisions of a recorded rollout",
        description="Prints the decisions that a plan takes on recorded events, and where it ends.",
        epilog="exit codes: 0 promoted, 1 rolled back or aborted, 2 usage, 3 undecided",
    )
    again.add_argument("plan", help="JSON that RollbackPlan.to_dict() gave")
    again.add_argument(
        "file",
        help="what the journal of a RollbackEngine took, a line each, or - for standard input",
    )
    again.add_argument("--html", metavar="FILE", help="draw it there")
    _add_lint(commands)
    governance.add_to(commands)


def _add_lint(commands: Any) -> None:
    parser = commands.add_parser(
        "lint",
        help="do these configs meet the requirements? which guardrails do they lack?",
        description="Reads configs of deployments, never runs them, and says of each requirement "
        "whether it is met there.",
        epilog="exit codes: 0 nothing unmet, 1 a requirement unmet or an error found and not "
        "accepted, 2 usage, 3 a file does not read or nothing could be judged",
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a file (YAML, JSON, Python) or a folder of them"
    )
    parser.add_argument(
        "--requirements", metavar="FILE", help="what must hold; rollback, drift and cost without"
    )
    parser.add_argument(
        "--hourly", metavar="PRICE", help='of one replica, as "2.50 USD": all of them meet the cap?'
    )
    parser.add_argument("--format", choices=_FORMATS, default="text", help="(%(default)s)")
    parser.add_argument(
        "--baseline", metavar="FILE", help="what `--format baseline` gave: only new findings count"
    )
    parser.add_argument("--waivers", metavar="FILE", help="who accepts what, why and until when")


def table(given: argparse.Namespace) -> str:
    """Give the table.

    Raises:
        ConfigurationError: The history or an argument does not fit.
    """
    from mlguard.policies.simulate import Drift, simulate  # noqa: PLC0415 -- it is slow to import

    text = sys.stdin.read() if given.file == "-" else Path(given.file).read_text(encoding="utf-8")
    lines = enumerate(text.splitlines(), start=1)
    history = [_read(number, line) for number, line in lines if line.strip()]
    judge = at_most(given.at_most) if given.at_least is None else at_least(given.at_least)

    def shifted(before: Measurement, strength: float) -> Measurement:
        return Measurement(before.name, before.value + given.shift * strength, n=before.n)

    effects = {"history": shifted}
    found = simulate(
        ResponsePolicy(Response(Action.ALERT, when="history", for_=given.for_, of=given.of)),
        {"history": history},
        judges={"history": judge},
        drifts={"at once": Drift(effects), "growing": Drift(effects, "gradual")},
        every=given.every,
        years=given.years,
        block=given.block,
        cycle=given.cycle or None,
        progress=_progress if sys.stderr.isatty() else None,
    )
    return str(found)


def rollout(given: argparse.Namespace) -> tuple[str, str]:
    """Give what a plan decides on recorded events, in words, and the phase that it ends in.

    Raises:
        ConfigurationError: The plan or an event does not fit.
    """
    from mlguard.rollout import RollbackPlan, timeline_html  # noqa: PLC0415 -- slow to import
    from mlguard.rollout.replay import course  # noqa: PLC0415

    plan = RollbackPlan.from_dict(json.loads(Path(given.plan).read_text(encoding="utf-8")))
    text = sys.stdin.read() if given.file == "-" else Path(given.file).read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines() if line.strip()]
    lines: list[str] = []
    before = ""
    engine = None
    for engine, decision in course(plan, events, {}):  # noqa: B007 -- the last is read below
        told = f"{decision.action}: {decision.reason}"
        if decision.action is not Action.NONE and told != before:
            lines.append(f"{iso(decision.at or 0.0)} {told}")
        before = told
    if engine is None:
        raise refusal("file", given.file, "events with at least one decide")
    if given.html is not None:
        Path(given.html).write_text(timeline_html(plan, events), encoding="utf-8")
    return "\n".join([*lines, engine.explain()]), engine.phase


def linted(given: argparse.Namespace) -> tuple[str, Severity]:
    """Give what to print, and how bad it is.

    Raises:
        ConfigurationError: A file among the arguments is not usable.
        MissingDependencyError: A file is YAML, and PyYAML is not installed.
        OSError: A file cannot be opened.
    """
    from mlguard.lint import lint  # noqa: PLC0415 -- slow to import
    from mlguard.lint.baseline import known  # noqa: PLC0415
    from mlguard.lint.waivers import read_waivers, waive  # noqa: PLC0415
    from mlguard.requirements import Requirements  # noqa: PLC0415

    wanted = None if given.requirements is None else Requirements.load(given.requirements)
    waivers = [] if given.waivers is None else read_waivers(given.waivers)
    report = waive(lint(given.paths, wanted, hourly=given.hourly), waivers, now=unix_clock()())
    if given.baseline is not None:
        report = known(report, _record(given.baseline))
    return _formatted(report, given.format), report.severity


def _record(file: str) -> dict[str, Any]:
    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise refusal("baseline", file, f"JSON: {error}") from None
    if not isinstance(record, dict):
        raise refusal("baseline", file, "what `--format baseline` gave")
    return record


def _formatted(report: LintReport, form: str) -> str:
    from mlguard.lint.baseline import baseline  # noqa: PLC0415 -- slow to import
    from mlguard.lint.findings import LintReport  # noqa: PLC0415
    from mlguard.lint.pages import github, markdown  # noqa: PLC0415

    texts: dict[str, Callable[[LintReport], str]] = {
        "text": str,
        "github": github,
        "markdown": markdown,
    }
    if form in texts:
        return texts[form](report)
    records = {"json": LintReport.to_dict, "sarif": LintReport.to_sarif, "baseline": baseline}
    return json.dumps(records[form](report), indent=1, ensure_ascii=False)


def _read(number: int, line: str) -> Measurement:
    try:
        value = json.loads(line)
        if isinstance(value, dict):
            return Measurement.from_dict(value)
        return Measurement("history", value)
    except ValueError as error:
        raise refusal(f"line {number}", line, f"a number or a measurement: {error}") from None


def _progress(done: int, total: int) -> None:
    width = 30 * done // total
    end = "\n" if done == total else ""
    print(
        f"\r[{'#' * width}{'.' * (30 - width)}] {done} of {total} paths", end=end, file=sys.stderr
    )
