"""What the record says, in words: every sentence is made from what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from act8.trail import Trail


def headline(trail: Trail) -> str:
    """Say how it ended."""
    found = sum(not each.anchored for each in trail.tampered)
    return f"Two people approved these bytes; of {len(trail.tampered)} changes of the record {found} are found"


def lead(trail: Trail) -> str:
    """Say in a few sentences what there is to learn."""
    stopped = [each for each in trail.steps if not each.passed]
    alone = sum(not each.chain for each in trail.tampered)
    return (
        f"An approval names the digest of a model's bytes, so the same vote does not promote another model: {len(stopped)} of {len(trail.steps)} tries were stopped. "
        f"All that was judged and decided in these acts is on one ledger, {trail.found.records} records. The chain of its hashes alone finds {alone} of the changes; "
        "a cut end is found by an anchor only, one line that is kept elsewhere."
    )
