"""The human ceiling: leave-one-out agreement against votes counted by hand."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.ml.held_out import held_out
from training.ml.human_ceiling import Votes, as_annotator, human_ceiling, leave_one_out
from training.ml.intervals import proportion

COUNTS = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)).filter(lambda votes: sum(votes) > 1)


@pytest.mark.parametrize(
    ("votes", "agreement"),
    [
        ((2, 0, 0), 1.0),
        ((3, 0, 0), 1.0),
        ((2, 0, 1), (0.5 + 0.5 + 0) / 3),  # two find the others split, one finds them against it
        ((4, 0, 1), 4 / 5),  # four find the others 3 to 1
        ((3, 0, 2), 3 / 5 * 0.5),  # three find the others split, two find them against them
        ((1, 0, 1), 0.0),
        ((2, 1, 0), (0.75 + 0.75 + 0.5) / 3),  # against a chosen and a tie: half of 1 and 1/2; the tie: half
        ((1, 1, 1), 0.5 * 1 / 3 * (0.5 + 0) + 0.5 * 1 / 3 * (0.5 + 0) + 1 / 3 * 0.5),
    ],
)
def test_the_agreement_of_one_with_the_others_is_that_counted_by_hand(votes: Votes, agreement: float) -> None:
    assert leave_one_out(votes) == pytest.approx(agreement)


@given(COUNTS)
def test_turning_the_pair_around_changes_no_agreement(votes: Votes) -> None:
    assert leave_one_out(votes) == pytest.approx(leave_one_out(votes[::-1]))
    assert as_annotator(votes, 0) == pytest.approx(as_annotator(votes[::-1], 2))
    assert 0 <= leave_one_out(votes) <= 1


@given(COUNTS)
def test_the_agreement_is_the_mean_over_the_voters_one_by_one(votes: Votes) -> None:
    """The long way: every voter as a person of their own, every majority counted anew."""
    earned = {(a, b): 1 - abs(a - b) / 2 for a, b in product(range(3), range(3))}
    voters = [choice for choice, n in enumerate(votes) for _ in range(n)]
    total = 0.0
    for seat, voter in enumerate(voters):
        others = voters[:seat] + voters[seat + 1 :]
        most = max(map(others.count, range(3)))
        leading = [choice for choice in range(3) if others.count(choice) == most]
        total += sum(earned[voter, choice] for choice in leading) / len(leading)
    assert leave_one_out(votes) == pytest.approx(total / len(voters))


def _ceiling(votes: list[Votes | None], margins: list[float], prompts: list[int] | None = None) -> dict:
    return human_ceiling([held_out(f"p{i}", votes=v) for i, v in enumerate(votes)], margins, prompts)


def test_the_ceiling_is_over_the_pairs_with_two_votes_or_more_and_the_model_is_measured_on_the_same() -> None:
    votes = [(3, 0, 0)] * 4 + [(2, 0, 1)] * 4 + [(1, 0, 0)] * 20 + [None] * 3
    found = _ceiling(votes, [1.0] * 6 + [-1.0] * 2 + [-1.0] * 23)
    assert (found["value"], found["n"]) == (pytest.approx((4 * 1 + 4 / 3) / 8), 8)
    assert (found["model"]["value"], found["model"]["n"]) == (6 / 8, 8)
    # In an annotator's place, against the others of 2 to 1: "chosen" earns 1/2, 1/2, 1, and "rejected" 1/2, 1/2, 0.
    assert found["model_as_annotator"]["value"] == pytest.approx((4 + 2 * 2 / 3 + 2 * 1 / 3) / 8)
    assert found["two_votes"] == 0


def test_where_every_pair_has_a_prompt_of_its_own_the_interval_is_students_over_pairs() -> None:
    found = _ceiling([(3, 0, 0)] * 4 + [(2, 0, 1)] * 4, [1.0] * 8)
    # eight values, four of 1 and four of 1/3: mean 2/3, deviation sqrt(8/63), t(0.975, 7) = 2.364624
    half = 2.364624 * (8 / 63) ** 0.5 / 8**0.5
    assert (found["low"], found["high"]) == (
        pytest.approx(2 / 3 - half, abs=1e-5),
        pytest.approx(2 / 3 + half, abs=1e-5),
    )


def test_the_interval_is_over_the_prompts_whose_pairs_people_agree_on_alike() -> None:
    sharp, split = [(3, 0, 0)] * 3, [(2, 0, 1)] * 3
    found = _ceiling((sharp + split) * 4 + [None] * 3, [1.0] * 27, [n // 3 for n in range(27)])
    once = _ceiling([(3, 0, 0), (2, 0, 1)] * 4, [1.0] * 8)
    for figure, of_prompts in ((found, once), (found["model_as_annotator"], once["model_as_annotator"])):
        assert (figure["n"], figure["clusters"]) == (24, 8)
        assert [figure[name] for name in ("value", "low", "high")] == pytest.approx(
            [of_prompts[name] for name in ("value", "low", "high")]
        ), "three pairs of a prompt on which people agree alike say no more than one"
    assert found["model"]["clusters"] == 8


def test_prompts_that_are_all_alike_do_not_prove_that_every_prompt_is() -> None:
    for votes in ([(2, 0, 0)] * 20, [(3, 0, 0), (2, 0, 1)] * 10):
        found = _ceiling(votes, [1.0] * 20, [n // 2 for n in range(20)])
        wilson = proportion(found["value"] * 10, 10)
        assert (found["low"], found["high"], found["n"]) == (
            pytest.approx(wilson["low"]),
            pytest.approx(wilson["high"]),
            20,
        )


def test_where_the_pairs_that_several_judged_are_of_few_prompts_it_says_so() -> None:
    found = _ceiling([(2, 0, 0)] * 20 + [(1, 0, 0)] * 8, [1.0] * 28, [n // 10 for n in range(20)] + [*range(2, 10)])
    assert found["value"] is None and found["n"] == 20
    assert found["reason"] == "Of too few prompts to say anything: at least 5 are needed."


def test_two_votes_could_differ_where_a_final_word_made_the_label() -> None:
    pairs = [held_out(f"p{i}", votes=(1, 0, 1), adjudicated=True) for i in range(10)]
    pairs += [held_out(f"q{i}", votes=(2, 0, 0)) for i in range(5)]
    assert human_ceiling(pairs, [1.0] * 15)["two_votes"] == 5


def test_perfect_agreement_does_not_prove_perfect_agreement() -> None:
    found = _ceiling([(2, 0, 0)] * 10, [1.0] * 10)
    assert (found["value"], found["high"], found["two_votes"]) == (1.0, 1.0, 10)
    assert found["low"] == pytest.approx(0.7225, abs=1e-4), "Wilson's, 10 of 10"


@pytest.mark.parametrize("votes", [[None] * 9, [(1, 0, 0)] * 9, [(2, 0, 0)] * 4])
def test_without_pairs_that_several_judged_there_is_no_ceiling_and_it_says_why(votes: list) -> None:
    found = _ceiling(votes, [1.0] * len(votes))
    for figure in (found, found["model"], found["model_as_annotator"]):
        assert figure["value"] is None and "have two votes or more: at least 5 are needed" in figure["reason"]
