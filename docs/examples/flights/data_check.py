"""The data check: is what arrives still what the model was trained on?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlguard import at_most, guard, worst

if TYPE_CHECKING:
    from mlguard import Check
    from mlguard.drift import DriftReport

TIMETABLE: Final = ("hour", "weekday", "carrier", "origin", "distance")
NEW_MISSING: Final = 0.05


def data_check(report: DriftReport) -> Check:
    """Return the check that every week's data has to pass.

    The timetable has no season that half a year does not show, so no column of it may move far. The
    weather, the delays and the score do move with the seasons: they are drawn, and not judged here.
    """
    return worst(
        "data",
        worst("timetable as it was", *(report.columns[name].verdict() for name in TIMETABLE)),
        guard(report.quality.missing_change, at_most(NEW_MISSING), name="nothing went missing"),
        guard(report.quality.schema_changes, at_most(0), name="columns as they were"),
    )
