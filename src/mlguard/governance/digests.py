"""Digests of what is approved: bytes, files, directories, plain JSON, a model with its reference.

A digest says what it is of: `sha256:` bytes, `tree:` a directory, `json:` a value. So a file that
spells a directory's listing is not taken for that directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from mlguard.arguments import refusal
from mlguard.records import plain

_CHUNK = 1 << 20
_DOWNLOADED = "registered_model_meta"


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    """Digest bytes.

    Raises:
        ConfigurationError: They are no bytes.

    Examples:
        >>> digest_bytes(b"model")
        'sha256:9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4'
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise refusal("data", data, "bytes")
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_path(path: str | os.PathLike[str]) -> str:
    """Digest a file, or a directory with all that is in it.

    A file has the digest of its bytes, read piece by piece. A directory has that of the names and
    the bytes of its files, in whatever order they are listed; times, owners and modes do not count,
    nor do empty directories, which no object store keeps. What was digested is what you load only
    if nobody else can write there in between.

    Args:
        path: Of the file or directory.

    Raises:
        ConfigurationError: Nothing is there, or something in the directory is neither a file nor
            a directory, such as a symbolic link: it may lead anywhere tomorrow.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "model.bin").write_bytes(b"model")
        ...     print(digest_path(Path(folder, "model.bin"))[:15], digest_path(folder)[:13])
        sha256:9372c470 tree:317f5bfd
    """
    top = Path(path)
    if top.is_dir():
        return _tree(top, ())
    if not top.is_file():
        raise refusal("path", str(path), "a file or a directory that is there")
    return f"sha256:{_file(top)}"


def digest_mlflow(directory: str | os.PathLike[str]) -> str:
    """Digest the directory that an MLflow model version was downloaded to.

    As `digest_path`, without the file `registered_model_meta`, which MLflow adds on the way down
    when a model is asked for by its registered name: the same bytes have the same digest, by
    whatever name they were asked for.

    Raises:
        ConfigurationError: There is no `MLmodel` in it, or as `digest_path`.
    """
    top = Path(directory)
    if not (top / "MLmodel").is_file():
        raise refusal("directory", str(directory), "one with a file MLmodel in it")
    return _tree(top, (_DOWNLOADED,))


def digest_json(value: Any) -> str:
    """Digest plain JSON, or what has `to_dict()` or `to_json()`; the order of keys does not count.

    Raises:
        ConfigurationError: It is not plain JSON.

    Examples:
        >>> digest_json({"auc": 0.8, "p99": 0.05}) == digest_json({"p99": 0.05, "auc": 0.8})
        True
    """
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    elif hasattr(value, "to_json"):
        value = json.loads(value.to_json())
    return f"json:{hashlib.sha256(canonical(value)).hexdigest()}"


def digest_subject(model: str, *, reference: Any = None) -> str:
    """Digest what goes out: the bytes of a model, and the reference it is compared with.

    Both change at every retrain, so an approval of the one before is none of this one.

    Args:
        model: Digest of its bytes, such as `digest_path` gives.
        reference: A `Reference`, or plain JSON; None where there is none.

    Raises:
        ConfigurationError: `model` is no digest, or `reference` is not plain JSON.

    Examples:
        >>> digest_subject(digest_bytes(b"model"))[:13]
        'json:299f59c5'
    """
    known = None if reference is None else digest_json(reference)
    return digest_json({"model": digest_of("model", model), "reference": known})


def digest_of(parameter: str, value: object) -> str:
    """Read a digest: a word that is not empty, in one piece."""
    if not isinstance(value, str) or not value or value != "".join(value.split()):
        raise refusal(parameter, value, "a digest: a string without spaces")
    return value


def canonical(value: Any) -> bytes:
    """Write plain JSON in the one way that is digested and sealed."""
    written = json.dumps(
        plain(value, "value"), sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return written.encode()


def _tree(top: Path, without: tuple[str, ...]) -> str:
    lines = []
    for folder, folders, names in os.walk(top, onerror=_raised):
        for name in (*folders, *names):
            path = Path(folder, name)
            mode, inside = path.lstat().st_mode, path.relative_to(top).as_posix()
            if stat.S_ISREG(mode):
                if inside not in without:
                    lines.append((os.fsencode(inside), _file(path)))
            elif not stat.S_ISDIR(mode):
                raise refusal("path", str(inside), "a file or a directory, and no link")
    total = hashlib.sha256()
    for written, digest in sorted(lines):
        total.update(b"%d:%b%b" % (len(written), written, digest.encode()))
    return f"tree:{total.hexdigest()}"


def _raised(error: OSError) -> None:
    raise error


def _file(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()
