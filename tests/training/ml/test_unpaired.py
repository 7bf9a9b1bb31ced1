"""KTO on single votes: what is read of them, what it learns, and what it is measured by."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.training.ml.jobs import job_of, manifest
from tests.training.unpaired import vote_rows, write_vote_rows, write_votes
from training.ml import kto
from training.ml.notices import Notices
from training.ml.votes import VoteData, read_unpaired
from training.recipes.kto import KTOConfig

SETTINGS = {"learning_rate": 0.003, "batch_size": 8, "gradient_accumulation": 1, "undesirable_weight": 2.0}


@pytest.fixture(scope="module")
def tokenizer(fixture_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(fixture_model)


def test_a_vote_is_read_with_its_prompt_and_label(tmp_path: Path, tokenizer: Any) -> None:
    rows = vote_rows(3)
    votes = read_unpaired(write_vote_rows(tmp_path / "train.parquet", rows), tokenizer, 512, [])
    assert [(one.id, one.desirable, one.weight) for one in votes] == [
        ("p0", True, 1),
        ("p1", True, 1),
        ("p2", False, 1),
    ]
    assert votes[0].prompt == rows[0]["prompt"]


def test_several_people_may_vote_on_one_response(tmp_path: Path, tokenizer: Any) -> None:
    one = vote_rows(1)[0]
    rows = [one, {**one, "id": "u2"}, {**one, "id": "u3", "label": False}]
    votes = read_unpaired(write_vote_rows(tmp_path / "train.parquet", rows), tokenizer, 512, [])
    assert [vote.desirable for vote in votes] == [True, True, False]
    told = VoteData([], votes, [], 512).facts()
    assert (told["test"], told["test_prompts"]) == (3, 1)


def test_what_cannot_be_learned_from_is_left_out_with_the_reason(tmp_path: Path, tokenizer: Any) -> None:
    one = vote_rows(1)[0]
    said = one["completion"][0]
    rows = [
        one,
        one,
        {**one, "id": "unlabelled", "label": None},
        {**one, "id": "empty", "completion": [{**said, "content": " "}]},
        {**one, "id": "two", "completion": [said, said]},
        {**one, "id": "unasked", "prompt": []},
        {**one, "id": "long", "completion": [{**said, "content": "Because. " * 400}]},
    ]
    dropped: list[dict[str, Any]] = []
    kept = read_unpaired(write_vote_rows(tmp_path / "test.parquet", rows), tokenizer, 512, dropped)
    assert [vote.id for vote in kept] == ["p0"]
    why = {row["id"]: row["why"].split(":")[0] for row in dropped}
    assert why == {
        "p0": "an earlier row has the same id",
        "unlabelled": "it has no label",
        "empty": "the response is empty",
        "two": "completion is 2 messages instead of one",
        "unasked": "the prompt is empty",
        "long": "too long",
    }
    assert {row["split"] for row in dropped} == {"test"}


def test_desirable_responses_become_likelier_than_undesirable_ones(fixture_model: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", "kto", fixture_model, write_votes(tmp_path, train=72, test=45), epochs=2, **SETTINGS)
    kto.run(job)
    found = manifest(job.directory)
    metrics = found["metrics"]
    assert metrics["reward_desirable"]["low"] > 0 > metrics["reward_undesirable"]["high"]
    assert metrics["auc"]["low"] > 0.6 and metrics["vote_accuracy"]["low"] > 0.6
    assert (metrics["auc"]["n"], metrics["reward_undesirable"]["n"], metrics["loss"]["n"]) == (45, 15, 45)
    assert "margin" not in metrics and "calibration" not in metrics
    assert len(metrics["samples"]) == 3 and metrics["samples"][0]["prompt"][0]["role"] == "user"
    data = found["data"]
    assert (data["train"], data["test"], data["desirable"], data["undesirable"]) == (72, 45, 48, 24)
    assert not (job.directory / "notices.jsonl").exists()


def test_votes_of_one_kind_are_learned_from_with_a_notice(fixture_model: Path, tmp_path: Path) -> None:
    data = write_votes(tmp_path, train=8, test=6)
    path = write_vote_rows(tmp_path / "one.parquet", [row for row in vote_rows(9) if row["label"]])
    job = job_of(tmp_path / "run", "kto", fixture_model, {**data, "train": str(path)}, epochs=1, **SETTINGS)
    kto.run(job)
    assert manifest(job.directory)["data"]["undesirable"] == 0
    notices = [json.loads(line)["text"] for line in (job.directory / "notices.jsonl").read_text().splitlines()]
    assert notices == [kto.ONLY_DESIRABLE]
    few = manifest(job.directory)["metrics"]["auc"]
    assert few["value"] is None and "of one of the two kinds" in few["reason"]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((1.0, 1.0), "is 2.00 times that of the undesirable ones; .* With 2.00 as the weight of undesirable"),
        ((0.5, 2.0), "is 0.50 times that of the undesirable ones; .* With 1.00 as the weight of desirable"),
        ((1.0, 2.0), ""),
        ((1.33, 2.0), ""),
    ],
)
def test_votes_of_which_one_kind_weighs_more_are_told_with_the_weight_that_would_mend_it(
    weights: tuple[float, float], said: str, tmp_path: Path, tokenizer: Any
) -> None:
    """Twice as many desirable ones."""
    votes = read_unpaired(write_vote_rows(tmp_path / "train.parquet", vote_rows(12)), tokenizer, 512, [])
    config = KTOConfig(desirable_weight=weights[0], undesirable_weight=weights[1])
    kto.say_what_is_lacking(VoteData(votes, [], [], 512), config, Notices(tmp_path))
    path = tmp_path / "notices.jsonl"
    told = [json.loads(line)["text"] for line in path.read_text().splitlines()] if path.exists() else []
    assert len(told) == bool(said)
    assert all(re.search(said, text) for text in told)
