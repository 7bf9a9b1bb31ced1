"""One pair of several scored responses: the closest, the farthest, or the best two, and never two equal texts."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.statistics.scored_pairs import best_and_worst, best_two, closest, distinct

# Small whole numbers tie all the time.
scores = st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-50, 50)), min_size=2, max_size=16)


@given(scores)
def test_the_closest_two_differ_least_of_all_pairs(found: list[float]) -> None:
    one, other = closest(found)
    assert abs(found[one] - found[other]) == min(abs(a - b) for a, b in combinations(found, 2))


@given(scores)
def test_best_and_worst_differ_most_and_are_two(found: list[float]) -> None:
    one, other = best_and_worst(found)
    assert {found[one], found[other]} == {max(found), min(found)}
    assert one < other


@given(scores)
def test_the_best_two_are_above_all_others(found: list[float]) -> None:
    one, other = best_two(found)
    rest = [score for place, score in enumerate(found) if place not in (one, other)]
    assert min(found[one], found[other]) >= max(rest, default=float("-inf"))
    assert one < other


@given(scores, st.permutations(range(16)))
def test_a_choice_is_by_the_scores_and_not_by_where_they_stand(found: list[float], order: list[int]) -> None:
    places = [place for place in order if place < len(found)]
    moved = [found[place] for place in places]
    for choose in (closest, best_and_worst, best_two):
        gaps = [abs(seen[one] - seen[other]) for seen, (one, other) in ((s, choose(s)) for s in (found, moved))]
        assert gaps[0] == gaps[1]


@pytest.mark.parametrize("choose", [closest, best_and_worst, best_two])
def test_one_response_alone_is_no_pair(choose: object) -> None:
    with pytest.raises(ValueError, match="two scored responses"):
        choose([1.0])


@given(st.lists(st.sampled_from("abc")))
def test_of_equal_texts_the_first_stands_for_all(texts: list[str]) -> None:
    places = distinct(texts)
    assert [texts[place] for place in places] == list(dict.fromkeys(texts))
    assert places == sorted(places)
