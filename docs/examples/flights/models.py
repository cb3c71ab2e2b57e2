"""Three models of one question, asked an hour before departure: will this flight be late?

champion   in production since April: logistic regression on the timetable, trained on January to March
candidate  a better one: boosted trees that also read the departure board and the weather, trained on January to June
broken     the very same trees, fed by a departure board that calls Newark ``KEWR`` instead of ``EWR``: the join finds no row,
           the three columns arrive empty, and boosted trees accept empty columns without a word
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer
from threadpoolctl import threadpool_limits

from data import AIRPORTS, FEED, WEATHER

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

TIMETABLE: Final = ["hour", "weekday", "carrier", "origin", "distance"]
LIVE: Final = [*TIMETABLE, *FEED, *WEATHER]
CARRIERS: Final = "9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV"
SEED: Final = 2013

Features: TypeAlias = "pd.DataFrame | NDArray[np.float64]"


class Classifier(Protocol):
    """What we use of a scikit-learn classifier."""

    def predict_proba(self, features: Features) -> NDArray[np.float64]:
        """Return one row of class probabilities per row of features."""


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted classifier and what it reads of the flights."""

    encode: Callable[[pd.DataFrame], Features]
    classifier: Classifier

    def predict(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of being late for each row."""
        return self.score(self.encode(rows))

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the probability of being late for rows that are encoded already, as a service has them."""
        return self.classifier.predict_proba(features)[:, 1]


def train_champion(rows: pd.DataFrame) -> Model:
    """Fit the logistic regression on the timetable."""
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["weekday", "carrier", "origin"]),
        (SplineTransformer(n_knots=5, degree=3), ["hour", "distance"]),
    )
    classifier = make_pipeline(encode, LogisticRegression(max_iter=500))
    return Model(_timetable, classifier.fit(_timetable(rows), rows["late"]))


def train_candidate(rows: pd.DataFrame) -> Model:
    """Fit the boosted trees on the timetable, the departure board and the weather."""
    classifier = HistGradientBoostingClassifier(
        max_iter=120,
        early_stopping=False,
        categorical_features=[LIVE.index("carrier"), LIVE.index("origin")],
        random_state=SEED,
    )
    with threadpool_limits(
        1, user_api="openmp"
    ):  # on a busy machine two threads wait for each other most of the time
        return Model(_numbers, classifier.fit(_numbers(rows), rows["late"]))


def join_feed(flights: pd.DataFrame, feed: pd.DataFrame) -> pd.DataFrame:
    """Return the flights with the departure board's columns; a flight that the board does not know gets empty ones."""
    return flights.merge(feed, on=["origin", "carrier", "due"], how="left")


def break_feed(feed: pd.DataFrame) -> pd.DataFrame:
    """Return the board after a rename upstream: Newark goes by its ICAO code, and no flight finds it any more."""
    return feed.assign(origin=feed["origin"].replace("EWR", "KEWR"))


def _timetable(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[TIMETABLE].astype({"carrier": "category", "origin": "category"})


def _numbers(rows: pd.DataFrame) -> NDArray[np.float64]:
    carrier = pd.Categorical(rows["carrier"], CARRIERS.split()).codes
    origin = pd.Categorical(rows["origin"], list(AIRPORTS)).codes
    return rows[LIVE].assign(carrier=carrier, origin=origin).to_numpy("float64")
