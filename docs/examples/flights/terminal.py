"""What the demo says in the terminal."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mlguard import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from mlguard import Waiver

STYLE: Final = {
    Severity.OK: ("✔", "green"),
    Severity.UNKNOWN: ("?", "yellow"),
    Severity.WARN: ("!", "yellow"),
    Severity.BREACH: ("✘", "red"),
}
MARK: Final = {
    Severity.OK: ("·", "dim"),
    Severity.UNKNOWN: ("?", "dim"),
    Severity.WARN: ("▒", "yellow"),
    Severity.BREACH: ("█", "red"),
}
"""One character for a verdict among many."""
WIDEST: Final = 112
FEW: Final = 4


class Screen:
    """A terminal that the acts write to. Not thread-safe."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(highlight=False)
        console.width = min(console.width, WIDEST)
        self.console = console

    def title(self, name: str, lead: str) -> None:
        """Open an act."""
        self.console.print()
        self.console.rule(Text(name, style="bold"), align="left", style="dim")
        self.console.print(Padding(lead, (0, 0, 1, 0)))

    @contextmanager
    def steps(self, count: int) -> Iterator[Callable[[str], AbstractContextManager[None]]]:
        """Show a progress bar over a number of named steps."""
        columns = (
            SpinnerColumn(finished_text="[green]✔[/]"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task("", total=count)

            @contextmanager
            def step(name: str) -> Iterator[None]:
                progress.update(task, description=name)
                yield
                progress.advance(task)

            yield step
            progress.update(task, description="Ready")

    def table(
        self, title: str, header: Sequence[str], rows: Sequence[Sequence[str | Text]]
    ) -> None:
        """Show rows of numbers under a header; the first column holds names."""
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=None,
            padding=(0, 2, 0, 0),
            pad_edge=False,
        )
        for place, name in enumerate(header):
            table.add_column(
                fill(name, 11),
                justify="right" if place else "left",
                header_style="dim",
                vertical="bottom",
                no_wrap=True,
            )
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        self.console.print()

    def moments(self, rows: Iterable[tuple[str, str, Text, str]]) -> None:
        """Show what was said when: a row is a time, who it is about, a word for it, and the words."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for at, who, word, text in rows:
            table.add_row(at, who, word, Text(text, "dim"))
        self.console.print(Padding(table, (0, 0, 1, 0)))

    def verdict(self, title: str, verdict: Verdict, why: str, *, word: str = "") -> None:
        """Show a verdict in one sentence and as a tree, whose many fine leaves are only counted."""
        sign, colour = STYLE[verdict.severity]
        word = word or ("PASSED" if verdict.ok else "STOPPED")
        self.console.print(
            Panel(
                Text(why),
                title=f"[bold {colour}]{sign} {word}[/]  [bold]{title}[/]",
                title_align="left",
                border_style=colour,
            )
        )
        self.console.print(Padding(tree(verdict), (0, 0, 1, 2)))

    def report(self, path: Path) -> None:
        """Say where the report lies, and how to read a verdict again."""
        self.console.rule(style="dim")
        records = sorted(_short(each) for each in path.parent.glob("*.json"))
        for record in records:
            self.console.print(f"[dim]python -m mlguard explain {record}[/]", soft_wrap=True)
        link = f"bold cyan link {path.resolve().as_uri()}"
        words = Text.assemble(("Open the report: ", "bold"), (str(_short(path)), link))
        self.console.print(words, soft_wrap=True)


def tree(verdict: Verdict | Waiver) -> Tree:
    """Draw a verdict as a tree; of more than four causes only those that are not OK are shown."""
    if not isinstance(verdict, Verdict):
        return Tree(Text(str(verdict), style="dim"))
    sign, colour = STYLE[verdict.severity]
    line = Text.assemble((f"{sign} ", colour), *_words(verdict))
    branch = Tree(line, guide_style="dim")
    shown = [cause for cause in verdict.causes if len(verdict.causes) <= FEW or not _fine(cause)]
    for cause in shown:
        branch.children.append(tree(cause))
    hidden = len(verdict.causes) - len(shown)
    if hidden:
        branch.add(
            Text(f"✔ {hidden} more are OK" if shown else f"✔ all {hidden} are OK", style="dim")
        )
    return branch


def _fine(cause: Verdict | Waiver) -> bool:
    return isinstance(cause, Verdict) and cause.ok


def _words(verdict: Verdict) -> list[tuple[str, str]]:
    """Say what was judged and why, without saying its name twice; causes are counted, as they follow below."""
    if verdict.causes:
        return [(verdict.name, "bold")]
    reason = verdict.reason.removeprefix(verdict.name).removeprefix(" = ")
    return [(f"{verdict.name}  ", "bold"), (reason, "dim" if verdict.ok else "")]


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
