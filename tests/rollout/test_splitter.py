"""The splitter: sticky, monotone, even, and independent of other salts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlguard import ConfigurationError
from mlguard.rollout import Splitter

SHARES = st.floats(0.0, 1.0)


@given(st.one_of(st.text(), st.integers()), SHARES, SHARES)
def test_raising_the_share_moves_nobody_back(key: str | int, one: float, other: float) -> None:
    splitter = Splitter("v7")
    low, high = sorted((one, other))
    if splitter.arm(key, low) == "canary":
        assert splitter.arm(key, high) == "canary"
    assert splitter.arm(key, one) == Splitter("v7").arm(key, one)
    assert splitter.arm(key, 0.0) == "baseline"
    assert splitter.arm(key, 1.0) == "canary"


def test_a_number_and_its_spelling_are_one() -> None:
    assert Splitter("a").place(7) == Splitter("a").place("7")


def test_places_are_even() -> None:
    places = [Splitter("even").place(key) for key in range(20_000)]
    counts = np.histogram(places, bins=50, range=(0.0, 1.0))[0]
    assert stats.chisquare(counts).pvalue > 0.001


def test_salts_split_independently() -> None:
    arms = [[Splitter(salt).arm(key, 0.3) for key in range(20_000)] for salt in ("one", "two")]
    table = [
        [sum((a, b) == pair for a, b in zip(*arms, strict=True)) for pair in row]
        for row in (
            [("canary", "canary"), ("canary", "baseline")],
            [("baseline", "canary"), ("baseline", "baseline")],
        )
    ]
    assert stats.chi2_contingency(np.array(table)).pvalue > 0.001


@pytest.mark.parametrize(
    ("key", "share", "message"),
    [
        ("a", 1.5, r"^share = 1.5"),
        ("a", float("nan"), r"^share"),
        (1.5, 0.5, r"^key"),
        (True, 0.5, r"^key"),
        (None, 0.5, r"^key"),
    ],
)
def test_bad_input_is_named(key: Any, share: float, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Splitter("a").arm(key, share)


def test_an_empty_salt_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^salt = ''"):
        Splitter("")
