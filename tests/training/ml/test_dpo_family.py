"""Every loss of the DPO family learns a planted preference, and learns nothing where a coin decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.ml.jobs import job_of, manifest
from tests.training.planted import write_planted
from training.ml import dpo, kto, orpo, simpo

FAST = {"learning_rate": 0.004, "rank": 8}
FAMILY: list[tuple[Any, str, dict[str, Any]]] = [
    (dpo, "dpo", {"label_smoothing": 0.1}),
    (dpo, "dpo", {"loss": "robust", "label_smoothing": 0.2}),
    (dpo, "dpo", {"loss": "ipo"}),
    (dpo, "dpo", {"loss": "hinge"}),
    (dpo, "dpo", {"sft_weight": 1.0}),
    (dpo, "dpo", {"length_alpha": 0.5}),
    (dpo, "dpo", {"soft_labels": True}),
    (kto, "kto", {}),
    (orpo, "orpo", {"beta": 1.0}),
    (simpo, "simpo", {}),
]


def figures(base: Path, directory: Path, recipe: Any, name: str, chosen: dict[str, Any], **data: Any) -> dict[str, Any]:
    planted = write_planted(directory / "data", train=96, test=40, **data)
    job = job_of(directory / "run", name, base, planted, **FAST, **chosen)
    recipe.run(job)
    return manifest(job.directory)["metrics"]


@pytest.mark.parametrize(("recipe", "name", "chosen"), FAMILY)
def test_a_planted_preference_is_learned(
    recipe: Any, name: str, chosen: dict[str, Any], fixture_model: Path, tmp_path: Path
) -> None:
    found = figures(fixture_model, tmp_path, recipe, name, chosen)
    assert found["accuracy"]["low"] > 0.8
    assert found["margin"]["low"] > found.get("margin_before", {"high": 0.0})["high"]
    assert found["kl"]["low"] > 0
    assert found["samples"][0]["old"] != found["samples"][0]["new"]
    # Only where the loss takes the margin for the log-odds of the pair can it be as right as it is sure.
    assert ("calibration" in found) == (name == "dpo" and chosen.get("loss") not in ("ipo", "hinge"))


@pytest.mark.parametrize(("recipe", "name", "chosen"), FAMILY)
def test_nothing_is_learned_from_shuffled_labels(
    recipe: Any, name: str, chosen: dict[str, Any], fixture_model: Path, tmp_path: Path
) -> None:
    found = figures(fixture_model, tmp_path, recipe, name, chosen, shuffled=True)
    assert found["accuracy"]["low"] < 0.5 < found["accuracy"]["high"]
