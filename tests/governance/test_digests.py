"""A digest changes with every byte and every name, and with nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlguard import ConfigurationError, Reference
from mlguard.governance import (
    digest_bytes,
    digest_json,
    digest_mlflow,
    digest_path,
    digest_subject,
)

FILES = {"MLmodel": b"flavors: {}", "model.bin": b"\x00" * 3_000_000, "data/x": b"1", "data/y": b""}


def written(top: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return top


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    data = FILES["model.bin"]
    path = written(tmp_path, FILES) / "model.bin"
    assert digest_path(path) == digest_bytes(data) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert digest_path(str(path)) == digest_bytes(bytearray(data))


def test_a_directory_does_not_depend_on_order_times_or_empty_directories(tmp_path: Path) -> None:
    one = written(tmp_path / "one", FILES)
    two = written(tmp_path / "two", dict(reversed(FILES.items())))
    os.utime(two / "model.bin", (1, 1))
    (two / "model.bin").chmod(0o600)
    (two / "empty").mkdir()
    assert digest_path(one) == digest_path(two)
    assert digest_path(one).startswith("tree:")


def test_a_directory_may_be_listed_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, walk = digest_path(written(tmp_path, FILES)), os.walk

    def backwards(*given: Any, **more: Any) -> Any:
        for folder, folders, names in reversed(list(walk(*given, **more))):
            yield folder, folders[::-1], names[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert digest_path(tmp_path) == before


@pytest.mark.parametrize(
    "changed",
    [
        {**FILES, "data/x": b"2"},
        {**FILES, "data/y": b"\n"},
        {**FILES, "more": b""},
        {name: data for name, data in FILES.items() if name != "data/y"},
        {**{name: data for name, data in FILES.items() if name != "data/x"}, "x": b"1"},
        {**FILES, "data/x": b"", "data/y": b"1"},
        {**{name: data for name, data in FILES.items() if name != "model.bin"}, "Model.bin": b""},
    ],
    ids=["a byte", "a byte more", "a file more", "a file less", "moved", "swapped", "renamed"],
)
def test_a_directory_changes_with_every_name_and_byte(
    tmp_path: Path, changed: dict[str, bytes]
) -> None:
    before = digest_path(written(tmp_path / "before", FILES))
    assert digest_path(written(tmp_path / "after", changed)) != before


names = st.text("ab/", min_size=1, max_size=4).filter(lambda name: "/" not in {name[0], name[-1]})
trees = st.dictionaries(
    names.filter(lambda name: "//" not in name), st.binary(max_size=3), max_size=4
)


@given(trees, trees)
def test_two_trees_are_equal_exactly_if_their_digests_are(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("trees")
    digests = []
    try:
        for number, tree in enumerate((one, two)):
            (folder / str(number)).mkdir()
            digests.append(digest_path(written(folder / str(number), tree)))
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        return  # a name is that of a file and of a directory
    finally:
        shutil.rmtree(folder)
    assert (digests[0] == digests[1]) is (one == two)


def test_a_file_that_spells_a_directory_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", {"a": b"1"})
    listing = b"1:a" + hashlib.sha256(b"1").hexdigest().encode()
    assert digest_path(folder) == f"tree:{hashlib.sha256(listing).hexdigest()}"
    assert digest_bytes(listing) != digest_path(folder)


@pytest.mark.parametrize("target", ["model.bin", "data", "nowhere", ".."])
def test_a_link_in_a_directory_is_refused(tmp_path: Path, target: str) -> None:
    folder = written(tmp_path / "model", FILES)
    (folder / "link").symlink_to(target)
    with pytest.raises(ConfigurationError, match=r"^path = 'link': must be a file or a directory"):
        digest_path(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_a_directory_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="path = 'pipe'"):
        digest_path(tmp_path)


def test_a_directory_that_cannot_be_listed_is_an_error_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scandir = written(tmp_path, FILES), os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name == "data":
            raise PermissionError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError):
        digest_path(folder)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"path = .*must be a file or a directory"):
        digest_path(tmp_path / "none")


def test_what_mlflow_adds_on_the_way_down_does_not_count(tmp_path: Path) -> None:
    by_run = written(tmp_path / "run", FILES)
    by_name = written(tmp_path / "name", {**FILES, "registered_model_meta": b"model_name: eta"})
    assert digest_mlflow(by_run) == digest_mlflow(by_name) == digest_path(by_run)
    written(by_name, {"data/registered_model_meta": b"no longer at the top"})
    assert digest_mlflow(by_name) != digest_mlflow(by_run)
    with pytest.raises(ConfigurationError, match="MLmodel"):
        digest_mlflow(tmp_path)


def test_json_is_written_in_one_way() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": (1, 2), "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])
    assert digest_json("1") != digest_json(1)
    with pytest.raises(ConfigurationError, match="must be plain JSON"):
        digest_json({"a": object()})


def test_the_subject_changes_with_the_model_and_with_the_reference() -> None:
    references = [Reference.fit({"x": [float(value), 2.0, 3.0]}) for value in (1, 1, 0)]
    model = digest_bytes(b"model")
    same, again, other = (digest_subject(model, reference=each) for each in references)
    assert same == again != other
    assert len({same, digest_subject(model), digest_subject(digest_bytes(b"another"))}) == 3
    with pytest.raises(ConfigurationError, match="model = 'version 7'"):
        digest_subject("version 7")


def test_bytes_are_bytes() -> None:
    with pytest.raises(ConfigurationError, match="data = 'model': must be bytes"):
        digest_bytes("model")  # type: ignore[arg-type]
