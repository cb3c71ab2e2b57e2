"""Reading configs safely: files, folders, text or parsed documents, and the line of each value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from pathlib import Path as File
from typing import Any, Literal, TypeAlias

from mlguard.arguments import NO_ITEMS, refusal
from mlguard.lint import templates, trees
from mlguard.lint.findings import Finding, Place, Rule
from mlguard.lint.trees import Tree, Unreadable
from mlguard.requirements.load import MOST_BYTES, MOST_NODES

Form: TypeAlias = Literal["yaml", "json", "python", "value"]

FORMS: Mapping[str, Form] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".py": "python"}
"""By the ending of the name, what is read."""

UNREADABLE = Rule(
    "MLG-FI001",
    "unreadable",
    "warning",
    "",
    "What cannot be read cannot be judged: nobody knows what it leaves out.",
)
TEMPLATE = Rule(
    "MLG-FI002",
    "template",
    "info",
    "",
    "A template is judged by what stands in it; what is put in later may hold what is missed. "
    "Lint what it renders to.",
)
TWICE = Rule(
    "MLG-FI003",
    "key-given-twice",
    "warning",
    "",
    "Parsers keep the last of two equal keys, or refuse them; whoever reads the first is deceived.",
)
RULES = UNREADABLE, TEMPLATE, TWICE

_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_BRACE = re.compile(r"\s*(\{(?![{%#])|\[)")
_CONTENT = re.compile(r"^(?!\s*(#|%|$))", re.MULTILINE)
_MOST_EFFORT = 5 * MOST_NODES
"""Values of all documents of a file; one that does not read may have had as many."""
_SKIPPED = {"node_modules", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file. Immutable.

    Attributes:
        file: As it was named, or empty where there is none.
        index: Its number in the file, from 0.
        value: Plain JSON with keys of text; an `Unknown` where the value is decided elsewhere.
            The text of a Python file; None where nothing could be read.
        form: "yaml", "json", "python", or "value" where no text was read.
        text: Of this document, comments too.
        begins: The line of the file that the text begins in.
        lines: By JSON pointer, the line of the file.
        problems: Why it does not read, or not as a whole.
        partial: It is a template with parts left out: what is missed may stand in them.
    """

    file: str
    index: int
    value: Any
    form: Form = "value"
    text: str = ""
    begins: int = 1
    lines: Mapping[str, int] = field(default_factory=lambda: NO_ITEMS)
    problems: tuple[Finding, ...] = ()
    partial: bool = False

    def line(self, pointer: str) -> int | None:
        """Give the line of a pointer, or of the nearest place around it that has one."""
        while pointer not in self.lines and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer)

    def place(self, pointer: str = "") -> Place:
        """Give the place of a pointer."""
        return Place(self.file, self.index, pointer, self.line(pointer))


Source: TypeAlias = "str | os.PathLike[str] | Mapping[Any, Any] | Document"


def read(source: Source | Iterable[Source]) -> list[Document]:
    r"""Read configs. What does not read is in the `problems` of its document, never skipped.

    Args:
        source: The path of a file or of a folder; a text of YAML or JSON, which has more than one
            line or begins with a brace; a document that is parsed already; or several of these.

    Raises:
        ConfigurationError: A file is of another kind.
        MissingDependencyError: It is YAML, and PyYAML is not installed.
        OSError: A file cannot be opened.

    Examples:
        >>> from mlguard.lint import Unknown
        >>> document, other = read("replicas: 3\n---\nimage: ${IMAGE}\n")
        >>> document.value, document.place("/replicas").line
        ({'replicas': 3}, 1)
        >>> isinstance(other.value["image"], Unknown), other.line("/image")
        (True, 3)
        >>> print(read("replicas: [3\n")[0].problems[0].message)
        does not read: did not find expected ',' or ']'
    """
    if isinstance(source, Document):
        return [source]
    if isinstance(source, Mapping):
        return _parsed(source)
    if isinstance(source, str) and ("\n" in source or _BRACE.match(source)):
        return _texts(source, "json" if _BRACE.match(source) else "yaml", "")
    if isinstance(source, str | os.PathLike):
        path = File(source)
        return [each for file in _files(path) for each in _file(file)]
    if not isinstance(source, Iterable):
        raise refusal("source", source, "a path, a text, a document or several of these")
    found = [each for inner in source for each in read(inner)]
    return _numbered(found)


def _parsed(source: Mapping[Any, Any]) -> list[Document]:
    try:
        return [Document("", 0, trees.of_value(dict(source)).value)]
    except (Unreadable, RecursionError) as error:
        return [_broken(Document("", 0, None), error)]


def _numbered(documents: list[Document]) -> list[Document]:
    """Number what has no file in the order in which it was given."""
    nameless = count()
    return [each if each.file else replace(each, index=next(nameless)) for each in documents]


def _files(path: File) -> Iterator[File]:
    if not path.is_dir():
        yield path
        return
    for folder, inside, names in os.walk(path):  # does not follow links
        inside[:] = sorted(each for each in inside if each not in _SKIPPED and each[0] != ".")
        for name in sorted(names):
            if File(name).suffix.lower() in FORMS:
                yield File(folder, name)


def _file(path: File) -> list[Document]:
    form, name = FORMS.get(path.suffix.lower()), path.as_posix()
    if form is None:
        raise refusal("path", name, f"a folder, or a file that ends in {', '.join(FORMS)}")
    with path.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    try:
        text = data[:MOST_BYTES].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken = Unreadable("not UTF-8", data.count(b"\n", 0, error.start) + 1)
        if len(data) <= MOST_BYTES:
            return [_broken(Document(name, 0, None, form), broken)]
        text = ""
    return _texts(text if len(data) <= MOST_BYTES else text + " ", form, name)


def _texts(text: str, form: Form, name: str) -> list[Document]:
    whole = Document(name, 0, None, form, text)
    if len(text) > MOST_BYTES:
        return [_broken(replace(whole, text=""), Unreadable(f"more than {MOST_BYTES:,} bytes", 1))]
    if form == "python":
        try:
            trees.of_python(text)
        except Unreadable as error:
            return [_broken(whole, error)]
        return [replace(whole, value=text)]
    if form == "json":
        try:
            return [_made(whole, trees.of_json(text))]
        except Unreadable as error:
            return [_broken(whole, error)]
    return _yaml(whole)


def _yaml(whole: Document) -> list[Document]:
    found: list[Document] = []
    effort = 0
    for begins, part in _parts(whole.text):
        document = replace(whole, index=len(found), text=part, begins=begins)
        if effort > _MOST_EFFORT:
            return [*found, _broken(document, Unreadable("more documents than are read", 1))]
        made = _read_yaml(document)
        effort += 100 + sum(len(each.lines) or MOST_NODES // 5 for each in made)
        found += made
    return found or [whole]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text where documents begin, so that a broken one does not take others with it."""
    cuts = [0, *(found.start() for found in _DOCUMENT.finditer(text)), len(text)]
    line, kept = 1, ""
    for start, end in pairwise(cuts):
        part = kept + text[start:end]
        if _CONTENT.search(part) is None:  # comments and directives belong to the next one
            kept = part
            continue
        yield line, part
        line, kept = line + part.count("\n"), ""


def _read_yaml(document: Document) -> list[Document]:
    try:
        return _documents(document, document.text)
    except (Unreadable, RecursionError) as error:
        line = templates.first(document.text)
        if line is None:
            return [_broken(document, error)]
        try:
            found = _documents(document, templates.hollow(document.text))
        except (Unreadable, RecursionError):
            found = []
        if not found:
            return [_broken(document, Unreadable("a template, which is no YAML", line))]
        place = Place(document.file, document.index, "", document.begins + line - 1)
        problem = Finding(TEMPLATE, "", "is a template: read without what is put in", place)
        return [replace(each, partial=True, problems=(problem,)) for each in found]


def _documents(document: Document, text: str) -> list[Document]:
    trees_ = [each for each in trees.of_yaml(text) if each.value is not None]
    return [
        _made(replace(document, index=document.index + n), each) for n, each in enumerate(trees_)
    ]


def _made(document: Document, tree: Tree) -> Document:
    before = document.begins - 1
    lines = {pointer: line + before for pointer, line in tree.lines.items()}
    read = replace(document, value=tree.value, lines=lines)
    problems = tuple(
        Finding(
            TWICE,
            "",
            "is given twice: the last one counts",
            Place(read.file, read.index, pointer, line + before),
        )
        for pointer, line in tree.twice.items()
    )
    return replace(read, problems=problems)


def _broken(document: Document, error: Exception) -> Document:
    says, line = str(error), getattr(error, "line", None)
    if isinstance(error, RecursionError):
        says = "nested too deeply"
    if document.form != "value":
        line = (line or 1) + document.begins - 1
    place = Place(document.file, document.index, "", line)
    return replace(document, problems=(Finding(UNREADABLE, "", f"does not read: {says}", place),))
