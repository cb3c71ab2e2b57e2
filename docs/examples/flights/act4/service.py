"""The service: it answers with the chance that a flight is late, and has explained in words why where that is likely."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from data import AIRPORTS, airlines

if TYPE_CHECKING:
    import pandas as pd

LIKELY: Final = 0.5
"""The chance of being late from which on an answer is explained."""
CHARACTERS: Final = 4
"""Of one token, about."""
INSTRUCTION: Final = (
    "You write for passengers. In at most four short sentences, say how likely it is that the flight leaves more than 15 minutes "
    "late, and what speaks for it. Use nothing but the facts below. Promise nothing. Give no advice on rebooking."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets, and what the writer says it took to write it."""

    chance: float
    text: str = ""
    usage: Mapping[str, int] | None = None


Service: TypeAlias = Callable[[str, int], Answer]


def service(flights: pd.DataFrame) -> Service:
    """Return the service, a function of the client who asks and the flight asked about.

    The flights come with the model's `chance` of being late, an hour ahead.
    """
    rows, names = flights.to_dict("records"), airlines()

    def answer(client: str, flight: int) -> Answer:  # noqa: ARG001 -- who asks is for the meter
        row = rows[flight]
        if row["chance"] < LIKELY:
            return Answer(row["chance"])
        facts = _facts(row, names[row["carrier"]])
        prompt = "\n".join([INSTRUCTION, *(f"{name}: {value}" for name, value in facts.items())])
        text = _write(facts)
        usage = {"prompt_tokens": _tokens(prompt), "completion_tokens": _tokens(text)}
        return Answer(row["chance"], text, usage)

    return answer


def _facts(row: Mapping[Hashable, Any], airline: str) -> dict[str, str]:
    """Return what the model read of a flight, but for what is missing."""
    found = {
        "chance": _share(row["chance"]),
        "airport": AIRPORTS[row["origin"]],
        "late there in the last hour": _share(row["airport_late_1h"]),
        "airline": airline,
        "late of the airline in three hours": _share(row["carrier_late_3h"]),
        "miles of visibility": f"{row['visib']:g}",
        "wind in mph": f"{row['wind_speed']:.0f}",
    }
    return {name: value for name, value in found.items() if value != "nan"}


def _write(facts: Mapping[str, str]) -> str:
    """Stand in for a language model: it needs no network, and always writes the same."""
    airport, airline = facts["airport"], facts["airline"]
    found = [f"With a chance of {facts['chance']} this flight leaves more than 15 minutes late."]
    if hour := facts.get("late there in the last hour"):
        found.append(f"At {airport} {hour} of the flights of the last hour were that late.")
    if three := facts.get("late of the airline in three hours"):
        found.append(f"Of those of {airline} there it was {three} in three hours.")
    if miles := facts.get("miles of visibility"):
        wind = facts.get("wind in mph", "an unknown number of")
        found.append(f"One can see {miles} miles far, in a wind of {wind} mph.")
    return " ".join(found)


def _share(value: float) -> str:
    return "nan" if math.isnan(value) else f"{100 * value:.0f} %"


def _tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS)
