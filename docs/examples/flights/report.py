"""The report: one HTML file with its styles and drawings inside, no script, light and dark, wide and narrow."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data import CREDIT
from mlguard import Severity, __version__
from mlguard.render import html

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

    from mlguard import Verdict
    from story import Chapter

_HERE: Final = Path(__file__).parent
KIND: Final = {
    Severity.OK: "ok",
    Severity.UNKNOWN: "unknown",
    Severity.WARN: "unknown",
    Severity.BREACH: "breach",
}


def write(path: Path, chapters: Sequence[Chapter]) -> None:
    """Write the chapters of all acts as one page, and each verdict as a record beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(chapters), encoding="utf-8")
    for chapter in chapters:
        for name, verdict in chapter.verdicts.items():
            record = json.dumps(verdict.to_dict(), indent=2)
            path.with_name(f"{chapter.anchor}-{name}.json").write_text(record, encoding="utf-8")


def page(chapters: Sequence[Chapter]) -> str:
    """Return the whole page."""
    style = html.STYLE + (_HERE / "report.css").read_text(encoding="utf-8")
    contents = "".join(
        f'<li><a href="#{chapter.anchor}">{escape(chapter.title)}</a> {escape(chapter.headline)}</li>'
        for chapter in chapters
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(chapters[0].headline)} · mlguard</title><style>{style}</style></head><body><main>"
        '<p class="brand"><b>mlguard</b> Late flights of New York, 2013</p>'
        + (f"<nav><ol>{contents}</ol></nav>" if len(chapters) > 1 else "")
        + "".join(map(_chapter, chapters))
        + f"<footer><p>{escape(CREDIT)}</p><p>Made by mlguard {__version__} with <code>make demo</code>. Every result was computed in the run that wrote this page.</p></footer></main></body></html>\n"
    )


def _chapter(chapter: Chapter) -> str:
    return (
        f'<article id="{chapter.anchor}"><header><p class="eyebrow">{escape(chapter.title)}</p><h1>{escape(chapter.headline)}</h1>'
        f'<p class="lead">{escape(chapter.lead)}</p></header>{chapter.body}</article>'
    )


def section(title: str, lead: str, body: str) -> str:
    """Return a titled part of a chapter; `body` is HTML, the rest is text."""
    intro = f'<p class="intro">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{intro}{body}</section>"


def card(name: str, verdict: Verdict, why: str, *, word: str = "") -> str:
    """Return a headline verdict, as a word and a reason."""
    word = word or ("Passed" if verdict.ok else "Stopped")
    return f'<div class="card {KIND[verdict.severity]}"><p class="badge">{word}</p><h2>{escape(name)}</h2><p>{escape(why)}</p></div>'


def tree(verdict: Verdict) -> str:
    """Return the verdict and all its causes as the library draws them."""
    return f'<div class="tree">{html.verdict(verdict, style=False)}</div>'


def code(module: ModuleType, start: str) -> str:
    """Return the source of a module, from a text in it to its end."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    return f"<pre><code>{escape(source[source.index(start) :].rstrip())}</code></pre>"


def text(path: Path) -> str:
    """Return a file as it stands."""
    return shown(path.read_text(encoding="utf-8"))


def shown(text: str) -> str:
    """Return a text as it stands."""
    return f"<pre><code>{escape(text.rstrip())}</code></pre>"


def facts(sentences: Iterable[str]) -> str:
    """Return a list of sentences."""
    items = "".join(f"<li>{escape(each)}</li>" for each in sentences)
    return f'<ul class="facts">{items}</ul>'


def moments(heads: Sequence[str], rows: Iterable[tuple[Severity, Sequence[str]]]) -> str:
    """Return a table of what was said when: a row is a time, who it is about, a word for it, and the words."""
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    lines = "".join(
        f'<tr class="{severity.name.lower()}"><td>{at}</td><th scope="row">{escape(who)}</th>'
        f"<td><b>{word}</b></td><td>{escape(text)}</td></tr>"
        for severity, (at, who, word, text) in rows
    )
    return f'<table class="moments"><thead><tr>{columns}</tr></thead><tbody>{lines}</tbody></table>'
