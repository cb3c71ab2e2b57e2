"""What the weeks mean, in words: every sentence is made from the reports and the verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data_check import TIMETABLE
from mlguard import Severity

if TYPE_CHECKING:
    from act2.weeks import Week, Weeks

CALENDAR: Final = {
    "1 Jul": "Independence Day",
    "26 Aug": "Labor Day weekend",
    "25 Nov": "Thanksgiving",
    "23 Dec": "Christmas",
}


def stopped(weeks: Weeks) -> list[Week]:
    """Return the weeks that the check stopped."""
    return [week for week in weeks.weeks if week.verdict.severity is Severity.BREACH]


def headline(weeks: Weeks) -> str:
    """Say how many weeks the check stopped."""
    count = len(stopped(weeks))
    return (
        f"{count or 'None'} of {len(weeks.weeks)} weeks {'was' if count == 1 else 'were'} stopped"
    )


def lead(weeks: Weeks) -> str:
    """Say in two sentences what there is to learn."""
    column = weeks.broken.report.columns["distance"]
    found = (
        f"In the week of {weeks.broken.label} the distances arrived in kilometres, and nothing raised: "
        f"the counts show it as a change of {column.effect:.1f} standard deviations, beside "
        f"{weeks.unbroken.report.columns['distance'].effect:.2f} without the error."
    )
    return f"Weather and delays drift with the seasons, which is true. {found}"


def broken(weeks: Weeks) -> str:
    """Say what was found in the broken week."""
    return f"distance: {weeks.broken.report.columns['distance'].reason}."


def harmless(weeks: Weeks) -> str:
    """Say what other eyes would have seen of the broken week."""
    before, after = (each.report.columns["score"].effect for each in (weeks.unbroken, weeks.broken))
    return (
        f"The score would not have told: {before:.2f} sd from the reference without the error, {after:.2f} with it. "
        f"Nor would the labels, when they came: log loss {weeks.losses[0]:.3f} without and {weeks.losses[1]:.3f} with it. "
        "These trees shrug it off. The next model, trained on such weeks, need not."
    )


def seasons(weeks: Weeks) -> str:
    """Say what moves with the seasons."""
    moving = [name for name in weeks.reference.columns if name not in TIMETABLE]
    share = {name: sum(name in week.report.drifted for week in weeks.weeks) for name in moving}
    always = [name for name, count in share.items() if count == len(weeks.weeks)]
    return (
        f"{len(always)} of {len(moving)} columns of weather, delays and score drifted in every week. This is no false alarm: "
        "half a year is not a year, it has neither high summer nor autumn. "
        "So that is drawn and not judged; with a second year, the same season would be the reference."
    )


def timetable(weeks: Weeks) -> str:
    """Say what moved in the timetable."""
    moved = []
    for week in weeks.weeks:
        names = [name for name in week.report.drifted if name in TIMETABLE]
        if names and week is not weeks.broken:
            day = f" ({CALENDAR[week.label]})" if week.label in CALENDAR else ""
            moved.append(f"{week.label}{day}: {', '.join(names)}")
    return f"The timetable moved past the tolerance, which is a warning, in {len(moved)} weeks: {'; '.join(moved)}."
