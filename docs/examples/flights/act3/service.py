"""The service: an ASGI app that asks the departure board about a flight, and the model about its chance of being late."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlguard.integrations.asgi import App, Receive, Scope, Send
    from models import Model

USUAL: Final = 0.012
"""Seconds that a look-up takes, typically."""
SPREAD: Final = 0.3
SLOWER: Final = 200
"""How many times longer a slow look-up takes."""
REFUSAL: Final = 0.002


class Board:
    """The departure board that the service looks up each flight on. Its network is simulated. Not thread-safe.

    Attributes:
        slow: Share of the look-ups that are slow.
        refused: Share of the look-ups that are refused.
    """

    __slots__ = ("_random", "_rows", "refused", "slow")

    def __init__(self, rows: NDArray[np.float64], seed: int) -> None:
        self._rows = rows
        self._random = np.random.default_rng(seed)
        self.slow = self.refused = 0.0

    async def look_up(self, flight: int) -> NDArray[np.float64]:
        """Return what is known of a flight an hour ahead, as the model reads it.

        Raises:
            ConnectionRefusedError: The board does not answer.
        """
        refused, slow = self._random.random(2) < (self.refused, self.slow)
        if refused:
            await asyncio.sleep(REFUSAL)
            raise ConnectionRefusedError
        usual = USUAL * self._random.lognormal(sigma=SPREAD)
        await asyncio.sleep(usual * SLOWER if slow else usual)
        return self._rows[[flight]]


def service(model: Model, board: Board) -> App:
    """Return the app: `GET /flights/17` answers with the chance that the flight leaves late."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 -- it reads no body
        answer: dict[str, str | float]
        flight = int(scope["path"].removeprefix("/flights/"))
        try:
            row = await board.look_up(flight)
        except ConnectionRefusedError:
            status, answer = 502, {"error": "the departure board does not answer"}
        else:
            status, answer = 200, {"late": float(model.score(row)[0])}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    return app
