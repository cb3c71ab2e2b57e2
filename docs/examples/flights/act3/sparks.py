"""What changed over time, as rows of characters: the higher, the worse."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.text import Text

from act3 import words
from terminal import MARK, STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from act3.moments import Moment, Served
    from mlguard import Verdict

BARS: Final = "▁▂▃▄▅▆▇█"
A_MINUTE: Final = 2
"""Characters."""


class Sparks:
    """Rows of characters, each of which stands for half a minute and shows the worst of it."""

    __slots__ = ("_columns", "_served")

    def __init__(self, served: Served) -> None:
        self._served = served
        self._columns = [list(group) for _, group in groupby(served.moments, key=_column)]

    def ruler(self) -> list[list[str | Text]]:
        """Return the rows that say which minute it is and what is wrong in it."""
        minutes = wrong = ""
        start = 0
        for phase in self._served.phases:
            width = A_MINUTE * phase.minutes
            minutes += f"{start}".ljust(width)
            wrong += words.short(phase).ljust(width)
            start += phase.minutes
        return [["minute", "", Text(minutes, "dim"), ""], ["", "", Text(wrong, "yellow"), ""]]

    def quantile(self, name: str) -> tuple[Text, str]:
        """Return a quantile of the latency over time, and its highest value."""
        every = [each.seconds(other) for each in self._served.moments for other in words.limits()]
        columns = [
            [(each.seconds(name), each.quantiles[name]) for each in column]
            for column in self._columns
        ]
        most = max(value for column in columns for value, _ in column)
        return _bars(columns, min(every), max(every)), words.seconds(most)

    def burn(self, place: int) -> tuple[Text, str]:
        """Return a burn rate over time, and its highest value."""
        every = [rate for each in self._served.moments for rate in each.burn]
        columns = [[(each.burn[place], each.alert) for each in column] for column in self._columns]
        most = max(value for column in columns for value, _ in column)
        return _bars(columns, words.LEAST_BURN, max(every)), f"{most:.0f}"

    def verdicts(self, part: str) -> Text:
        """Return how a part of the verdict went."""
        worst = [max(each.parts[part].severity for each in column) for column in self._columns]
        return Text.assemble(*(MARK[severity] for severity in worst))


def _column(moment: Moment) -> int:
    return math.ceil(moment.at * A_MINUTE / 60)


def _bars(columns: Sequence[Sequence[tuple[float, Verdict]]], low: float, high: float) -> Text:
    found = Text()
    for column in columns:
        value = max(value for value, _ in column)
        share = math.log(max(value, low) / low) / math.log(high / low)
        worst = max(verdict.severity for _, verdict in column)
        _, colour = STYLE[worst]
        found.append(BARS[round(share * (len(BARS) - 1))], colour)
    return found
