"""A document of sections, as Markdown and as HTML: the same words in both, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

from mlguard.render import html
from mlguard.render.text import escaped, visible

_SPECIAL = re.compile(r"[\\`*\[|~]|(?<!\w)_|_(?!\w)")
_OPENING = re.compile(r"^(\d*)(?=[#>]|[-+=](?:[-+= ]|$)|(?<=\d)[.)])")
_HUMAN = "To be written by a person"
_STYLE = (
    ".mlguard-document{max-width:72ch;line-height:1.5;overflow-wrap:anywhere}"
    ".mlguard-document table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".mlguard-document th,.mlguard-document td{text-align:left;vertical-align:top;"
    "padding:4px 16px 4px 0;border-bottom:1px solid rgb(128 128 128/.28)}"
    ".mlguard-document blockquote{margin:1em 0;padding:0 0 0 12px;border-left:3px solid}"
    ".mlguard-document pre{white-space:pre-wrap}"
)


class Human(NamedTuple):
    """Words that only a person can write, and what they should say while nobody has."""

    words: str
    wanted: str


class Table(NamedTuple):
    """Rows of cells under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Command(NamedTuple):
    """What to type, word for word."""

    text: str


class Warned(NamedTuple):
    """What a reader must not miss."""

    text: str


Block: TypeAlias = str | Human | Table | Command | Warned
Section: TypeAlias = tuple[str, Sequence[Block]]


class Document(str):
    """Markdown, which knows how to be HTML, too. Immutable, so safe between threads.

    Every text from outside stands in it as it is: nothing in a name or a reason is taken for
    Markdown or HTML. Words that only a person can write are marked as missing until they are given.

    Attributes:
        heading: Of the whole.
        sections: Title and blocks of each; the first one has no title.
    """

    __slots__ = ("heading", "sections")

    heading: str
    sections: tuple[Section, ...]

    def __new__(cls, heading: str, sections: Iterable[Section]) -> Self:
        kept = tuple(sections)
        parts = [f"# {_md(heading)}"]
        for head, blocks in kept:
            parts += [f"## {_md(head)}"] if head else []
            parts += [_markdown(block) for block in blocks]
        self = super().__new__(cls, "\n\n".join(parts) + "\n")
        self.heading = heading
        self.sections = kept
        return self

    def __getnewargs__(self) -> Any:
        return self.heading, self.sections

    def to_html(self, *, page: bool = True) -> str:
        """Write it as a page of its own, without scripts, or as a part for one."""
        parts = [f"<style>{_STYLE}</style>", f"<h1>{escaped(self.heading)}</h1>"]
        for head, blocks in self.sections:
            parts += [f"<h2>{escaped(head)}</h2>"] if head else []
            parts += [_html(block) for block in blocks]
        body = f'<div class="mlguard-document">{"".join(parts)}</div>'
        return html.page(self.heading, body) if page else body

    def _repr_html_(self) -> str:
        return self.to_html(page=False)


def _markdown(block: Block) -> str:
    match block:
        case Human(words, wanted):
            return _paragraphs(words) if words.strip() else f"> **{_HUMAN}:** {_md(wanted)}"
        case Table(head, rows):
            lines = [head, ["---"] * len(head), *([_md(cell) for cell in row] for row in rows)]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)
        case Command(text):
            return "\n".join(f"    {visible(line)}" for line in text.splitlines())
        case Warned(text):
            return f"> **{_md(text)}**"
        case _:
            return _paragraphs(block)


def _html(block: Block) -> str:
    match block:
        case Human(words, wanted):
            missing = f"<blockquote><b>{_HUMAN}:</b> {escaped(wanted)}</blockquote>"
            return _html(words) if words.strip() else missing
        case Table(head, rows):
            names = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
            lines = ("".join(f"<td>{escaped(cell)}</td>" for cell in row) for row in rows)
            return f"<table><tr>{names}</tr>{''.join(f'<tr>{each}</tr>' for each in lines)}</table>"
        case Command(text):
            return f"<pre>{escaped(text)}</pre>"
        case Warned(text):
            return f"<blockquote><b>{escaped(text)}</b></blockquote>"
        case _:
            return "".join(f"<p>{escaped(each)}</p>" for each in _parts(block))


def _parts(words: str) -> list[str]:
    return [" ".join(each.split()) for each in re.split(r"\n\s*\n", words.strip())]


def _paragraphs(words: str) -> str:
    return "\n\n".join(_OPENING.sub(r"\1\\", _md(each)) for each in _parts(words))


def _md(words: str) -> str:
    """Write words on one line so that Markdown shows them as they are."""
    shown = _SPECIAL.sub(r"\\\g<0>", visible(" ".join(words.split())))
    return shown.replace("&", "&amp;").replace("<", "&lt;")
