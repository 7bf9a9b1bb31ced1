"""Accuracy on parts of the held-out pairs: who is in a part, by hand, and what is said where it is too small."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from annotate.workflow.snapshot_rows import schema_of
from tests.training.ml.held_out import held_out
from training.ml.intervals import correlation_of_shares, mean_of_two, proportion
from training.ml.pairs import COLUMNS, OPTIONAL
from training.ml.reward_figures import (
    accuracies_by_group,
    accuracies_by_length,
    accuracy_on_new_annotators,
    accuracy_on_test_annotators,
    strength_of,
)

RIGHT, WRONG = 1.0, -1.0


def _groups(name: str, fields: list[dict[str, Any]], margins: list[float]) -> dict[str, Any]:
    pairs = [held_out(f"p{i}", **one) for i, one in enumerate(fields)]
    return {group.pop("name"): group for group in accuracies_by_group(pairs, margins)[name]}


def test_a_snapshot_has_all_columns_that_the_pairs_and_so_these_figures_come_from() -> None:
    assert {*COLUMNS, *OPTIONAL} <= set(schema_of(adjudicated_first=True).names)


def test_lengths_are_similar_up_to_a_tenth_of_the_longer() -> None:
    lengths = [(10, 9), (9, 10), (10, 10), (20, 18), (100, 91), (10, 8), (100, 89), (1, 2)]
    pairs = [held_out(f"p{i}", chosen="c" * a, rejected="r" * b) for i, (a, b) in enumerate(lengths)]
    margins = [RIGHT, WRONG, RIGHT, WRONG, RIGHT, WRONG, WRONG, WRONG]
    found = accuracies_by_length(pairs, margins)["accuracy_similar_length"]
    assert (found["value"], found["n"]) == (3 / 5, 5)


def test_a_model_that_only_looks_at_length_has_half_when_length_is_held_fixed() -> None:
    pairs = [held_out(f"p{i}", chosen="c" * (1 + 3 * (i < 30)), rejected="rr") for i in range(40)]
    found = accuracies_by_length(pairs, [float(len(p.chosen) - len(p.rejected)) for p in pairs])
    assert found["accuracy_length_controlled"]["value"] == 0.5
    assert found["accuracy_length_controlled"]["n"] == 40


def test_the_length_controlled_accuracy_weighs_both_kinds_alike() -> None:
    pairs = [held_out(f"p{i}", chosen="c" * (1 + 3 * (i < 30)), rejected="rr") for i in range(40)]
    margins = [RIGHT] * 27 + [WRONG] * 3 + [RIGHT] * 4 + [WRONG] * 6
    found = accuracies_by_length(pairs, margins)["accuracy_length_controlled"]
    assert found["value"] == pytest.approx((0.9 + 0.4) / 2)
    # Wilson: 27 of 30 from 0.7438 to 0.9654, 4 of 10 from 0.1682 to 0.6873
    assert found["low"] == pytest.approx(0.65 - ((0.9 - 0.7438) ** 2 + (0.4 - 0.1682) ** 2) ** 0.5 / 2, abs=2e-4)
    assert found["high"] == pytest.approx(0.65 + ((0.9654 - 0.9) ** 2 + (0.6873 - 0.4) ** 2) ** 0.5 / 2, abs=2e-4)


@given(st.integers(5, 60), st.integers(5, 60), st.data())
def test_the_interval_of_a_mean_of_two_shares_holds_it_and_stays_within_zero_and_one(n: int, m: int, data: Any) -> None:
    found = mean_of_two(proportion(data.draw(st.integers(0, n)), n), proportion(data.draw(st.integers(0, m)), m))
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert found["high"] - found["low"] > 0.01


def test_the_two_kinds_of_a_prompt_vary_together() -> None:
    # Of every prompt one pair of each kind; each kind is right in 4 of 8, for the same prompts or for the others.
    is_longer, prompts = [True, False] * 8, [n // 2 for n in range(16)]
    same, other = [1.0, 1.0, 0.0, 0.0] * 4, [1.0, 0.0, 0.0, 1.0] * 4
    assert correlation_of_shares(same, is_longer, prompts) == pytest.approx(1)
    assert correlation_of_shares(other, is_longer, prompts) == pytest.approx(-1)
    assert correlation_of_shares(same, is_longer, None) == 0
    share = proportion(4, 8)
    assert mean_of_two(share, share, 1.0)["low"] == pytest.approx(share["low"])
    assert mean_of_two(share, share, -1.0)["low"] == pytest.approx(0.5)


def test_the_length_controlled_interval_covers_where_a_prompt_has_pairs_of_both_kinds() -> None:
    """20 prompts of 8 pairs, each prompt with a difficulty of its own: taken for independent, 90 % are covered."""
    random, prompts, covered = numpy.random.default_rng(1), numpy.repeat(numpy.arange(20), 8).tolist(), 0
    truth = float(norm.cdf(0.6 / 2**0.5))
    kinds = [held_out("l", chosen="cccc", rejected="r"), held_out("s", chosen="c", rejected="rrrr")]
    for _ in range(300):
        margins = 0.6 + numpy.repeat(random.normal(size=20), 8) + random.normal(size=160)
        pairs = [kinds[kind] for kind in random.integers(2, size=160)]
        found = accuracies_by_length(pairs, margins.tolist(), prompts)["accuracy_length_controlled"]
        covered += found["low"] <= truth <= found["high"]
    assert 0.93 <= covered / 300 <= 0.99


def test_without_pairs_of_both_kinds_the_length_controlled_accuracy_says_what_is_missing() -> None:
    pairs = [held_out(f"p{i}", chosen="cccc", rejected="rr") for i in range(8)]
    found = accuracies_by_length(pairs, [RIGHT] * 8)
    assert found["accuracy_length_controlled"]["value"] is None
    assert "longer in 8 held-out pair(s) and shorter in 0" in found["accuracy_length_controlled"]["reason"]
    assert "Only 0 held-out pair(s) of similar length" in found["accuracy_similar_length"]["reason"]


def test_new_annotators_are_those_who_judged_no_training_pair() -> None:
    train = [held_out("t0", annotators=("ann", "ben")), held_out("t1", annotators=("cem",))]
    judged = [("dan",), ("dan", "eve"), ("dan", "ann"), ("ben",), (), ("eve",), ("fay",), ("gus",)]
    pairs = [held_out(f"p{i}", annotators=who) for i, who in enumerate(judged)]
    margins = [RIGHT, RIGHT, WRONG, WRONG, WRONG, WRONG, RIGHT, RIGHT]
    found = accuracy_on_new_annotators(pairs, margins, train)
    assert (found["value"], found["n"]) == (4 / 5, 5)
    assert "judged none of the training pairs" in accuracy_on_new_annotators(pairs[:2], margins[:2], train)["reason"]
    unknown = accuracy_on_new_annotators([held_out("p")], [RIGHT], train)
    assert (unknown["value"], unknown["n"], unknown["reason"]) == (None, 0, "The data do not say who judged.")


def test_people_who_were_held_out_are_counted_and_their_prompts_bear_the_interval() -> None:
    train = [held_out("t0", annotators=("ann", "ben"))]
    judged = [("dan", "eve"), ("eve",), ("dan",), ("dan",), ("dan", "eve"), ("eve",)] * 2
    pairs = [held_out(f"p{i}", annotators=who, prompt_ids=[i // 2 + 5]) for i, who in enumerate(judged)]
    margins = [RIGHT, RIGHT, WRONG, WRONG, RIGHT, RIGHT, WRONG, RIGHT, RIGHT, RIGHT, WRONG, WRONG]
    found = accuracy_on_test_annotators(pairs, margins, train)
    assert (found["value"], found["n"], found["clusters"], found["people"]) == (7 / 12, 12, 6, 2)
    assert found["low"] < 7 / 12 < found["high"]
    none = accuracy_on_test_annotators([], [], train)
    assert (none["value"], none["n"], none["people"]) == (None, 0, 0)
    assert "judged none of the training pairs" in none["reason"]


@pytest.mark.parametrize(
    ("votes", "name"),
    [((2, 0, 1), "weak"), ((3, 0, 2), "weak"), ((2, 1, 0), "medium"), ((4, 0, 1), "medium"), ((3, 0, 0), "strong")],
)
def test_strength_is_how_far_the_votes_are_from_even(votes: tuple[int, int, int], name: str) -> None:
    assert strength_of(held_out("p", soft_label=(votes[0] + votes[1] / 2) / sum(votes))) == name


@pytest.mark.parametrize(("degree", "name"), [(1, "weak"), (2, "medium"), (3, "strong")])
def test_each_degree_of_one_vote_has_a_name_of_its_own(degree: int, name: str) -> None:
    assert strength_of(held_out("p", soft_label=1.0, strength=degree / 3)) == name


def test_a_strength_that_was_given_goes_before_the_votes() -> None:
    assert strength_of(held_out("p", soft_label=1.0, strength=0.2)) == "weak"


def test_strengths_come_from_weak_to_strong_and_only_those_there_are() -> None:
    fields = [{"soft_label": 1.0}] * 6 + [{"soft_label": 0.6}] * 5
    found = _groups("by_strength", fields, [RIGHT] * 6 + [WRONG, RIGHT, RIGHT, WRONG, WRONG])
    assert list(found) == ["weak", "strong"]
    assert [(one["value"], one["n"]) for one in found.values()] == [(2 / 5, 5), (1.0, 6)]


def test_one_vote_is_neither_unanimous_nor_split() -> None:
    votes = [(1, 0, 0)] * 9 + [(2, 0, 0)] * 6 + [(2, 1, 0), (2, 0, 1), (3, 1, 1), (2, 1, 0), (3, 0, 2)]
    margins = [WRONG] * 9 + [RIGHT] * 6 + [RIGHT, RIGHT, WRONG, WRONG, 0.0]
    found = _groups("by_votes", [{"votes": v} for v in votes], margins)
    assert [(name, one["value"], one["n"]) for name, one in found.items()] == [("unanimous", 1.0, 6), ("split", 0.5, 5)]


def test_without_votes_their_groups_say_why_there_is_no_figure() -> None:
    found = _groups("by_votes", [{}] * 6, [RIGHT] * 6)
    assert {one["reason"] for one in found.values()} == {"The data do not say how the votes fell."}
    few = _groups("by_votes", [{"votes": (3, 0, 0)}] * 6, [RIGHT] * 6)
    assert few["split"]["reason"] == "Only 0 such pair(s) with two votes or more: at least 5 are needed."


def test_a_pair_is_in_the_group_of_each_of_its_tags_once_and_the_largest_group_comes_first() -> None:
    fields = [{"tags": ("b", "a", "a")}] * 6 + [{"tags": ("b",)}] * 2 + [{"tags": ()}] * 3
    found = _groups("by_tag", fields, [RIGHT] * 3 + [WRONG] * 3 + [RIGHT] * 5)
    assert [(name, one["value"], one["n"]) for name, one in found.items()] == [("b", 5 / 8, 8), ("a", 0.5, 6)]


def test_pairs_without_a_language_are_in_no_group() -> None:
    fields = [{"language": "zh"}] * 5 + [{"language": ""}] * 5 + [{"language": "en"}] * 2
    found = _groups("by_language", fields, [RIGHT] * 12)
    assert [(name, one["value"], one["n"]) for name, one in found.items()] == [("zh", 1.0, 5), ("en", None, 2)]
    assert "Only 2 " in found["en"]["reason"]
