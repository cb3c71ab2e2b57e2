from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlguard.__main__ import main

BARE = "replicas: 3\nresources: {cpu: 500m, memory: 1Gi}\n"
GOOD = BARE + "rollback_on_error: true\ndrift_alert_threshold: 0.05\ncost_alert_per_day: 500\n"
REQUIREMENTS = {
    "version": 1,
    "service": "eta",
    "drift": {},
    "cost": {"cap": "500 USD", "window": "day"},
    "rollout": {"rollback_on_error": True},
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.yaml").write_text(BARE)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "broken.yaml").write_text("a: [\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    (tmp_path / "production.json").write_text(json.dumps(REQUIREMENTS))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("good.yaml", 0),
        ("bare.yaml", 1),
        ("good.yaml bare.yaml", 1),
        ("good.yaml broken.yaml", 3),
        ("bare.yaml broken.yaml", 1),
        ("other.yaml", 3),
        ("good.yaml --requirements production.json", 0),
        ("bare.yaml --requirements production.json", 1),
        ("missing.yaml", 2),
        ("good.yaml --requirements missing.json", 2),
        ("good.yaml --requirements bare.yaml", 2),
        ("good.yaml --waivers good.yaml", 2),
        ("good.yaml --baseline good.yaml", 2),
        ("good.yaml --baseline production.json", 2),
        ("good.yaml --hourly cheap", 2),
    ],
)
def test_the_exit_code_says_how_bad_it_is(
    arguments: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", *arguments.split()]) == code
    out, err = capsys.readouterr()
    assert bool(out) == (code != 2)
    assert err.startswith("mlguard: ") == (code == 2)


def test_the_baseline_that_it_prints_makes_only_new_findings_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", "bare.yaml", "--format", "baseline"]) == 1
    (tmp_path / "baseline.json").write_text(capsys.readouterr().out)
    (tmp_path / "bare.yaml").write_text(f"# moved\n{BARE}")
    assert main(["lint", "bare.yaml", "--baseline", "baseline.json"]) == 0
    assert main(["lint", "good.yaml", "bare.yaml", "--baseline", "baseline.json"]) == 0
    (tmp_path / "new.yaml").write_text(BARE)
    assert main(["lint", "new.yaml", "bare.yaml", "--baseline", "baseline.json"]) == 1


def test_waivers_from_a_file_are_taken_and_an_expired_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "MLG-RB001", "MLG-DR001", "MLG-CO001"
    for until, code in (("9000-01-01", 0), ("2020-01-01", 1)):
        waivers = [{"rule": rule, "who": "ada", "why": "batch", "until": until} for rule in rules]
        (tmp_path / "waivers.json").write_text(json.dumps({"waivers": waivers}))
        assert main(["lint", "bare.yaml", "--waivers", "waivers.json"]) == code
    assert "MLG-WA002" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_records_are_json_whatever_is_found(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", ".", "--format", form]) == 1
    assert isinstance(json.loads(capsys.readouterr().out), dict)


@pytest.mark.parametrize(
    ("form", "begins"), [("github", "::error "), ("markdown", "| requirement")]
)
def test_pages_begin_as_they_should(
    form: str, begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", "bare.yaml", "--format", form]) == 1
    assert capsys.readouterr().out.startswith(begins)


def test_yaml_without_its_parser_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    assert main(["lint", "good.yaml"]) == 2
    assert "the extra `yaml`" in capsys.readouterr().err


def test_the_hook_and_the_recipes_name_what_there_is() -> None:
    yaml = pytest.importorskip("yaml")
    root = Path(__file__).parents[2]
    (hook,) = yaml.safe_load((root / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split()[:3] == ["python", "-m", "mlguard"]
    page = (root / "docs/how-to/lint-in-ci.md").read_text()
    repository, jobs, waivers = (
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    )
    used = repository["repos"][0]["hooks"][0]
    assert used["id"] == hook["id"]
    commands = [each.get("run", "") for each in jobs["jobs"]["configs"]["steps"]]
    forms = re.findall(r"--format (\w+)", "".join(commands))
    assert set(forms) == {"markdown", "sarif", "github"}
    assert list(waivers["waivers"][0]) == ["rule", "file", "who", "why", "until"]
    for line in commands:
        assert "mlguard lint" not in line or "--requirements production.yaml" in line
