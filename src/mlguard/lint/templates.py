"""Helm and Jinja templates with their parts taken out, so that the rest reads as YAML."""

from __future__ import annotations

import re

HOLE = "\ue000"
"""Stands where a value is put in; a character that no config uses."""

_PART = re.compile(  # each stops where the next one opens: what is left open costs nothing
    r"\{\{(?:(?!\{\{|\}\}).)*\}\}|\{%(?:(?!\{%|%\}).)*%\}|\{#(?:(?!\{#|#\}).)*#\}", re.DOTALL
)
_ALONE = re.compile(rf"^[ \t]*(?:{HOLE}[ \t]*)+$", re.MULTILINE)


def first(text: str) -> int | None:
    """Give the line of the first part that is put in, if there is one."""
    found = _PART.search(text)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def hollow(text: str) -> str:
    r"""Leave out the lines that only steer, and put a hole where a value comes in.

    Examples:
        >>> hollow("{{- if .Values.on }}\nimage: {{ .Values.image }}:2\n{{- end }}\n").splitlines()
        ['', 'image: \ue000:2', '']
    """
    holes = _PART.sub(lambda part: HOLE + "\n" * part[0].count("\n"), text)  # lines keep numbers
    return _ALONE.sub("", holes)
