from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mlguard.errors import ConfigurationError, MissingDependencyError
from mlguard.lint import Document, Unknown, read
from mlguard.requirements.load import MOST_BYTES

DEPLOYMENT = """\
# a comment
apiVersion: apps/v1
kind: Deployment
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: model
          image: ghcr.io/acme/model:1.2
---
kind: HorizontalPodAutoscaler
spec: {maxReplicas: 5}
"""


def only(text: str) -> Document:
    (document,) = read(text)
    return document


def says(document: Document) -> list[str]:
    return [
        f"{each.place.line} {each.rule.id} {each.place.pointer} {each.message}"
        for each in document.problems
    ]


def test_each_document_of_a_file_has_values_with_the_lines_of_the_file() -> None:
    deployment, scaler = read(DEPLOYMENT)
    assert deployment.value["spec"]["replicas"] == 3
    assert deployment.line("/spec/replicas") == 5
    assert deployment.line("/spec/template/spec/containers/0/image") == 10
    assert deployment.line("/spec/template/spec/containers/0/resources/limits") == 9
    assert (scaler.index, scaler.line("/spec/maxReplicas")) == (1, 13)
    assert scaler.place("/spec/maxReplicas").line == 13


def test_files_of_a_folder_are_read_in_order_and_hidden_ones_left_alone(tmp_path: Path) -> None:
    for name in ("b.yml", "a/c.json", ".git/d.yaml", "node_modules/e.json", "f.txt", "dag.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = [
        (each.file.removeprefix(f"{tmp_path.as_posix()}/"), each.form) for each in read(tmp_path)
    ]
    assert found == [("b.yml", "yaml"), ("dag.py", "python"), ("a/c.json", "json")]


def test_a_python_file_is_its_text(tmp_path: Path) -> None:
    file = tmp_path / "dag.py"
    file.write_text("raise SystemExit\n")
    assert read(file)[0].value == "raise SystemExit\n"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("")
    with pytest.raises(ConfigurationError, match=r"must be a folder, or a file"):
        read(file)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.yaml")
    with pytest.raises(ConfigurationError, match="source = 3"):
        read(3)  # type: ignore[arg-type]


def test_documents_that_are_parsed_already_are_numbered() -> None:
    one, two = read([{"replicas": 3}, {8080: "a", "tuple": (1, 2)}])
    assert (one.value, one.index, one.form, one.line("/replicas")) == (
        {"replicas": 3},
        0,
        "value",
        None,
    )
    assert (two.value, two.index) == ({"8080": "a", "tuple": [1, 2]}, 1)
    assert read(one) == [one]


def test_json_has_lines_too() -> None:
    document = only('{\n "a": [1,\n  {"b": "}"}],\n "c": {}\n}')
    assert document.value == {"a": [1, {"b": "}"}], "c": {}}
    assert [document.line(each) for each in ("", "/a", "/a/0", "/a/1", "/a/1/b", "/c")] == [
        1,
        2,
        2,
        3,
        3,
        4,
    ]


def test_anchors_and_merge_keys_mean_what_they_do_in_yaml() -> None:
    document = only(
        "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc:\n  y: 4\n  <<: [{x: 5}, *a]\nd: *a\n"
    )
    assert document.value["b"] == {"x": 1, "y": 3}
    assert document.value["c"] == {"y": 4, "x": 5}
    assert document.value["d"] == {"x": 1, "y": 2}
    assert (document.line("/c/y"), document.line("/c/x"), document.line("/d")) == (4, 5, 6)


def test_keys_are_text_as_they_are_written() -> None:
    assert only("on: 1\n8080: 2\n~: 3\n").value == {"on": 1, "8080": 2, "~": 3}


def test_values_are_plain_json() -> None:
    document = only(
        "at: 2027-01-31\nbig: " + "9" * 5_000 + "\nyes: true\nn: 1e3\nb: !!binary aGk=\n"
    )
    assert document.value["at"] == "2027-01-31"
    assert document.value["big"] == "9" * 5_000
    assert document.value["yes"] is True
    assert isinstance(document.value["b"], Unknown)


@pytest.mark.parametrize(
    "text",
    [
        "a: !Ref Bucket\n",
        "a: !GetAtt [one, two]\n",
        "a: !Sub\n  b: c\n",
        "a: !!python/object/apply:os.system [ls]\n",
        "a: ${IMAGE:-8}\n",
        "a: '{{ .Values.image }}'\n",
        "a: $IMAGE\n",
        '{"a": "${IMAGE}"}',
    ],
)
def test_what_is_decided_elsewhere_is_unknown(text: str) -> None:
    document = only(text)
    assert isinstance(document.value["a"], Unknown)
    assert not document.problems


def test_a_program_in_a_text_is_no_template() -> None:
    assert type(only("a: |\n  echo ${HOME}\n  exit\n").value["a"]) is str


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "3 MLG-FI003 /a is given twice: the last one counts"),
        ('{"b": {"a": 1,\n"a": 2}}', "2 MLG-FI003 /b/a is given twice: the last one counts"),
        (
            "a: 1\n b: 2\n",
            "2 MLG-FI001  does not read: mapping values are not allowed in this context",
        ),
        ("a:\n\t- b\n", "2 MLG-FI001  does not read: found character that cannot start any token"),
        (
            '{\n"a": 1,}',
            "2 MLG-FI001  does not read: Expecting property name enclosed in double quotes",
        ),
        ("a: &a [*a]\n", "1 MLG-FI001  does not read: an alias stands inside of what it means"),
        ("x:\n? [a, b]\n: c\n", "2 MLG-FI001  does not read: a key is no text"),
        ("a: 1\n<<: 3\n", "2 MLG-FI001  does not read: what is merged is no mapping"),
        ("a: 1\nb: *c\n", "2 MLG-FI001  does not read: found undefined alias"),
        ("a: 1\nb: \x07\n", "2 MLG-FI001  does not read: "),
    ],
)
def test_what_does_not_read_is_told_with_its_line(text: str, problem: str) -> None:
    (told,) = says(only(text))
    assert told.startswith(problem)


def test_a_broken_document_does_not_take_the_others_with_it() -> None:
    documents = read("a: 1\n---\nb: [\n---\nc: 3\n")
    assert [each.value for each in documents] == [{"a": 1}, None, {"c": 3}]
    assert documents[1].problems[0].place.line == 4
    assert documents[2].line("/c") == 5


def test_a_template_is_read_without_what_is_put_in() -> None:
    document = only(
        "{{- if .Values.enabled }}\n"
        "kind: Deployment\n"
        "metadata:\n"
        '  name: {{ include "chart.name" . }}\n'
        "  labels:\n"
        '    {{- include "chart.labels" . | nindent 4 }}\n'
        "spec:\n"
        "  replicas: {{ .Values.replicas }}\n"
        "{{- end }}\n"
    )
    assert document.partial
    assert says(document) == ["1 MLG-FI002  is a template: read without what is put in"]
    assert document.value["kind"] == "Deployment"
    assert document.value["metadata"]["labels"] is None
    assert document.value["spec"]["replicas"] == Unknown("{{…}}")
    assert isinstance(document.value["spec"]["replicas"], Unknown)
    assert document.line("/spec/replicas") == 8


def test_a_template_that_is_no_yaml_is_told_with_its_line() -> None:
    documents = read("a: 1\n---\n{{ toYaml .Values }}\n")
    assert documents[0].value == {"a": 1}
    assert says(documents[1]) == ["3 MLG-FI001  does not read: a template, which is no YAML"]


def test_size_and_depth_are_limited_before_a_tree_is_made(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    file = tmp_path / "big.yaml"
    with file.open("wb") as opened:
        opened.truncate(100 << 20)
    long = "a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 90 + "]\n"
    for source in (bomb, file, long, "[" * 100_000, "a: " + "[" * 200 + "\n", "- \n" * 100_000,
                   "[" + "1," * 100_000, "x" * MOST_BYTES + "\n\n", "- *a\n" * 200):  # fmt: skip
        (problem,) = read(source)[-1].problems
        assert problem.rule.id == "MLG-FI001"
        assert problem.place.line is not None
    holds_itself: dict[str, Any] = {}
    holds_itself["self"] = holds_itself
    assert says(read(holds_itself)[0])[0].startswith("None MLG-FI001")


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"a: 1\nb: gr\xfc\xdf\n")
    assert says(read(file)[0]) == ["2 MLG-FI001  does not read: not UTF-8"]


def test_a_folder_is_no_text_and_a_file_is_opened_once_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (document,) = read(str(tmp_path))
    assert (document.value, document.problems) == (None, ())


def test_yaml_without_its_parser_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match="the extra `yaml`"):
        read("a: 1\n")
    assert only('{"a": 1}').value == {"a": 1}


def test_aliases_are_limited_though_what_they_mean_is_small() -> None:
    assert read("a: &a 1\nb: [" + "*a, " * 100 + "]\n")[0].value["b"] == [1] * 100
    (document,) = read("a: &a 1\nb: [" + "*a, " * 101 + "]\n")
    assert says(document) == ["2 MLG-FI001  does not read: more than 100 aliases"]
