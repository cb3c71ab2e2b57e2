"""A document that was written once is read for ever, and means what it meant."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from mlguard import Guards, MemoryStore, Reference, Requirements
from mlguard.requirements.model import VERSION
from mlguard.testing import ManualClock

HERE = Path(__file__).parent
FROZEN = {1: "json:49ce434c48b690c2b8af2f9333a792d781c934717561ea126966e2bff119c016"}
"""By version, the digest of what its document means, as it was when that version came.

That of 1 was made anew once, before any release: order and written-out defaults had counted.
"""


def test_each_version_that_there_was_has_its_frozen_document() -> None:
    assert list(FROZEN) == list(range(1, VERSION + 1))
    schema = Requirements.model_json_schema()
    assert schema["properties"]["version"]["const"] == VERSION


@pytest.mark.parametrize("version", FROZEN)
def test_a_frozen_document_means_what_it_meant(version: int) -> None:
    wanted = Requirements.load(HERE / f"version-{version}.yaml")
    assert wanted.digest == FROZEN[version]
    assert wanted.version == VERSION


def test_from_the_document_by_an_independent_validator_to_guards_that_explain_it() -> None:
    file = HERE / f"version-{VERSION}.yaml"
    jsonschema.validate(yaml.safe_load(file.read_text("utf-8")), Requirements.model_json_schema())
    wanted = Requirements.load(file)
    rng = np.random.default_rng(0)
    reference = Reference.fit({"amount": rng.normal(size=500), "score": rng.normal(size=500)})
    guards = Guards.build(wanted, reference=reference, store=MemoryStore(), clock=ManualClock())
    names = {verdict.name for verdict in guards.verdicts()}
    assert names == wanted.judged - {"estimated performance"}  # which is judged elsewhere
    assert guards.rollout("v2", environment="lab").plan.stages == (0.01, 0.05, 0.25, 0.5)
    said, stands = guards.explain().split("\n\n")
    assert said == wanted.explain()
    for name in names:
        assert f" {name} service=fraud-scorer" in stands
        assert any(line.startswith(f"{name}: ") for line in said.splitlines())
    dumped = wanted.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    jsonschema.validate(dumped, Requirements.model_json_schema())
    assert Requirements.model_validate(dumped).explain() == said
