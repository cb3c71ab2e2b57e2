"""What is public is sorted, documented, in the reference, and says it in our words."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import mlguard

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PUBLIC = [
    "mlguard",
    "mlguard.drift",
    "mlguard.drift.streams",
    "mlguard.governance",
    "mlguard.integrations.airflow",
    "mlguard.integrations.asgi",
    "mlguard.integrations.judges",
    "mlguard.integrations.metered",
    "mlguard.integrations.mlflow",
    "mlguard.integrations.opentelemetry",
    "mlguard.integrations.prefect",
    "mlguard.integrations.prometheus",
    "mlguard.integrations.redis",
    "mlguard.integrations.sinks",
    "mlguard.integrations.wrap",
    "mlguard.integrations.wsgi",
    "mlguard.lint",
    "mlguard.performance",
    "mlguard.policies.simulate",
    "mlguard.requirements",
    "mlguard.rollout",
    "mlguard.testing",
]
NOT_OUR_WORDS = {"manager", "handler", "helper", "helpers", "util", "utils", "base"}
NOT_OUR_PHRASES = re.compile(r"drift score|model health", re.IGNORECASE)
MODULES = ["mlguard", *(m.name for m in pkgutil.walk_packages(mlguard.__path__, "mlguard."))]


def words(name: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace(".", "_").split("_"))


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_sorted_and_there(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert list(names) == sorted(set(names))
    assert set(names) <= set(dir(importlib.import_module(module)))


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_have_a_docstring(module: str) -> None:
    namespace = importlib.import_module(module)
    without = {
        name
        for name in namespace.__all__
        if (inspect.isclass(value := getattr(namespace, name)) or inspect.isroutine(value))
        and not (value.__doc__ or "").strip()
    }
    assert not without


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_in_the_reference_once(module: str) -> None:
    pages = "\n".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))
    documented = re.findall(rf"^::: {re.escape(module)}\.([A-Za-z]\w*)$", pages, re.MULTILINE)
    others = {name.removeprefix(f"{module}.").partition(".")[0] for name in PUBLIC}
    if module == "mlguard":  # what a package inside gives too is documented there
        inside = (importlib.import_module(name).__all__ for name in PUBLIC if name != module)
        others |= {name for names in inside for name in names}
    wanted = set(importlib.import_module(module).__all__) - others
    assert sorted(documented) == sorted(wanted)


@pytest.mark.parametrize("module", MODULES)
def test_names_use_our_words(module: str) -> None:
    if module.endswith("__main__"):
        names = [module]
    else:
        namespace = vars(importlib.import_module(module))
        names = [module, *(name for name in namespace if not name.startswith("_"))]
        for value in list(namespace.values()):
            if inspect.isclass(value) and value.__module__ == module:
                names += [name for name in vars(value) if not name.startswith("_")]
    assert not {name for name in names if words(name) & NOT_OUR_WORDS}


def test_prose_uses_our_words() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    said = {
        str(page.relative_to(ROOT)): found.group()
        for page in pages
        if (found := NOT_OUR_PHRASES.search(page.read_text("utf-8")))
    }
    assert not said
