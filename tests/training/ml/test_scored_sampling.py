"""What a sampling run's reward model makes of its responses: the score they have anywhere else, and nothing lost."""

import json
from dataclasses import replace

import pytest

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.test_sampling import PROMPTS, make_job, samples_of
from training.ml import cancel, rewarding, sampling
from training.ml.chat import prompt_ids
from training.ml.device import choose_device
from training.ml.job import Job, ModelSpec
from training.ml.progress import read_lines
from training.ml.prompts import read_prompts
from training.ml.rewarding import RewardModel
from training.ml.samples import Samples
from training.ml.scorer import load_scorer
from training.ml.scoring import score


def judged(job: Job, reward_model: dict) -> Job:
    return replace(job, reward_model=ModelSpec(reward_model["base"], tuple(reward_model["adapters"])))


def scores_anywhere_else(job: Job, rows: list[dict]) -> list[float]:
    """Each text alone, by the path of every score."""
    messages = {prompt.id: prompt.messages for prompt in read_prompts(job.prompts)}
    scorer = load_scorer(job.reward_model, cache=job.cache, device=choose_device(), on_convert=lambda: None)
    texts = [(messages[row["prompt"]], row["text"]) for row in rows]
    return [score(scorer.model, scorer.tokenizer, [text], 1)[0] for text in texts]


@pytest.mark.parametrize("of", ["judge", "foreign_judge"])
def test_a_response_has_the_score_that_the_text_has_anywhere_else(fixture_model, of, request, tmp_path):
    """Also by a reward model of another vocabulary, and of both models' responses."""
    job = make_job(tmp_path / "job", fixture_model, old=build_fixture_model(tmp_path / "old", seed=5))
    job = judged(job, request.getfixturevalue(of))
    sampling.run(job)
    rows = list(read_lines(job.directory / "samples.jsonl"))
    found = [row["score"] for row in rows]
    assert found == pytest.approx(scores_anywhere_else(job, rows), abs=1e-5)
    assert max(found) - min(found) > 0.01  # where all are alike, any would do
    metrics = json.loads((job.directory / "result.json").read_text())["metrics"]
    assert metrics["mean_score"] == pytest.approx(sum(found) / len(found)) and metrics["truncated"] == 0


def test_scoring_changes_no_sample_and_survives_a_kill(fixture_model, judge, tmp_path, monkeypatch):
    sampling.run(make_job(tmp_path / "bare", fixture_model))
    sampling.run(judged(make_job(tmp_path / "whole", fixture_model), judge))
    assert samples_of(tmp_path / "whole") == samples_of(tmp_path / "bare")
    job = judged(make_job(tmp_path / "job", fixture_model), judge)
    with monkeypatch.context() as patch:
        patch.setattr(Samples, "add", stopping_after(2))
        with pytest.raises(cancel.Cancelled):
            sampling.run(job)
    assert len(list(read_lines(job.directory / "samples.jsonl"))) == 4
    asked = []
    monkeypatch.setattr(RewardModel, "scores_of", watched(asked))
    sampling.run(job)
    assert len(asked) == len(PROMPTS) - 2, "what has its score is not scored again"
    scores = {name: sorted(row["score"] for row in read_lines(tmp_path / name / "samples.jsonl")) for name in RUNS}
    assert scores["job"] == pytest.approx(scores["whole"], abs=1e-5)


RUNS = ("job", "whole")


def stopping_after(groups: int):
    add, left = Samples.add, iter(range(groups))

    def stopped(self, rows):
        add(self, rows)
        if next(left, None) == groups - 1:
            raise cancel.Cancelled

    return stopped


def watched(asked: list):
    scores_of = RewardModel.scores_of

    def seen(self, prompt, texts):
        asked.append(prompt.id)
        return scores_of(self, prompt, texts)

    return seen


def test_a_prompt_that_leaves_the_reward_model_no_room_is_skipped_and_a_response_beyond_it_counted(
    fixture_model, foreign_judge, tmp_path, monkeypatch
):
    """Its context is made small: of the long prompt nothing would be read, of a response no end."""
    made = rewarding.RewardModel.__init__

    def small(self, model, tokenizer, config, batch):
        made(self, model, tokenizer, config, batch)
        short = len(prompt_ids(tokenizer, [{"role": "user", "content": "Hi"}]))
        self.context = short + config.max_new_tokens + 1

    monkeypatch.setattr(rewarding.RewardModel, "__init__", small)
    # A response of 12 tokens has more of them in the other vocabulary, most of the time.
    job = judged(make_job(tmp_path / "job", fixture_model, prompts=["Hi", "A longer question?"]), foreign_judge)
    sampling.run(job)
    result = json.loads((job.directory / "result.json").read_text())
    assert [entry["id"] for entry in result["skipped"]] == [101]
    assert "too long for the reward model" in result["skipped"][0]["why"]
    rows = list(read_lines(job.directory / "samples.jsonl"))
    assert {row["prompt"] for row in rows} == {100}
    assert result["metrics"]["truncated"] == sum(row["truncated"] for row in rows) > 0
    assert "scored without their end" in (job.directory / "notices.jsonl").read_text()
