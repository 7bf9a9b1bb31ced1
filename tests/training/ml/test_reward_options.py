"""The options of the recipe "reward": what each changes in the loss, and what it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from annotate.models import Comparison, Prompt, Response, Split
from annotate.workflow.parquet_folder import write_folder
from annotate.workflow.snapshot_rows import Row, Vote, schema_of
from tests.training.ml.jobs import job_of, manifest, write_job
from tests.training.planted import planted_rows, write_of_many_kinds, write_planted, write_rows
from training.ml import reward, run
from training.ml.batching import Padded
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_reward_model, load_tokenizer
from training.ml.optimizer import adamw
from training.ml.pairs import Pair, read_pairs
from training.ml.progress import read_lines
from training.ml.prompt_groups import by_prompt
from training.ml.reward_losses import cross_entropy
from training.ml.reward_objective import both_sides, by_model, preference_likelihood, shares_of, weights_of
from training.ml.scoring import score
from training.ml.tie_parameter import TieParameter
from training.recipes.reward import RewardConfig

pytestmark = pytest.mark.not_db

FAST = {"learning_rate": 0.005, "rank": 8, "batch_size": 2, "gradient_accumulation": 2}
HEAD = {"adapter": "head", "head_epochs": 4, "head_batch_size": 8, "head_learning_rate": 0.01}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_of_many_kinds(tmp_path_factory.mktemp("data"))


@pytest.fixture
def judge(fixture_model: Path) -> Any:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(fixture_model, num_labels=1).eval()
    model.score.weight.data *= 50  # apart from ln 2
    return model


def pair(name: str = "p", response: int = 8, **more: Any) -> Pair:
    return Pair(name, [], "", "", [5, 6, 7], [response, 9, 2], [10, 11, 12, 2], **more)


def single_vote(degree: int | None) -> dict[str, Any]:
    """A row as a snapshot freezes it, of one vote for its response A."""
    comparison = Comparison(
        key=f"c{degree}",
        prompt=Prompt(messages=[{"role": "user", "content": "Why?"}]),
        response_a=Response(text="Because."),
        response_b=Response(text="No idea."),
    )
    return Row(comparison, True, 1.0, [Vote(1, "a", "ann", degree)], Split.TRAIN).canonical(with_degrees=True)


def outcome(model: Any, batch: list[Any], ties: TieParameter | None = None, **settings: Any) -> Any:
    return preference_likelihood(by_model(model, 0), RewardConfig(**settings), 0, ties)(batch)


def logistic(value: float) -> float:
    return math.log1p(math.exp(-value))


def test_a_margin_is_asked_for_as_far_as_the_preference_is_strong(judge: Any) -> None:
    """By the strength that was given, or, where none was, by how far the votes are from even."""
    pairs = [pair(strength=0.5), pair(soft_label=0.8), pair(soft_label=0.5, strength=None), pair()]
    found = outcome(judge, pairs, margin=2.0)
    difference = found.metrics["margin"][0].item()
    expected = [logistic(difference - 2 * degree) for degree in (0.5, 0.6, 0.0, 1.0)]
    assert found.losses.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("margin", "table"), [(1.0, (1 / 3, 2 / 3, 1.0)), (3.0, (1.0, 2.0, 3.0))])
def test_of_frozen_votes_with_degrees_it_is_llama_2s_small_or_large_margin(
    judge: Any, fixture_model: Path, tmp_path: Path, margin: float, table: tuple[float, ...]
) -> None:
    """Touvron et al. 2023, equation 2 and table 27; one vote a pair, which would have to lead alike without degrees."""
    rows = [single_vote(degree) for degree in (1, 2, 3, None)]
    write_folder(tmp_path / "snapshot", {"train": rows}, schema_of(adjudicated_first=False, with_degrees=True))
    pairs = read_pairs(tmp_path / "snapshot" / "train.parquet", AutoTokenizer.from_pretrained(fixture_model), 512).kept
    found = outcome(judge, pairs, margin=margin)
    difference = found.metrics["margin"][0].item()
    assert found.losses.tolist() == pytest.approx([logistic(difference - m) for m in (*table, margin)], abs=1e-5)


def test_soft_labels_and_smoothing_mix_both_directions(judge: Any) -> None:
    found = outcome(judge, [pair(soft_label=0.75)], soft_labels=True, label_smoothing=0.1)
    difference = found.metrics["margin"].item()
    share = 0.75 * 0.9 + 0.25 * 0.1
    expected = share * logistic(difference) + (1 - share) * logistic(-difference)
    assert found.losses.item() == pytest.approx(expected, abs=1e-5)


def test_what_the_votes_come_to_is_all_that_counts_unless_soft_labels_are_wanted() -> None:
    hard, soft, with_ties = (
        RewardConfig(),
        RewardConfig(soft_labels=True),
        RewardConfig(soft_labels=True, ties="davidson"),
    )
    voted = pair(votes=(3, 1, 1), soft_label=0.7)
    assert shares_of(voted, hard) == (1, 0, 0)
    assert shares_of(voted, soft) == pytest.approx((0.7, 0, 0.3))
    assert shares_of(voted, with_ties) == pytest.approx((0.6, 0.2, 0.2))
    assert shares_of(pair(tie=True, soft_label=0.5), with_ties) == (0, 1, 0)


@pytest.mark.parametrize("ties", ["drop", "davidson", "rao_kupper"])
def test_an_aggregation_that_says_another_thing_than_the_share_of_votes_is_followed(ties: str) -> None:
    """By its posterior the chosen response is the better one, though two of three people voted against it."""
    config = RewardConfig(ties=ties, soft_labels=True)
    assert shares_of(pair(votes=(1, 0, 2), soft_label=0.93), config) == pytest.approx((0.93, 0, 0.07))
    assert shares_of(pair(votes=(2, 1, 0), soft_label=0.97), config) == pytest.approx((0.97, 0, 0.03))
    assert shares_of(pair(votes=(2, 1, 0), soft_label=0.5, tie=True), config) == (0, 1, 0)


def test_of_a_tie_by_majority_all_votes_count() -> None:
    """However the others lean: its soft label is 0.5 by definition."""
    tie = pair(votes=(1, 2, 0), soft_label=0.5, tie=True)
    assert shares_of(tie, RewardConfig(ties="davidson", soft_labels=True)) == pytest.approx((1 / 3, 2 / 3, 0))


def test_a_final_word_is_certain_whatever_the_votes_say() -> None:
    with_ties = RewardConfig(ties="davidson", soft_labels=True)
    against = pair(votes=(1, 0, 4), soft_label=1.0, adjudicated=True)
    assert shares_of(against, with_ties) == shares_of(against, RewardConfig(soft_labels=True)) == (1, 0, 0)
    assert shares_of(pair(votes=(4, 0, 1), soft_label=0.5, tie=True, adjudicated=True), with_ties) == (0, 1, 0)


@pytest.mark.parametrize("likelihood", ["davidson", "rao_kupper"])
def test_a_tie_draws_scores_together_and_a_win_draws_them_apart(judge: Any, likelihood: str) -> None:
    config = RewardConfig(ties=likelihood)
    batch = [pair("won"), pair("tied", tie=True, soft_label=0.5)]
    ties = TieParameter(0.5, config)
    found = preference_likelihood(by_model(judge, 0), config, 0, ties)(batch)
    difference = found.metrics["margin"].item()  # of the pair that was won alone
    logs = ties.log_probabilities(torch.tensor(difference)).tolist()
    assert found.losses.tolist() == pytest.approx([-logs[0], -logs[1]], abs=1e-5)
    assert len(found.metrics["accuracy"]) == 1
    found.losses.sum().backward()
    assert ties.moved.grad.abs() > 0
    assert ties.facts()["between_equals"] == pytest.approx(0.5, abs=1e-6)


def test_ties_begin_with_what_the_votes_for_neither_come_to(fixture_model: Path, tmp_path: Path) -> None:
    """A third of all votes, though no pair is a tie."""
    votes = {"votes_chosen": 3, "votes_tie": 2, "votes_rejected": 1, "soft_label": 2 / 3}
    data = write_planted(tmp_path / "data", train=16, test=2)
    write_rows(Path(data["train"]), [{**row, **votes} for row in planted_rows(16)])
    job = write_job(tmp_path / "run", "reward", fixture_model, data, ties="davidson", soft_labels=True, epochs=1)
    assert run.main([str(job)]) == run.DONE
    assert manifest(job)["ties"]["between_equals"] == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("likelihood", ["davidson", "rao_kupper"])
def test_the_parameter_for_ties_finds_the_value_that_the_data_were_made_with(likelihood: str) -> None:
    """Also at a learning rate that would leave it where it was: it has one of its own."""
    config = RewardConfig(ties=likelihood, learning_rate=1e-6)
    truth = TieParameter(0.6, config)
    found = TieParameter(0.1, config)
    assert found.facts()["between_equals"] == pytest.approx(0.1, abs=1e-6)
    differences = torch.linspace(-3, 3, 31)
    outcomes = truth.log_probabilities(differences).detach().exp()
    optimizer = adamw(found, config)
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * group["factor"]
    for _ in range(600):
        cross_entropy(found.log_probabilities(differences), outcomes).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert found.facts()["between_equals"] == pytest.approx(0.6, abs=0.01)


def test_the_manifest_says_what_was_learned_of_ties(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", "reward", fixture_model, data, ties="davidson", **FAST)
    reward.run(job)
    told = manifest(job.directory)["ties"]
    assert told["train"] == 12 and told["likelihood"] == "davidson"
    share = 12 / 42  # of the training data: where the parameter begins
    assert told["nu"] != pytest.approx(2 * share / (1 - share), rel=1e-6)
    assert told["between_equals"] == pytest.approx(told["nu"] / (2 + told["nu"]), abs=1e-6)


def test_who_called_a_training_pair_a_tie_is_no_new_annotator(fixture_model: Path, tmp_path: Path) -> None:
    rows = planted_rows(24)
    who = {"train": "ann", "ties_train": "bob", "test": "bob"}
    parts = {"train": rows[:8], "ties_train": [{**one, "soft_label": 0.5} for one in rows[8:16]], "test": rows[16:]}
    data = {
        name: str(write_rows(tmp_path / f"{name}.parquet", [{**one, "annotators": [who[name]]} for one in part]))
        for name, part in parts.items()
    }
    for likelihood, new in (("drop", 8), ("davidson", 0)):
        settings = {"ties": likelihood, **HEAD}
        job = job_of(tmp_path / likelihood, "reward", fixture_model, {**data, "snapshot_hash": "x"}, **settings)
        reward.run(job)
        assert manifest(job.directory)["metrics"]["accuracy_new_annotators"]["n"] == new, likelihood


def test_ties_are_not_looked_at_unless_a_likelihood_knows_them(
    fixture_model: Path, data: dict[str, str], tmp_path: Path
) -> None:
    """The file is not even opened."""
    for name, settings in (("drop", {}), ("davidson", {"ties": "davidson"})):
        job = write_job(tmp_path / name, "reward", fixture_model, {**data, "ties_train": "/nowhere.parquet"}, **FAST)
        text = (job / "job.json").read_text()
        (job / "job.json").write_text(text.replace('"config": {', f'"config": {{{_inside(settings)}'))
        assert run.main([str(job)]) == (run.DONE if name == "drop" else run.FAILED)


def _inside(settings: dict[str, str]) -> str:
    return "".join(f'"{name}": "{value}", ' for name, value in settings.items())


def test_a_snapshot_without_ties_is_learned_from_as_it_is(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=8, test=6)
    job = job_of(tmp_path / "run", "reward", fixture_model, data, ties="rao_kupper", **FAST)
    reward.run(job)
    assert manifest(job.directory)["ties"]["train"] == 0


def test_centring_draws_the_level_of_scores_to_zero(judge: Any) -> None:
    plain, centred = outcome(judge, [pair()]), outcome(judge, [pair()], centring=0.5)
    chosen, rejected = (scores.mean(dim=1) for scores in both_sides(by_model(judge, 0), [pair()]))
    extra = 0.5 * (chosen + rejected).item() ** 2
    assert (centred.losses - plain.losses).item() == pytest.approx(extra, rel=1e-4)


def test_a_prompt_with_many_pairs_counts_once_and_each_response_is_read_once(judge: Any) -> None:
    """Three responses to one prompt make three pairs, and a fourth pair has a prompt of its own."""
    texts = {"a": [8, 9, 2], "b": [10, 11, 12, 2], "c": [13, 2]}
    pairs = [Pair(x + y, [], "", "", [5, 6, 7], texts[x], texts[y]) for x, y in ("ab", "ac", "bc")]
    alone = Pair("other", [], "", "", [20], texts["a"], texts["b"])
    groups = by_prompt([pairs[0], alone, *pairs[1:]])
    assert [group.id for group in groups] == ["ab ac bc", "other"]
    assert [group.tokens for group in groups] == [3 * 3 + 3 + 4 + 2, 1 + 3 + 1 + 4]
    read: list[Padded] = []
    judge.model.register_forward_pre_hook(lambda _m, _a, given: read.append(given["input_ids"]), with_kwargs=True)
    found = outcome(judge, groups, group_by_prompt=True)
    once = (3 + 3 + 4 + 2) + (1 + 3 + 4)  # the prompts, too
    assert [rows.shape for rows in read] == [(1, once)]
    single = outcome(judge, [*pairs, alone]).losses
    assert found.losses.tolist() == pytest.approx([single[:3].mean().item(), single[3].item()], abs=1e-6)
    assert found.metrics["margin"].shape == (4,)


def test_members_begin_apart_and_are_weighted_apart() -> None:
    pairs = [pair(str(number), weight=2.0) for number in range(500)]
    weights = weights_of(pairs, RewardConfig(members=3), seed=0)
    assert weights.shape == (500, 3) and (weights > 0).all()
    assert weights.mean(dim=0).tolist() == pytest.approx([2.0] * 3, rel=0.15)
    assert torch.corrcoef(weights.T).triu(1).abs().max() < 0.15
    again = weights_of(pairs[::-1], RewardConfig(members=3), seed=0).flip(0)
    assert torch.equal(weights, again)  # of the pair, wherever it stands
    assert not torch.equal(weights, weights_of(pairs, RewardConfig(members=3), seed=1))
    assert weights_of(pairs, RewardConfig(), seed=0).unique().tolist() == [2.0]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("adapter", ["lora", "full", "head"])
def test_an_ensemble_is_saved_scores_by_its_mean_and_rewards_ppo_by_it_or_less(
    adapter: str, fixture_model: Path, data: dict[str, str], tmp_path: Path
) -> None:
    settings = {**FAST, **(HEAD if adapter == "head" else {"adapter": adapter})}
    job = job_of(tmp_path / "run", "reward", fixture_model, data, members=3, **settings)
    reward.run(job)
    artifact = str(job.directory / "artifact")
    spec = ModelSpec(artifact) if adapter == "full" else ModelSpec(str(fixture_model), (artifact,))
    model = load_reward_model(spec, cache=tmp_path, device=choose_device())
    tokenizer = load_tokenizer(spec, cache=tmp_path)
    told = manifest(job.directory)["metrics"]
    assert told["disagreement"]["value"] > 0 and told["disagreement"]["n"] == 12
    rows = planted_rows(36)[24:]
    sides = [
        score(model, tokenizer, [(r["prompt"], r[s][0]["content"]) for r in rows], 5) for s in ("chosen", "rejected")
    ]
    margin = sum(c - r for c, r in zip(*sides, strict=True)) / len(rows)
    assert margin == pytest.approx(told["margin"]["value"], abs=1e-5)
    rewards = {}
    others = ("worst", "uncertainty") if adapter == "lora" else ("worst",)
    for how in ("mean", *others):
        ppo = {"batch_size": 2, "rollouts": 2, "max_new_tokens": 5, "ensemble": how, "learning_rate": 1e-6}
        played = write_job(tmp_path / how, "ppo", fixture_model, data, reward_model=spec.as_dict(), **ppo)
        assert run.main([str(played)]) == run.DONE
        lines = list(read_lines(played / "progress.jsonl"))
        first = next(line for line in lines if line["kind"] == "samples")["samples"]
        rewards[how] = {row["text"]: row["reward"] for row in first}
    for how in others:
        texts = rewards["mean"].keys() & rewards[how].keys()
        assert texts and all(rewards["mean"][text] > rewards[how][text] for text in texts)
