"""The recipe "ppo": who shares a backbone with whom, that scores stay what they are, and what a run leaves."""

from __future__ import annotations

import copy
import itertools
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.judges import actors_of
from tests.training.ml.playground import steps
from tests.training.planted import planted_rows, row, write_planted, write_rows
from training.ml import ppo
from training.ml.actors import Actors, shares_backbone
from training.ml.chat import prompt_ids
from training.ml.device import choose_device
from training.ml.job import Job, ModelSpec
from training.ml.load import load_policy, load_reward_model, load_tokenizer
from training.ml.progress import read_lines
from training.ml.prompt_data import AskedPrompt
from training.ml.reference import frozen_start
from training.ml.rewarding import combined, load_rewarder
from training.ml.rollout import Rollout, drawing_of, drawn_logps, logps_and_entropy, roll_out
from training.ml.rollout_evaluation import evaluate_rollouts
from training.ml.scoring import score
from training.ml.turns import Turns
from training.recipes.ppo import PPOConfig

QUICK = {"rollouts": 8, "batch_size": 4, "gradient_accumulation": 1, "max_new_tokens": 8, "learning_rate": 0.003}
SHARED = "policy, reference, reward and value model on one backbone"
TWO = "policy and reference on one backbone, reward and value model on another"
BESIDE = "policy, reference and value model on one backbone"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=12, test=6)


def rollouts_of(model: Path) -> list[Rollout]:
    """Responses in words, one without its EOS, one empty."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    found = []
    for number, text in enumerate(["First, mix flour. Then, bake it.", "You could, or you could not.", ""]):
        chat = [{"role": "user", "content": f"How do I bake bread number {number}?"}]
        ids = tokenizer.encode(text, add_special_tokens=False)
        finished = number != 1
        asked = AskedPrompt(f"p{number}", chat, prompt_ids(tokenizer, chat))
        found.append(Rollout(asked, ids + [tokenizer.eos_token_id] * finished, finished, text))
    return found


@pytest.fixture
def cell(
    request: pytest.FixtureRequest,
    fixture_model: Path,
    judge: dict[str, Any],
    foreign_judge: dict[str, Any],
    data: dict[str, str],
    tmp_path: Path,
) -> Job:
    """A job of each way in which backbones are shared."""
    adapter, of = {SHARED: ("lora", judge), TWO: ("full", judge), BESIDE: ("lora", foreign_judge)}[request.param]
    settings = {**QUICK, "learning_rate": 0.0005} if adapter == "full" else QUICK
    return job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=of, adapter=adapter, rank=4, **settings)


each_way = pytest.mark.parametrize("cell", [SHARED, TWO, BESIDE], indirect=True)


@each_way
def test_a_response_has_the_score_that_every_page_shows(cell: Job, fixture_model: Path) -> None:
    """Also after the value model beside it was trained: the reward model is frozen."""
    actors, rollouts = actors_of(cell), rollouts_of(fixture_model)
    model = load_reward_model(cell.reward_model, cache=cell.cache, device=choose_device())
    texts = [(rollout.prompt.messages, rollout.text) for rollout in rollouts]
    expected = score(model, load_tokenizer(cell.reward_model, cache=cell.cache), texts, 2)
    assert max(expected) - min(expected) > 0.05
    assert actors.rewarding(rollouts) == pytest.approx(expected, abs=1e-5)
    shake(actors)
    assert actors.rewarding(rollouts) == pytest.approx(expected, abs=1e-5)


def shake(actors: Actors) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in actors.trained.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)


@each_way
def test_the_reference_is_the_start_whatever_has_been_trained(cell: Job, fixture_model: Path) -> None:
    actors, rollouts = actors_of(cell), rollouts_of(fixture_model)
    bare = load_policy(cell.model, cache=cell.cache, device=choose_device())
    before = torch.cat(drawn_logps(bare, rollouts, 0.7, 2))
    assert torch.allclose(torch.cat(drawn_logps(actors.policy, rollouts, 0.7, 2)), before, atol=1e-5)
    shake(actors)
    with actors.reference() as frozen:
        assert torch.allclose(torch.cat(drawn_logps(frozen, rollouts, 0.7, 2)), before, atol=1e-5)
    assert not torch.allclose(torch.cat(drawn_logps(actors.policy, rollouts, 0.7, 2)), before, atol=0.01)


@each_way
def test_policy_and_value_are_trained_apart_and_nothing_else_is(cell: Job, fixture_model: Path) -> None:
    """The gradient of the one reaches no weight of the other, whoever played a part last."""
    actors, rollouts = actors_of(cell), rollouts_of(fixture_model)
    actors.rewarding(rollouts)
    with actors.reference():
        pass
    names = {name for name, weight in actors.trained.named_parameters() if weight.requires_grad}
    with actors.value.at_work():
        actors.value(rollouts).sum().backward()
    reached = {name for name, weight in actors.trained.named_parameters() if weight.grad is not None}
    assert reached and all("value" in name or name.startswith("head") for name in reached)
    for weight in actors.trained.parameters():
        weight.grad = None
    logps_and_entropy(actors.policy, rollouts, 1.0)[0].sum().backward()
    other = {name for name, weight in actors.trained.named_parameters() if weight.grad is not None}
    assert other and not other & reached
    assert other | reached == names


def test_the_value_model_starts_from_the_reward_model(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    """What stands before the last token is the reward model's word on what is written until there."""
    jobs = [
        job_of(tmp_path / adapter, "ppo", fixture_model, data, reward_model=judge, adapter=adapter, **QUICK)
        for adapter in ("lora", "full")
    ]
    rollout = rollouts_of(fixture_model)[0]
    model = load_reward_model(jobs[0].reward_model, cache=jobs[0].cache, device=choose_device())
    ids = torch.tensor([rollout.prompt.ids + rollout.ids])
    with torch.no_grad():
        every = model.score(model.model(ids).last_hidden_state[0]).squeeze(1)
    expected = every[len(rollout.prompt.ids) - 1 : -1]
    for job in jobs:
        found = actors_of(job).value.of([rollout, *rollouts_of(fixture_model)[1:]], 3)[0]
        assert torch.allclose(found, expected, atol=1e-5)


def test_the_value_is_calibrated_to_what_was_paid(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    """The least-squares line through (value, reward) of every token; never a falling one."""
    actors = actors_of(job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=judge, **QUICK))
    rollouts = rollouts_of(fixture_model)
    before, rewards = actors.value.of(rollouts, 2), [1.5, -0.5, 4.0]
    x = torch.cat(before).double().numpy()
    y = numpy.concatenate([numpy.full(len(v), r) for v, r in zip(before, rewards, strict=True)])
    slopes = []
    for sign in (1, -1):
        a, b = numpy.polyfit(x, sign * y, 1)
        a, b = (a, b) if a > 0 else (0.0, (sign * y).mean())
        slopes.append(a)
        model = copy.deepcopy(actors.value.head.state_dict())
        found = actors.value.calibrate(before, [sign * reward for reward in rewards])
        assert torch.cat(found).numpy() == pytest.approx(a * x + b, abs=1e-4)
        again = actors.value.of(rollouts, 2)
        assert torch.allclose(torch.cat(again), torch.cat(found), atol=1e-4)
        actors.value.head.load_state_dict(model)
    assert min(slopes) == 0 < max(slopes)  # one of the two lines falls


def test_beside_a_foreign_reward_model_the_value_starts_at_zero(
    fixture_model: Path, foreign_judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=foreign_judge, **QUICK)
    found = actors_of(job).value.of(rollouts_of(fixture_model), 2)
    assert all((values == 0).all() for values in found)


@each_way
def test_a_run_leaves_an_adapter_or_model_that_writes_what_was_measured(cell: Job, request: Any) -> None:
    ppo.run(cell)
    found = manifest(cell.directory)
    assert found["sharing"] == request.node.callspec.params["cell"]
    assert found["kind"] == ("full" if cell.config.adapter == "full" else "adapter")
    assert found["task"] == "policy"
    assert found["reward_model"] == cell.reward_model.as_dict()
    assert found["data"] == {"train": 12, "test": 6, "dropped": [], "truncated": 0}
    assert [path.name for path in (cell.directory / "artifact").iterdir() if path.is_dir()] == []

    metrics = found["metrics"]
    assert {name: metric["n"] for name, metric in metrics.items() if name != "samples"} == dict.fromkeys(FIGURES, 6)
    artifact = str(cell.directory / "artifact")
    spec = ModelSpec(artifact) if found["kind"] == "full" else ModelSpec(cell.model.base, (artifact,))
    written = answers(spec, cell)
    assert [sample["new"] for sample in metrics["samples"]] == written["new"]
    assert metrics["reward_after"]["value"] == pytest.approx(written["reward"], abs=1e-4)


def test_a_response_that_did_not_change_has_not_won(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    """Scored in another batch, it differs in its last bits."""
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=judge, **QUICK)
    tokenizer, device = load_tokenizer(job.model, cache=job.cache), choose_device()
    policy = load_policy(job.model, cache=job.cache, device=device)
    prompts = [AskedPrompt(row["id"], row["prompt"], prompt_ids(tokenizer, row["prompt"])) for row in planted_rows(6)]
    noise = itertools.count(1)
    found = evaluate_rollouts(
        *(policy, lambda: nullcontext(policy), lambda rollouts: [1e-9 * next(noise) for _ in rollouts]),
        *(tokenizer, prompts, job.config),
        **{"batch_size": 4, "seed": job.seed},
    )
    assert found["win_rate"]["value"] == 0.5 and found["reward_gain"]["value"] == 0


FIGURES = (
    *("reward_before", "reward_after", "reward_gain", "win_rate", "kl"),
    *("length_before", "length_after", "eos_rate_before", "eos_rate_after"),
)


def answers(spec: ModelSpec, job: Job) -> dict[str, Any]:
    """What the finished policy, loaded anew, writes to the held-out prompts."""
    tokenizer, device = load_tokenizer(job.model, cache=job.cache), choose_device()
    policy = load_policy(spec, cache=job.cache, device=device)
    start = frozen_start(policy, PPOConfig(adapter="full"), lambda: policy)
    prompts = [
        AskedPrompt(row["id"], row["prompt"], prompt_ids(tokenizer, row["prompt"])) for row in planted_rows(18)[12:]
    ]
    rewarding, where = load_rewarder(job, device), {"batch_size": 4, "seed": job.seed}
    found = evaluate_rollouts(policy, start, rewarding, tokenizer, prompts, job.config, **where)
    return {"new": [sample["new"] for sample in found["samples"]], "reward": found["reward_after"]["value"]}


def test_every_step_tells_what_an_engineer_looks_for(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=judge, **QUICK)
    ppo.run(job)
    lines = list(read_lines(job.directory / "progress.jsonl"))
    curve = steps(job.directory)
    assert len(curve) == 6  # 12 prompts, 4 epochs, 8 responses a step
    names = (
        "reward reward_std score kl kl_coefficient entropy clip_fraction value_clip_fraction explained_variance length "
    )
    names += "eos_rate truncated ratio approx_kl policy_loss value_loss loss learning_rate grad_norm updates"
    for step in curve:
        assert set(step) == set(names.split())
    assert curve[0]["kl"] == pytest.approx(0, abs=1e-4)
    samples = [line for line in lines if line["kind"] == "samples"]
    assert [line["step"] for line in samples] == [1, 2, 3, 4, 5, 6]
    assert {tuple(sample) for line in samples for sample in line["samples"]} == {("prompt", "text", "reward")}
    stages = [line["stage"] for line in lines if line["kind"] == "status"]
    assert stages == ["loading", "training", "evaluating", "saving"]


def test_every_prompt_is_asked_once_an_epoch_and_a_repeated_one_counts_once(
    fixture_model: Path, judge: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = planted_rows(6)
    again = [{**rows[0], "id": "again"}]
    long = [row("long", "word " * 600, "a", "b")]
    train = write_rows(tmp_path / "train.parquet", rows + again + long)
    test = write_rows(tmp_path / "test.parquet", [{**rows[1], "id": "seen"}, *planted_rows(8)[6:]])
    files = {"train": str(train), "test": str(test), "snapshot_hash": "x"}
    seen: list[str] = []

    def watched(self: Turns, turn: int, whole: Callable[..., AskedPrompt] = Turns.__getitem__) -> AskedPrompt:
        prompt = whole(self, turn)
        seen.append(prompt.id)
        return prompt

    monkeypatch.setattr(Turns, "__getitem__", watched)
    job = job_of(tmp_path / "run", "ppo", fixture_model, files, reward_model=judge, **{**QUICK, "rollouts": 6})
    ppo.run(job)
    assert [sorted(seen[i : i + 6]) for i in range(0, 24, 6)] == [[f"p{i}" for i in range(6)]] * 4
    assert len({tuple(seen[i : i + 6]) for i in range(0, 24, 6)}) > 1
    facts = manifest(job.directory)["data"]
    assert (facts["train"], facts["test"]) == (6, 2)  # a prompt of both splits is not measured on
    assert [(entry["id"], entry["split"]) for entry in facts["dropped"]] == [("long", "train")]
    assert "too long" in facts["dropped"][0]["why"]


def test_the_same_seed_draws_the_same_and_another_one_does_not(fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    policy = load_policy(ModelSpec(str(fixture_model)), cache=fixture_model, device=choose_device())
    asked = [rollout.prompt for rollout in rollouts_of(fixture_model)]
    drawing = drawing_of(PPOConfig(max_new_tokens=6))
    together = [rollout.ids for rollout in roll_out(policy, tokenizer, asked, [1, 2, 3], drawing)]
    alone = [roll_out(policy, tokenizer, [asked[i]], [i + 1], drawing)[0].ids for i in range(3)]
    assert together == alone
    assert together != [rollout.ids for rollout in roll_out(policy, tokenizer, asked, [4, 5, 6], drawing)]


def test_the_members_of_an_ensemble_become_one_score() -> None:
    members = torch.tensor([[1.0, 2.0, 6.0], [0.5, 0.5, 0.5]])
    assert combined(members, "mean", 1.0).tolist() == pytest.approx([3.0, 0.5])
    assert combined(members, "worst", 1.0).tolist() == pytest.approx([1.0, 0.5])
    # the deviation of 1, 2, 6 is sqrt((4 + 1 + 9) / 3)
    assert combined(members, "uncertainty", 0.5).tolist() == pytest.approx([3 - 0.5 * 2.1602469, 0.5])


def test_a_reward_adapter_with_more_in_it_than_a_lora_and_a_head_keeps_its_own_backbone(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    copied = tmp_path / "judge"
    shutil.copytree(judge["adapters"][0], copied)
    reward = {"base": judge["base"], "adapters": [str(copied)]}
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=reward, **QUICK)
    assert shares_backbone(job)
    path = copied / "adapter_model.safetensors"
    save_file({**load_file(path), "base_model.model.score.second.weight": torch.zeros(1, 64)}, path)
    assert not shares_backbone(job)
