"""Pages and verdicts as HTML: self-contained, without scripts, light and dark."""

from __future__ import annotations

from mlguard.render.text import escaped
from mlguard.values import Verdict, Waiver

COLOURS = {
    "OK": ("#1a7f4b", "#4cc38a"),
    "UNKNOWN": ("#6b7280", "#a1a8b3"),
    "WARN": ("#9a6700", "#e2b340"),
    "BREACH": ("#c4320a", "#ff8066"),
}
"""Text colour of each severity, on a light and on a dark page; contrast at least 4.5 to 1."""

STYLE = (
    ".mlguard{font:14px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums}"
    ".mlguard ul{list-style:none;margin:0;padding:0 0 0 1.25em}"
    ".mlguard>ul{padding:0}"
    ".mlguard li{margin:.15em 0;overflow-wrap:anywhere}"
    ".mlguard b{display:inline-block;min-width:6em;font-size:.85em;letter-spacing:.04em}"
    ".mlguard .subject{opacity:.7}"
    + "".join(f".mlguard b.{name}{{color:{light}}}" for name, (light, _) in COLOURS.items())
    + "@media(prefers-color-scheme:dark){"
    + "".join(f".mlguard b.{name}{{color:{dark}}}" for name, (_, dark) in COLOURS.items())
    + "}"
)
"""The style of a verdict tree; a page that shows several needs it once."""


_PAGE = (
    ":root{color-scheme:light dark}"
    "body{margin:0;background:#fbfaf8;color:#1b1c1e;font:16px/1.5 system-ui,-apple-system,"
    '"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}'
    "main{max-width:1120px;margin:0 auto;padding:32px 24px 48px}"
    "@media(prefers-color-scheme:dark){body{background:#131416;color:#ececea}}"
    "@media(max-width:760px){main{padding:20px 16px 32px}}"
)


def page(title: str, body: str) -> str:
    """Make a page of its own of a title, which is text, and a body, which is HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(title)} · mlguard</title><style>{_PAGE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def verdict(verdict: Verdict, *, style: bool = True) -> str:
    """Write a verdict as a nested list, a line for each cause; every text is escaped.

    Args:
        verdict: What to write.
        style: Whether to bring the style along, as a notebook needs.
    """
    head = f"<style>{STYLE}</style>" if style else ""
    return f'{head}<div class="mlguard"><ul>{_item(verdict)}</ul></div>'


def _item(cause: Verdict | Waiver) -> str:
    if isinstance(cause, Waiver):
        return f'<li><b class="UNKNOWN">WAIVER</b> {escaped(str(cause))}</li>'
    name = cause.severity.name
    subject = " ".join(f"{key}={value}" for key, value in cause.subject.items())
    about = f' <span class="subject">{escaped(subject)}</span>' if subject else ""
    reason = cause.reason
    named = reason.startswith(f"{cause.name} = ") and not subject
    rest = reason.removeprefix(cause.name) if named else f": {reason}"
    inner = "".join(_item(each) for each in cause.causes)
    causes = f"<ul>{inner}</ul>" if inner else ""
    text = f"<strong>{escaped(cause.name)}</strong>{about}{escaped(rest)}"
    return f'<li><b class="{name}">{name}</b> {text}{causes}</li>'
