"""The command `init`: a first draft of a requirements document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlguard.arguments import refusal

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "init",
        help="draft a requirements document from what was recorded while nothing was wrong",
        description="Writes a document whose limits say from which data they are and how often "
        "they alarm falsely. What a person must decide is marked OWNER. No model is asked.",
    )
    parser.add_argument(
        "reference",
        nargs="?",
        help="rows in the order of time (.csv, .parquet), or what Reference.to_json() gave (.json)",
    )
    parser.add_argument("--service", default="my-service", help="its name (%(default)s)")
    parser.add_argument(
        "--leave-out",
        metavar="COLUMN",
        action="append",
        default=[],
        help="such as an identifier or a time; may be given again",
    )
    parser.add_argument("--latencies", metavar="FILE", help="seconds, one on each line")
    parser.add_argument("--price", metavar="AMOUNT", help="of one inference, such as '0.004 USD'")
    parser.add_argument("--requests-per-day", type=int, metavar="N", help="expected")
    parser.add_argument(
        "-o", "--output", default="production.yaml", help="a new file, or - (%(default)s)"
    )


def drafted(given: argparse.Namespace) -> str:
    """Write the draft to its file, and give what to print: the draft, or where it is.

    Raises:
        ConfigurationError: An input cannot be used.
        OSError: A file cannot be opened, or the output is there already.
    """
    from mlguard.requirements.draft import scaffold  # noqa: PLC0415 -- it is slow to import

    text = scaffold(
        None if given.reference is None else _reference(Path(given.reference)),
        service=given.service,
        leave_out=given.leave_out,
        latencies=None if given.latencies is None else _numbers(Path(given.latencies)),
        prices=given.price,
        requests_per_day=given.requests_per_day,
    )
    if given.output == "-":
        return text.rstrip("\n")
    with Path(given.output).open("x", encoding="utf-8") as file:
        file.write(text)
    return f"{given.output}: {text.partition('data: ')[2].partition('.')[0]}"


def _reference(path: Path) -> Any:
    import pandas as pd  # noqa: PLC0415 -- late, as everywhere

    from mlguard.drift.reference import Reference  # noqa: PLC0415

    if path.suffix == ".json":
        return Reference.from_json(path.read_text(encoding="utf-8"))
    if path.suffix == ".csv":
        return pd.read_csv(path)
    if path.suffix == ".parquet":
        path.stat()  # pandas does not say which file is not there
        return pd.read_parquet(path)
    raise refusal("reference", str(path), "a file that ends in .csv, .parquet or .json")


def _numbers(path: Path) -> list[float]:
    found = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if text.strip():
            try:
                found.append(float(text))
            except ValueError:
                raise refusal(f"{path}:{line}", text, "a number of seconds") from None
    return found
