"""The programs that a model card prints run as they stand, without this workbench, and read its scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.ml.encoders import FAMILIES, build_encoder
from tests.training.ml.export_jobs import job
from tests.training.ml.trained import Trained, train_briefly
from training.ml import export
from training.ml.scoring import score
from training.workflow.card_contents import Facts
from training.workflow.model_card import card_of

pytestmark = pytest.mark.not_db
MESSAGES, TEXT = [{"role": "user", "content": "How do I bake bread?"}], "Mix flour and water."


def by_the_card(trained: Trained, folder: Path, form: str = "merged", **facts: object) -> float:
    made = job(trained, folder, form=form)
    export.run(made)
    given = Facts("A judge", "reward", form, "float32", "base", [], recipe="reward", **facts)
    [program] = [part.split("\n```")[0] for part in card_of(given).split("```python\n")[1:]]
    program = program.replace("DIRECTORY", str(made.cache / "exports" / "garden" / "plain"))
    found: dict[str, object] = {}
    with torch.no_grad():
        exec(program.replace("BASE", str(trained.base)), found)
    return float(found["score"])


def by_the_workbench(trained: Trained) -> float:
    [found] = score(trained.reloaded(), trained.tokenizer, [(MESSAGES, TEXT)], 1)
    return found


@pytest.mark.parametrize("variant", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_of_an_encoder(family: str, variant: str, tmp_path: Path) -> None:
    trained = train_briefly(variant, "reward", build_encoder(tmp_path / "base", family), tmp_path / "artifact")
    found = by_the_card(trained, tmp_path / "job", encoder=True)
    assert found == pytest.approx(by_the_workbench(trained), abs=1e-4)


@pytest.mark.parametrize("variant", ["lora", "ia3", "prompt_tuning"])
@pytest.mark.parametrize("base", ["fixture_model", "fixture_model_pad_is_eos"])
def test_of_an_adapter_beside_its_base(base: str, variant: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    trained = train_briefly(variant, "reward", request.getfixturevalue(base), tmp_path / "artifact")
    found = by_the_card(trained, tmp_path / "job", form="adapter", adapter=variant)
    assert found == pytest.approx(by_the_workbench(trained), abs=1e-4)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_of_an_ensemble_of_heads(kind: str, members: int, fixture_model: Path, tmp_path: Path) -> None:
    base = fixture_model if kind == "decoder" else build_encoder(tmp_path / "base")
    trained = train_briefly("full", "reward", base, tmp_path / "artifact", members=members)
    found = by_the_card(trained, tmp_path / "job", encoder=kind == "encoder", members=members)
    assert found == pytest.approx(by_the_workbench(trained), abs=1e-4)
