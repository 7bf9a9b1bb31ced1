"""The score head on kept features: what is computed once, for whom, and that what it learns is an ordinary head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import write_planted
from training.ml import cancel, run
from training.ml.batching import pad
from training.ml.device import choose_device
from training.ml.features import Features, StandardisedHead
from training.ml.job import ModelSpec
from training.ml.load import load_reward_base
from training.ml.progress import Progress, read_lines
from training.ml.scoring import features, rewards
from training.ml.shared_prompts import features_of, in_batches

pytestmark = pytest.mark.not_db


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=60, test=40)


def trained(directory: Path, base: Path, data: dict[str, str], **settings: Any) -> dict[str, Any]:
    job = write_job(directory, "reward", base, data, adapter="head", **settings)
    assert run.main([str(job)]) == run.DONE
    return manifest(job)


def test_a_head_alone_learns_from_features_that_later_runs_find_there(
    fixture_model: Path, data: dict[str, str], tmp_path: Path
) -> None:
    first = trained(tmp_path / "first", fixture_model, data)
    assert first["metrics"]["accuracy"]["value"] > 0.9
    assert first["features"].pop("seconds") > 0
    assert first["features"] == {"computed": 200, "reused": 0}
    assert first["parameters"]["trainable"] == 64 and first["kind"] == "adapter"
    assert list(load_file(tmp_path / "first" / "artifact" / "adapter_model.safetensors")) == ["score.weight"]
    again = trained(tmp_path / "again", fixture_model, data, members=2, head_l2=0.0)
    assert again["features"].pop("seconds") < 5
    assert again["features"] == {"computed": 0, "reused": 200}
    told = [line["features"] for line in read_lines(tmp_path / "again" / "progress.jsonl") if "features" in line]
    assert told == [again["features"]]


def test_another_model_has_features_of_its_own(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    trained(tmp_path / "one", fixture_model, data)
    other = trained(tmp_path / "other", build_fixture_model(tmp_path / "model", seed=1), data)
    assert other["features"]["reused"] == 0
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2


def test_a_penalty_keeps_the_head_small(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    loose, tight = (trained(tmp_path / f"{l2}", fixture_model, data, head_epochs=100, head_l2=l2) for l2 in (0.0, 10.0))
    assert tight["metrics"]["margin"]["value"] < loose["metrics"]["margin"]["value"] / 2


def test_a_folded_head_is_the_same_function() -> None:
    torch.manual_seed(0)
    texts = torch.randn(50, 8) * torch.logspace(-3, 3, 8)
    texts[:, 3] = 2.0  # of no deviation at all
    score = torch.nn.Linear(8, 3, bias=False)
    before = score(texts)
    head = StandardisedHead(score, texts)
    assert torch.allclose(head(texts), before, rtol=1e-5, atol=1e-4)
    assert (texts / head.spread).std(dim=0, unbiased=False).tolist() == pytest.approx(
        [1, 1, 1, 0, 1, 1, 1, 1], abs=1e-4
    )
    head.weight.data.normal_()
    head.fold_into(score)
    assert torch.allclose(head(texts), score(texts), rtol=1e-5, atol=1e-4)


def test_features_are_those_of_the_path_that_every_score_takes(fixture_model: Path, tmp_path: Path) -> None:
    spec = ModelSpec(str(fixture_model))
    model = load_reward_base(spec, cache=tmp_path, device=choose_device())
    prompt, other = [5, 6, 7, 11, 12], [8]
    texts = [(prompt, [7, 2]), (other, [2]), (prompt, [7, 2]), (prompt, [9] * 20 + [2]), ([13], [9, 4, 2])]
    known = Features(tmp_path, "key")
    known.prepare(model, 0, texts, 1, Progress(tmp_path))
    assert (known.facts["computed"], known.facts["reused"]) == (4, 0)
    sequences = [before + after for before, after in texts]
    found = known.of(sequences)
    for ids, row in zip(sequences, found, strict=True):
        with torch.no_grad():
            assert torch.allclose(features(model, pad([ids], 0))[0], row, atol=1e-5)
            assert rewards(model, pad([ids], 0)).item() == pytest.approx(model.score(row).item(), abs=1e-5)


def test_a_prompt_is_read_once_for_all_its_responses(fixture_model: Path, tmp_path: Path) -> None:
    model = load_reward_base(ModelSpec(str(fixture_model)), cache=tmp_path, device=choose_device())
    read: list[int] = []
    model.base_model.register_forward_pre_hook(
        lambda _model, _args, given: read.append(given["input_ids"].numel()), with_kwargs=True
    )
    prompt = list(range(5, 135))
    texts = [(prompt, [7, 8, 2]), ([9, 9], [2]), (prompt, [10, 2, 2]), (prompt, [11, 12, 2])]
    assert in_batches(texts, 2) == [[0, 2], [3], [1]] and in_batches(texts, 8) == [[0, 2, 3], [1]]
    assert in_batches([(prompt[:20], response) for _prompt, response in texts], 8) == [[1, 0, 2, 3]]
    together = features_of(model, [texts[0], texts[2], texts[3]], 0)
    assert read == [130, 9]
    alone = [features_of(model, [text], 0)[0] for text in (texts[0], texts[2], texts[3])]
    assert torch.allclose(together, torch.stack(alone), atol=1e-5)


def test_what_was_computed_before_a_cancel_is_kept(
    fixture_model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_job(tmp_path / "cut", "reward", fixture_model, data, adapter="head")
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks > 3:
            raise cancel.Cancelled

    with monkeypatch.context() as patch:
        patch.setattr(cancel, "check", check)
        assert run.main([str(job)]) == run.CANCELLED
    assert run.main([str(job)]) == run.DONE
    assert manifest(job)["features"]["reused"] == 48
