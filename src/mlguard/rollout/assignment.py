"""Who gets the canary: by a salted hash, so that everyone stays where they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from mlguard.arguments import name_of, real, refusal

_SPAN = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Splitter:
    """Assigns keys to arms. Immutable, so safe between threads; the same in every process.

    The arm of a key depends on key and salt alone: it is sticky, and raising the share moves keys
    from the baseline to the canary and none back. Two salts split independently, so take a new one
    for each candidate: else the same users meet every experiment.

    Args:
        salt: Of the split, such as the name and version of the candidate.

    Raises:
        ConfigurationError: `salt` is empty.

    Examples:
        >>> from mlguard.rollout import Splitter
        >>> splitter = Splitter("eta-v7")
        >>> [splitter.arm(user, share=0.5) for user in ("ada", "bob", "eve")]
        ['canary', 'canary', 'baseline']
    """

    salt: str

    def __post_init__(self) -> None:
        name_of("salt", self.salt)

    def place(self, key: str | int) -> float:
        """Give where a key lies between 0 and 1: below the share it gets the canary."""
        digest = hashlib.blake2b(
            f"{self.salt}\0{key}".encode(errors="surrogatepass"), digest_size=8
        )
        return int.from_bytes(digest.digest(), "big") / _SPAN

    def arm(self, key: str | int, share: float) -> Literal["canary", "baseline"]:
        """Give the arm of a key.

        Args:
            key: Who asks: a user, a device; text or a whole number (7 and "7" are one).
            share: Of the keys that get the canary, 0 to 1.

        Raises:
            ConfigurationError: `share` is not between 0 and 1, or `key` neither text nor a number.
        """
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise refusal("key", key, "text or a whole number")
        part = real("share", share)
        if not 0.0 <= part <= 1.0:
            raise refusal("share", share, "between 0 and 1")
        return "canary" if self.place(key) < part else "baseline"
