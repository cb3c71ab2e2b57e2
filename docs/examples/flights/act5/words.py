"""What the autumn means, in words: every sentence is made from the measurements and the verdicts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlguard import Severity, Verdict
from truth import MADE_LATE

if TYPE_CHECKING:
    from act5.weeks import Autumn
    from mlguard import Measurement


def headline(autumn: Autumn) -> str:
    """Say what the truth saw, and the estimate did not."""
    found = autumn.found
    if found.by_estimate.severity is Severity.BREACH:
        return f"On {day(found.at)} both the labels and the estimate called the model worse"
    return f"On {day(found.at)} the labels called the model worse, and the estimate called it good"


def lead(autumn: Autumn) -> str:
    """Say in a few sentences what there is to learn."""
    return (
        "The scores of a week tell at once what the model is probably worth, and the labels tell it three weeks after its end. "
        f"From {day(autumn.changed)} on we made {MADE_LATE:.0%} of the punctual flights late, whatever their score: a change of what the scores mean. "
        "No estimate from scores can see that, and this one did not. The labels did, as soon as they may be trusted."
    )


def unseen(autumn: Autumn) -> str:
    """Say what the estimate said on the Monday that the labels told."""
    found = autumn.found
    later = [each for each in autumn.mondays if each.at > autumn.changed]
    calm = sum(each.by_estimate.severity is not Severity.BREACH for each in later)
    return (
        f"Estimated {share(found.estimated)} for the week before, {_change(autumn, found.estimated)} the summer. The scores look as ever, "
        f"and that is all that an estimate has: on {calm} of the {len(later)} Mondays after the change it called nothing a breach."
    )


def seen(autumn: Autumn) -> str:
    """Say what the labels told."""
    found = autumn.found
    realised = found.realised
    then = autumn.estimates[realised.details["since"]][0]
    return (
        f"The labels of the week of {day(realised.details['since'])} are in: {share(realised)}, and {share(then)} had been estimated. "
        "At the same scores more flights were late than in summer: concept drift."
    )


def running_ahead(autumn: Autumn) -> str:
    """Say how far the estimate is ahead of the truth."""
    last = autumn.mondays[-1]
    return (
        f"Asked on {day(last.at)}, the estimate reaches the week that ended that day, the labels the week of {day(last.realised.details['since'])}. "
        "A dot stands for a week whose labels have come, with its interval; the blue line for what had been said of it before, with its band."
    )


def early(autumn: Autumn) -> str:
    """Say what the labels showed before the change."""
    truth = {each.details["since"]: each for each in autumn.outcomes.by_cohort()}
    before = [at for at in truth if at < autumn.changed]
    gaps = [truth[at].value - autumn.estimates[at][0].value for at in before]
    return (
        f"Before the change the labels part from the estimate too, the other way: by {min(gaps):.3f} to {max(gaps):.3f}. That is true and not made by us: "
        "September and October were more punctual than summer at the same scores. The check does not mind, because it asks for “not worse”."
    )


def airports(autumn: Autumn) -> str:
    """Say which airports the labels called worse on the Monday that told."""
    compared, _ = autumn.found.by_labels.causes
    worse = [
        each
        for each in (compared.causes if isinstance(compared, Verdict) else ())
        if isinstance(each, Verdict) and "[" in each.name and each.severity is Severity.BREACH
    ]
    names = ", ".join(each.name.partition("=")[2].partition("]")[0] for each in worse)
    return f"By airport, with intervals that hold for all three together: worse at {names or 'none of them'}."


def _change(autumn: Autumn, measurement: Measurement) -> str:
    change = measurement.value - autumn.estimate.reference["accuracy"][0].value
    return f"{abs(change):.3f} {'above' if change > 0 else 'below'}"


def share(measurement: Measurement) -> str:
    """Write a share with its interval."""
    if measurement.low is None or measurement.high is None:
        return "–"
    return f"{measurement.value:.3f} ({measurement.low:.3f} to {measurement.high:.3f})"


def day(at: float) -> str:
    """Write a date."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%b}"
