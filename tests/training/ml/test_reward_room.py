"""What a reward model can read: prompts that leave it no room are left out, responses it read in part are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.playground import steps
from tests.training.planted import planted_rows, row, write_planted, write_rows
from training.ml import grpo, ppo
from training.ml.chat import encode, prompt_ids
from training.ml.device import choose_device
from training.ml.load import load_reward_model
from training.ml.progress import read_lines
from training.ml.prompt_data import AskedPrompt
from training.ml.rewarding import RewardModel
from training.ml.rollout import Rollout
from training.ml.unusable import Unusable

QUICK = {"epochs": 1, "batch_size": 4, "gradient_accumulation": 1, "max_new_tokens": 8, "learning_rate": 0.003}
RECIPES = {"ppo": (ppo, {"rollouts": 4}), "grpo": (grpo, {"generations": 2, "updates": 2})}


@pytest.fixture
def judging(foreign_judge: dict[str, Any], fixture_model: Path, tmp_path: Path) -> Any:
    """The foreign reward model with as little context as asked for."""
    job = job_of(tmp_path / "job", "ppo", fixture_model, {}, reward_model=foreign_judge, max_new_tokens=8)

    def of(context: int) -> RewardModel:
        model = load_reward_model(job.reward_model, cache=job.cache, device=choose_device())
        model.config.max_position_embeddings = context
        return RewardModel(model, AutoTokenizer.from_pretrained(foreign_judge["base"]), job.config, 4)

    return of


CHAT = [{"role": "user", "content": "How do I bake bread?"}]


def test_a_prompt_must_leave_room_for_the_longest_response_and_its_end(judging: Any) -> None:
    tokens = len(prompt_ids(judging(64).tokenizer, CHAT))
    judging(tokens + 9).require_room(CHAT)
    with pytest.raises(Unusable, match=f"{tokens} tokens of prompt and 9 of response, its context is {tokens + 8}"):
        judging(tokens + 8).require_room(CHAT)


def test_responses_that_are_not_read_to_their_end_are_counted(judging: Any) -> None:
    """In the reward model's own tokens: the policy's vocabulary may say it in fewer."""
    tokenizer = judging(64).tokenizer
    words = "First, mix the flour. " * 3
    room = len(encode(tokenizer, CHAT, words).ids)
    asked = AskedPrompt("p", CHAT, [1, 2])
    rollouts = [Rollout(asked, [3], True, text) for text in (words, words + "Then stop.", "Short.")]
    whole, small = judging(room + 64), judging(room)
    scores = whole(rollouts)
    assert whole.cut == 0
    cut = small(rollouts)
    assert small.cut == 1
    assert cut[0] == pytest.approx(scores[0], abs=1e-5) and cut[1] != pytest.approx(scores[1], abs=1e-4)
    small(rollouts[2:])
    assert small.cut == 0, "of those that were scored last"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_tells_how_many_responses_were_scored_in_part(
    recipe: str, judge: dict[str, Any], fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second response of a call is taken for one that was cut; updates learn from the same ones twice."""
    module, more = RECIPES[recipe]
    scores = RewardModel.member_scores

    def half_read(self: RewardModel, texts: Any) -> Any:
        found = scores(self, texts)
        self.unread = [place < len(texts) // 2 for place in range(len(texts))]
        return found

    monkeypatch.setattr(RewardModel, "member_scores", half_read)
    data = write_planted(tmp_path, train=4, test=2)
    job = job_of(tmp_path / "run", recipe, fixture_model, data, reward_model=judge, rank=4, **QUICK, **more)
    module.run(job)
    told = [line["truncated"] for line in steps(job.directory)]
    assert told and all(number == 2 for number in told)
    drawn = 2 * len(told) // more.get("updates", 1)
    assert manifest(job.directory)["data"]["truncated"] == drawn + 2, "and one of two before, one of two after"
    [notice] = [json.loads(line) for line in (job.directory / "notices.jsonl").read_text().splitlines()]
    assert "without their end" in notice["text"]


def test_what_is_left_out_is_told_before_training_and_kept_when_it_fails(
    judge: dict[str, Any], fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = row("long", "word " * 600, "Yes.", "No.")
    data = write_planted(tmp_path, train=4, test=2)
    write_rows(tmp_path / "train.parquet", [*planted_rows(4), long])
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=judge, rank=4, rollouts=4, **QUICK)

    def fails(self: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ppo.PPO, "train", fails)
    with pytest.raises(MemoryError):
        ppo.run(job)
    [told] = list(read_lines(job.directory / "left_out.jsonl"))
    assert (told["id"], told["split"]) == ("long", "train")
    assert told["why"] == told["template"] % told["values"] and told["values"]["room"] == 8
