"""A share of the calls to the canary, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from mlguard.arguments import real, refusal
from mlguard.rollout.assignment import Splitter

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")


class Router(Generic[F]):
    """Gives each key the canary or the baseline, and is an `Actuator`: its share can be moved.

    Thread-safe: a call sees the share before a move or after it. Per process, and it begins at 0;
    where many workers serve, each has one and follows the share that the decider keeps.

    Args:
        canary: What is tried: a model's `predict`, synchronous or not.
        baseline: What it is compared with.
        splitter: Assigns the keys.

    Raises:
        ConfigurationError: An argument is not of its kind.

    Examples:
        >>> from mlguard.rollout import Router, Splitter
        >>> router = Router(lambda x: x + 1, lambda x: x, splitter=Splitter("eta-v7"))
        >>> router.set_share(0.5)
        >>> arm, model = router("ada")
        >>> arm, model(41)
        ('canary', 42)
        >>> router.rollback()
        >>> router("ada")[0]
        'baseline'
    """

    __slots__ = ("_share", "baseline", "canary", "splitter")

    def __init__(self, canary: F, baseline: F, *, splitter: Splitter) -> None:
        for name, model in (("canary", canary), ("baseline", baseline)):
            if not callable(model):
                raise refusal(name, model, "a callable")
        if not isinstance(splitter, Splitter):
            raise refusal("splitter", splitter, "a Splitter")
        self.canary = canary
        self.baseline = baseline
        self.splitter = splitter
        self._share = 0.0

    def __call__(self, key: str | int) -> tuple[Literal["canary", "baseline"], F]:
        """Give the arm of a key and what serves it, so that also a call that fails is counted.

        Raises:
            ConfigurationError: `key` is neither text nor a whole number.
        """
        arm = self.splitter.arm(key, self._share)
        return arm, self.canary if arm == "canary" else self.baseline

    def set_share(self, share: float) -> None:
        """Let the canary have this share of the keys from the next call on.

        Raises:
            ConfigurationError: `share` is not between 0 and 1; the share stands where it stood.
        """
        part = real("share", share)
        if not 0.0 <= part <= 1.0:
            raise refusal("share", share, "between 0 and 1")
        self._share = part

    def promote(self) -> None:
        """Let the canary have every key."""
        self.set_share(1.0)

    def rollback(self) -> None:
        """Let the baseline have every key."""
        self.set_share(0.0)

    def standing(self) -> float:
        """Give the share that the canary has now."""
        return self._share
