"""Held-out figures: intervals against known values, baselines, ties."""

from __future__ import annotations

import json

import pytest
import torch

from tests.training.ml.held_out import held_out
from training.ml.evaluate import evaluate_reward, headline, wins
from training.ml.intervals import mean, proportion
from training.ml.pairs import Pair


def varied(n: int = 7) -> list[Pair]:
    """Pairs of every length, so that batches are padded."""
    return [
        held_out(
            f"p{i}", prompt_ids=[5 + i] * (1 + i), chosen_ids=[20 + i] * (i % 3 + 1) + [2], rejected_ids=[9] * i + [2]
        )
        for i in range(n)
    ]


def test_the_interval_of_a_proportion_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    published = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    for successes, n, low, high in published:
        found = proportion(successes, n)
        assert (found["low"], found["high"]) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_a_mean_is_students() -> None:
    found = mean([1.0, 2.0, 3.0, 4.0, 5.0])
    # t(0.975, 4) = 2.776445, standard deviation sqrt(2.5)
    assert found["value"] == 3.0
    assert found["high"] - 3.0 == pytest.approx(2.776445 * (2.5**0.5) / 5**0.5, abs=1e-5)
    assert found["n"] == 5


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_values_give_null_with_a_reason(n: int) -> None:
    for found in (mean([1.0] * n), proportion(n, n)):
        assert (found["value"], found["low"], found["high"], found["n"]) == (None, None, None, n)
        assert f"Only {n} " in found["reason"]


def test_a_tie_counts_half() -> None:
    assert wins([0.0] * 10)["value"] == 0.5
    assert wins([1.0, -1.0, 0.0, 2.0, 3.0, -0.5, 0.0, 1.0])["value"] == (4 + 1) / 8


def test_the_baselines_stand_beside_the_accuracy() -> None:
    pairs = [held_out(f"p{i}", chosen="long one" if i < 6 else "s", rejected="middle") for i in range(8)]
    figures = evaluate_reward(lambda batch: (torch.ones(len(batch)), torch.zeros(len(batch))), pairs, 3)
    assert figures["accuracy"]["value"] == 1.0
    assert figures["accuracy_longer_wins"]["value"] == 0.75
    assert figures["accuracy_chance"]["value"] == 0.5
    assert figures["accuracy_chance"]["low"] < 0.25
    assert figures["margin"]["value"] == 1.0
    assert figures["loss"]["value"] == pytest.approx(0.313262, abs=1e-6)


def test_a_constant_score_is_no_better_than_chance() -> None:
    figures = evaluate_reward(lambda batch: (torch.zeros(len(batch)),) * 2, varied(), 3)
    assert figures["accuracy"]["value"] == 0.5


def test_the_headline_is_plain_numbers() -> None:
    assert headline({"accuracy": proportion(8, 10), "kl": mean([]), "samples": []}) == {"accuracy": 0.8, "kl": None}


def test_scores_are_put_back_into_the_order_of_the_pairs() -> None:
    """Batches are sorted by length; the groups are of pairs in the order of the file."""
    pairs = [held_out(f"p{i}", tags=("even" if i % 2 == 0 else "odd",), prompt_ids=[5] * (20 - i)) for i in range(12)]
    right = {pair.id: 1.0 if "even" in pair.tags else -1.0 for pair in pairs}
    figures = evaluate_reward(
        lambda batch: (torch.tensor([right[p.id] for p in batch]), torch.zeros(len(batch))), pairs, 5
    )
    assert {group["name"]: group["value"] for group in figures["by_tag"]} == {"even": 1.0, "odd": 0.0}


def test_new_annotators_are_those_held_out_where_any_are_and_the_accuracy_is_what_it_was() -> None:
    """The model knows the taste of those it learned from: of the same pairs people held out prefer the other one."""
    train = [held_out("t", annotators=("ann",))]
    pairs = [held_out(f"p{i}", annotators=("ann", "dan"), prompt_ids=[i]) for i in range(8)]
    theirs = [held_out(f"p{i}", "b", "aa", annotators=("dan",), prompt_ids=[i]) for i in range(8)]

    def scores(batch: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(
            torch.tensor([float(len(getattr(pair, side))) for pair in batch]) for side in ("chosen", "rejected")
        )

    plain = evaluate_reward(scores, pairs, 3, train)
    apart = evaluate_reward(scores, pairs, 3, train, test_annotators=theirs)
    assert "Only 0 held-out pair(s)" in plain["accuracy_new_annotators"]["reason"]
    told = apart.pop("accuracy_new_annotators")
    assert (told["value"], told["n"], told["people"]) == (0.0, 8, 1)
    assert apart == {name: figure for name, figure in plain.items() if name != "accuracy_new_annotators"}


def test_an_ensemble_is_measured_by_the_mean_of_its_members_and_by_how_far_they_differ() -> None:
    margins = torch.tensor([[3.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-3.0, 1.0, -1.0], [2.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
    pairs = [held_out(f"p{i}", prompt_ids=[5] * (9 - i)) for i in range(5)]
    rows = {pair.id: row for pair, row in zip(pairs, margins, strict=True)}
    figures = evaluate_reward(lambda batch: (torch.stack([rows[p.id] for p in batch]), torch.zeros(1)), pairs, 2)
    assert figures["accuracy"]["value"] == 4 / 5
    assert figures["margin"]["value"] == pytest.approx((1 + 1 - 1 + 1 + 1) / 5)
    deviations = [(8 / 3) ** 0.5, 0.0, (8 / 3) ** 0.5, 2**0.5, 2**0.5]
    assert figures["disagreement"]["value"] == pytest.approx(sum(deviations) / 5)


@pytest.mark.parametrize("members", [None, 1])
def test_one_model_has_nobody_to_disagree_with(members: int | None) -> None:
    shape = (lambda batch: (len(batch),)) if members is None else (lambda batch: (len(batch), members))
    figures = evaluate_reward(lambda batch: (torch.ones(shape(batch)), torch.zeros(shape(batch))), varied(), 3)
    assert "disagreement" not in figures
    assert figures["accuracy"]["n"] == 7


def test_no_pair_at_all_gives_no_figure_and_every_one_says_why() -> None:
    figures = evaluate_reward(lambda batch: (torch.ones(len(batch)),) * 2, [], 3)
    for name, figure in figures.items():
        parts = (
            figure if isinstance(figure, list) else [figure["ece"], figure["brier"]] if "ece" in figure else [figure]
        )
        assert all(part["value"] is None and part["reason"] for part in parts), name
    assert [group["name"] for group in figures["by_votes"]] == ["unanimous", "split"]


@pytest.mark.parametrize("n", [0, 7, 60])
def test_the_figures_go_into_a_manifest(n: int) -> None:
    pairs = [held_out(f"p{i}", votes=(2, 0, 1), tags=("a",), annotators=("ann",)) for i in range(n)]
    figures = evaluate_reward(lambda batch: (torch.rand(len(batch), 3), torch.rand(len(batch), 3)), pairs, 16)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_the_headline_leaves_out_what_is_no_single_number() -> None:
    figures = evaluate_reward(lambda batch: (torch.ones(len(batch)), torch.zeros(len(batch))), varied(), 3)
    plain = headline(figures)
    assert {"accuracy", "human_ceiling", "accuracy_similar_length", "margin"} <= set(plain)
    assert not {"calibration", "by_tag", "by_votes"} & set(plain)
    assert all(value is None or isinstance(value, float) for value in plain.values())
