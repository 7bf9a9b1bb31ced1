"""A reward model from elsewhere, without a manifest: its scores are those that transformers reads, wherever asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.training.foreign_reward import build_encoder_reward, build_foreign_reward
from tests.training.ml.export_jobs import job_of_model
from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.judges import full_judge
from tests.training.ml.test_sampling import make_job
from tests.training.ml.test_scored_sampling import judged, scores_anywhere_else
from tests.training.ml.test_scoring import TEXTS
from tests.training.planted import write_planted
from training.ml import export, grpo, ppo, rloo, sampling
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import ModelSpec
from training.ml.load import load_reward_model
from training.ml.progress import read_lines
from training.ml.scorer import load_scorer
from training.ml.scoring import score

QUICK = {"batch_size": 4, "gradient_accumulation": 1, "max_new_tokens": 8, "learning_rate": 0.003}


def scores_here(folder: Path, cache: Path) -> list[float]:
    scorer = load_scorer(ModelSpec(str(folder)), cache, choose_device(), lambda: None)
    return score(scorer.model, scorer.tokenizer, TEXTS, 4)


def scores_of_transformers(folder: Path) -> list[float]:
    """All texts in one padded batch, as a user of the model would have it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    chats = [
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + text + tokenizer.eos_token
        for messages, text in TEXTS
    ]
    batch = tokenizer(chats, padding=True, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        return model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].tolist()


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_its_scores_are_those_that_transformers_reads(kind: str, tmp_path: Path) -> None:
    folder = build_foreign_reward(tmp_path / kind, kind)
    expected = scores_of_transformers(folder)
    assert max(expected) - min(expected) > 0.1
    assert scores_here(folder, tmp_path) == pytest.approx(expected, abs=1e-5)


def test_an_export_of_a_whole_reward_model_of_ours_is_one_too(fixture_model: Path, tmp_path: Path) -> None:
    trained = full_judge(tmp_path, fixture_model)
    export.run(job_of_model(ModelSpec(trained["base"]), tmp_path / "export"))
    folder = Path(json.loads((tmp_path / "export" / "result.json").read_text())["folder"])
    assert not (folder / "manifest.json").exists()
    expected = scores_here(Path(trained["base"]), tmp_path)
    assert scores_here(folder, tmp_path) == pytest.approx(expected, abs=1e-5)
    assert scores_of_transformers(folder) == pytest.approx(expected, abs=1e-5)


def test_an_encoder_of_ours_without_its_manifest_scores_as_it_did(tmp_path: Path) -> None:
    folder = build_encoder_reward(tmp_path / "exported")
    scorer = load_scorer(ModelSpec(str(folder)), tmp_path, choose_device(), lambda: None)
    alone = [score(scorer.model, scorer.tokenizer, [text], 1)[0] for text in TEXTS]
    assert max(alone) - min(alone) > 0.1
    assert scores_here(folder, tmp_path) == pytest.approx(alone, abs=1e-5)


def test_a_classifier_of_several_labels_is_none(tmp_path: Path) -> None:
    folder = build_foreign_reward(tmp_path / "two", labels=2)
    with pytest.raises(ModelError) as caught:
        load_reward_model(ModelSpec(str(folder)), cache=tmp_path, device=choose_device())
    assert caught.value.code == "not_reward_model"


def test_it_scores_the_responses_of_a_sampling_run(fixture_model: Path, tmp_path: Path) -> None:
    folder = build_foreign_reward(tmp_path / "judge")
    job = judged(make_job(tmp_path / "job", fixture_model), {"base": str(folder), "adapters": []})
    sampling.run(job)
    rows = list(read_lines(job.directory / "samples.jsonl"))
    assert [row["score"] for row in rows] == pytest.approx(scores_anywhere_else(job, rows), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "recipe", "more"),
    [
        ("ppo", ppo, {"rollouts": 8, "epochs": 1}),
        pytest.param("rloo", rloo, {"epochs": 1}, marks=pytest.mark.slow),
        pytest.param("grpo", grpo, {"epochs": 1, "generations": 4}, marks=pytest.mark.slow),
    ],
)
def test_it_rewards_a_policy(
    name: str, recipe: ModuleType, more: dict[str, int], fixture_model: Path, tmp_path: Path
) -> None:
    folder = build_foreign_reward(tmp_path / "judge")
    data = write_planted(tmp_path / "data", train=8, test=4)
    rewarded_by = {"base": str(folder), "adapters": []}
    job = job_of(tmp_path / "run", name, fixture_model, data, reward_model=rewarded_by, **QUICK, **more)
    recipe.run(job)
    found = manifest(job.directory)
    assert found["task"] == "policy" and "reward_after" in found["metrics"]
