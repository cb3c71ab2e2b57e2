"""What a call has used, read from the spellings of the providers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from mlguard.arguments import refusal, shown, whole
from mlguard.budgets.money import decimal_of
from mlguard.errors import UnknownCost

Count = int | Fraction

TOKENS = frozenset(
    {
        "input",
        "cached_input",
        "cache_write",
        "cache_write_1h",
        "output",
        "reasoning",
        "audio_input",
        "audio_output",
        "image_input",
        "image_output",
    }
)
"""The units that are kinds of tokens. They do not overlap: `input` leaves out the cached ones."""

OWN = TOKENS | {"request", "row", "second", "gpu_hour"}
"""The units that have a name here; a price may bring others."""

_WHOLE = TOKENS | {"request", "row"}
_APART = "input, output, reasoning and the like"
_LISTED = 8  # names in a message


class Key(NamedTuple):
    """Where a usage tells a count. Immutable.

    Attributes:
        name: As the provider spells it.
        unit: What it counts.
        part_of: The unit whose count includes this one, if any.
        needed: Whether None is unknown there; elsewhere it means that nothing was used.
    """

    name: str
    unit: str
    part_of: str | None = None
    needed: bool = False


TOTAL = "total_tokens"
TOOLS = "server_tool_use"

_INPUT = {
    "cached_tokens": "cached_input",
    "cache_write_tokens": "cache_write",
    "audio_tokens": "audio_input",
    "image_tokens": "image_input",
}
_OUTPUT = {
    "reasoning_tokens": "reasoning",
    "thinking_tokens": "reasoning",
    "audio_tokens": "audio_output",
    "image_tokens": "image_output",
}
_DETAILS = {
    "prompt_tokens_details": ("input", _INPUT),
    "input_tokens_details": ("input", _INPUT),
    "completion_tokens_details": ("output", _OUTPUT),
    "output_tokens_details": ("output", _OUTPUT),
    "cache_creation": ("cache_write", {"ephemeral_1h_input_tokens": "cache_write_1h"}),
}
_FLAT = (
    *(Key(unit, unit, needed=True) for unit in sorted(OWN)),
    Key("prompt_tokens", "input", needed=True),  # OpenAI chat completions
    Key("completion_tokens", "output", needed=True),
    Key("input_tokens", "input", needed=True),  # OpenAI responses; Anthropic
    Key("output_tokens", "output", needed=True),
    Key("cache_read_input_tokens", "cached_input"),  # Anthropic: beside its input_tokens
    Key("cache_creation_input_tokens", "cache_write"),
    Key("gen_ai.usage.input_tokens", "input", needed=True),  # OpenTelemetry
    Key("gen_ai.usage.output_tokens", "output", needed=True),
    Key("gen_ai.usage.cache_read.input_tokens", "cached_input", "input"),
    Key("gen_ai.usage.cache_write.input_tokens", "cache_write", "input"),
    Key("gen_ai.usage.cache_creation.input_tokens", "cache_write", "input"),
    Key("gen_ai.usage.reasoning.output_tokens", "reasoning", "output"),
)
SPELLINGS: dict[str, Key] = {key.name: key for key in _FLAT}
"""The names at the top of a usage, as the providers documented them in November 2026."""

_NESTED = {
    outer: {inner: Key(f"{outer}.{inner}", unit, part_of) for inner, unit in parts.items()}
    for outer, (part_of, parts) in _DETAILS.items()
} | {TOOLS: {}}
_LIKE_THE_REST = {  # priced as the count that they are part of
    "text_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
    "ephemeral_5m_input_tokens",
}
REMARKS = frozenset({TOTAL, "cost", "cost_details", *_NESTED})
"""The other names known at the top: they are no units."""


def counts_of(usage: Mapping[str, Any], priced: Collection[str]) -> dict[str, Count]:
    """Give how many of each unit were used, none counted twice and none left out.

    Args:
        usage: As the provider tells it, in one spelling.
        priced: The units that have a price; they may be told under their own names.

    Raises:
        UnknownCost: It tells nothing, or not everything: a main count is None, a number stands
            under an unknown name, or the total is more than the counts.
        ConfigurationError: It is no mapping, or contradicts itself.

    Examples:
        >>> chat = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}
        >>> counts_of(chat, ["input", "cached_input"])
        {'input': 5, 'cached_input': 4}
    """
    if type(usage) is not dict and not isinstance(usage, Mapping):  # the second is slow
        raise refusal("usage", usage, "a mapping, such as response.usage.model_dump()")
    told, parts = _read(usage, priced)
    if not told:
        raise UnknownCost(f"usage = {shown(usage)} tells no count, which is not 0")
    for unit, within in parts.items():
        rest = told.get(unit, 0) - within
        if rest < 0:
            allowed = f"at least {within}, the sum of its parts, or told apart as {_APART}"
            raise refusal(f"usage: {unit}", told.get(unit, 0), allowed)
        told[unit] = rest
    if usage.get(TOTAL):
        _check_total(usage[TOTAL], told)
    return told


def _read(
    usage: Mapping[str, Any], priced: Collection[str]
) -> tuple[dict[str, Count], dict[str, Count]]:
    """Give what is told of each unit, and how much of it is told as another unit too."""
    told: dict[str, Count] = {}
    parts: dict[str, Count] = {}
    for (name, unit, part_of, needed), value in _told(usage, priced):
        if value is None and needed:
            raise UnknownCost(f"{_at(name)} is None: it was not counted, which is not 0")
        count = value if type(value) is int and value >= 0 else _count(name, unit, value)
        if count and told.get(unit):
            allowed = f"in one spelling: {told[unit]} of {unit} are told under another name"
            raise refusal(_at(name), value, allowed)
        if count and part_of is not None:
            parts[part_of] = parts.get(part_of, 0) + count
        if count or (needed and unit not in told):
            told[unit] = count
    return told, parts


def _told(usage: Mapping[str, Any], priced: Collection[str]) -> Iterator[tuple[Key, Any]]:
    for name, value in usage.items():
        key = SPELLINGS.get(name)
        if key is not None:
            yield key, value
        elif name in _NESTED:
            yield from _within(name, value, priced)
        elif name in priced:
            yield Key(name, name, needed=True), value
        elif name not in REMARKS and not _nothing(value):
            meant = close_to(str(name), frozenset({*priced, *SPELLINGS}))
            raise unpriced(f"{_at(name)} = {shown(value)}", priced, meant)


def _within(outer: str, details: object, priced: Collection[str]) -> Iterator[tuple[Key, Any]]:
    if details is None:
        return
    if type(details) is not dict and not isinstance(details, Mapping):
        raise refusal(_at(outer), details, "a mapping, as in response.usage.model_dump()")
    keys = _NESTED[outer]
    for name, value in details.items():
        if name in keys:
            yield keys[name], value
        elif outer == TOOLS and name in priced:
            yield Key(f"{outer}.{name}", name), value
        elif name not in _LIKE_THE_REST and not _nothing(value):
            meant = close_to(str(name), frozenset(keys or priced))
            raise unpriced(f"{_at(f'{outer}.{name}')} = {shown(value)}", priced, meant)


def _nothing(value: object) -> bool:
    """Tell whether what stands under an unknown name costs nothing, whatever its price."""
    if isinstance(value, Mapping):
        return all(map(_nothing, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_nothing, value))
    if isinstance(value, int | float | Decimal):
        return not value or isinstance(value, bool)
    return value is None or isinstance(value, str)


def _count(name: str, unit: str, value: object) -> Count:
    if value is None:
        return 0
    if isinstance(value, bool | str):
        raise refusal(_at(name), value, "a number of at least 0")
    if unit in _WHOLE:
        return whole(_at(name), value)
    number = Decimal(float.__repr__(value)) if isinstance(value, float) else value
    exact = Fraction(decimal_of(_at(name), number))
    if exact < 0:
        raise refusal(_at(name), value, "a number of at least 0")
    return exact


def _check_total(total: object, told: Mapping[str, Count]) -> None:
    exact = total if type(total) is int and total > 0 else _count(TOTAL, "input", total)
    tokens: Count = 0
    for unit, count in told.items():
        if unit in TOKENS:
            tokens += count
    if tokens < exact:
        raise UnknownCost(
            f"{_at(TOTAL)} is {total}, but the counts make {tokens}: some tokens are told nowhere "
            f"else, perhaps those of reasoning: tell them apart as {_APART}"
        )


def _at(name: object) -> str:
    return f"usage[{name!r}]"


def unpriced(what: str, priced: Collection[str], meant: tuple[str, ...] = ()) -> UnknownCost:
    """Make the error for what has no price: what has one, and the name that was `meant`."""
    names = sorted(priced)
    more = f" and {len(names) - _LISTED} more" if names[_LISTED:] else ""
    hint = f"; did you mean {meant[0]!r}?" if meant else ""
    return UnknownCost(f"{what} has no price: known are {', '.join(names[:_LISTED])}{more}{hint}")


@lru_cache(maxsize=128)
def close_to(name: str, names: frozenset[str]) -> tuple[str, ...]:
    """Give the name that is written most alike, if one is; kept, since it takes long to find."""
    return tuple(get_close_matches(name, sorted(names), n=1))
