"""Adwin against its textbook: buckets in lists, looked at one cut after the other; and river."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlguard.drift.streams import Adwin


class Textbook:
    """ADWIN as A. Bifet and R. Gavalda describe it and river 0.26 runs it."""

    def __init__(self, delta: float) -> None:
        self.delta = delta
        self.rows: list[list[float]] = [[]]
        self.n = 0
        self.total = self.variance = 0.0

    def observe(self, x: float) -> bool:
        if self.n:
            self.variance += self.n * (x - self.total / self.n) ** 2 / (self.n + 1)
        self.n += 1
        self.total += x
        self.rows[0].append(x)
        for r, row in enumerate(self.rows):
            if len(row) > 5:
                if r + 1 == len(self.rows):
                    self.rows.append([])
                self.rows[r + 1].append(row.pop(0) + row.pop(0))
        changed = self.n % 32 == 0 and any(self.cuts())
        if changed:
            self.__init__(self.delta)  # type: ignore[misc]
        return changed

    def cuts(self) -> Any:
        n0, u0 = 0, 0.0
        doubt = math.log(2 * math.log(self.n) / self.delta)
        for r in reversed(range(len(self.rows))):
            for bucket in self.rows[r]:
                n0, u0 = n0 + 2**r, u0 + bucket
                n1, u1 = self.n - n0, self.total - u0
                if min(n0, n1) < 5:
                    continue
                m = 1 / (n0 - 4) + 1 / (n1 - 4)
                noise = math.sqrt(2 * m * self.variance / self.n * doubt)
                yield abs(u0 / n0 - u1 / n1) > noise + 2 / 3 * doubt * m


def streams() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    rates = rng.random(60).repeat(500)
    return {
        "rates": (rng.random(30_000) < rates).astype(float),
        "levels": rng.random(30_000) + 3.0 * rates,
        "ramp": rng.random(30_000) + np.linspace(0.0, 3.0, 30_000),
        "steady": (rng.random(30_000) < 0.2).astype(float),
    }


@pytest.mark.parametrize("delta", [0.002, 0.3])
@pytest.mark.parametrize("name", streams())
def test_its_alarms_are_those_of_the_textbook(name: str, delta: float) -> None:
    xs = streams()[name]
    textbook = Textbook(delta)
    expected = [at for at, x in enumerate(xs.tolist()) if textbook.observe(x)]
    assert [change.at for change in Adwin(delta=delta).observe_many(xs)] == expected
    assert expected or name == "steady"


RIVER: dict[str, list[int]] = {  # what river 0.26.1 gave, `ADWIN(delta=0.002)`
    "rates": [
        607,
        1535,
        2527,
        3039,
        3519,
        4543,
        5311,
        7007,
        8063,
        8575,
        9599,
        10047,
        11039,
        11551,
        12543,
        13567,
        14079,
        15583,
        16127,
        16607,
        17055,
        17567,
        18623,
        19039,
        19551,
        20543,
        21055,
        21567,
        22143,
        23039,
        23551,
        24607,
        25023,
        25695,
        26079,
        26559,
        27711,
        28031,
        28607,
        29055,
        29535,
    ],
    "levels": [
        543,
        1055,
        1535,
        2111,
        2527,
        3007,
        3519,
        4543,
        5055,
        6239,
        6559,
        7135,
        7743,
        8031,
        8543,
        9055,
        9535,
        10015,
        10687,
        11039,
        11519,
        12511,
        13151,
        13535,
        14047,
        14559,
        15519,
        16031,
        16543,
        17023,
        17535,
        18047,
        18527,
        19007,
        19519,
        20063,
        20511,
        21023,
        21535,
        22047,
        22591,
        23039,
        23519,
        24543,
        25023,
        25535,
        26015,
        26527,
        27135,
        27551,
        28031,
        28511,
        29023,
        29535,
    ],
    "ramp": [
        1535,
        2655,
        4063,
        5279,
        7007,
        8607,
        10143,
        11135,
        12319,
        13983,
        15519,
        17055,
        18463,
        20223,
        21311,
        22783,
        24191,
        25791,
        27231,
        28703,
    ],
    "steady": [],
}


@pytest.mark.parametrize("name", RIVER)
def test_its_alarms_are_those_of_river(name: str) -> None:
    found = [change.at for change in Adwin(delta=0.002).observe_many(streams()[name])]
    assert found == RIVER[name]
