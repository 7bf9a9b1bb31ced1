"""Rows hold every sequence whole, share what begins alike, and let nobody see a neighbour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ml.batching import grouped_batches
from training.ml.prompt_rows import lay_out
from training.recipes import shared_rows

pytestmark = pytest.mark.not_db
tokens = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=6))
def test_a_token_sees_what_comes_before_it_in_its_own_sequence_and_nothing_else(
    texts: list[tuple[list[int], list[int]]],
) -> None:
    sequences = [prompt + response for prompt, response in texts]
    rows = lay_out(sequences, [tuple(prompt) for prompt, _ in texts])
    for sequence, (row, columns) in zip(sequences, rows.places, strict=True):
        assert rows.input_ids[row, columns].tolist() == sequence
        assert rows.position_ids[row, columns].tolist() == list(range(len(sequence)))
        for position, column in enumerate(columns):
            seen = rows.visible[row, 0, column].nonzero()[:, 0].tolist()
            assert sorted(seen) == sorted(columns[: position + 1])
    assert rows.visible.any(dim=3).all(), "padding, too, looks at something"


def test_a_prompt_stands_once_and_so_does_what_prompts_share() -> None:
    pair = [[7, 1, 2, 3], [7, 1, 2, 4, 5]]
    rows = lay_out(pair, ["a", "a"])
    assert rows.input_ids.tolist() == [[7, 1, 2, 3, 4, 5]]
    assert rows.position_ids.tolist() == [[0, 1, 2, 3, 3, 4]]
    assert lay_out([*pair, [7, 9, 9]], ["a", "a", "b"]).input_ids.shape == (1, 8), "7 begins both prompts"


def test_rows_come_out_about_as_long_as_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rows, "HALF", 10)
    sequences = [[group, *range(9, 9 + length)] for group, length in enumerate((9, 4, 4, 3, 3, 2))]
    rows = lay_out(sequences, range(6))
    assert rows.input_ids.shape == (3, 12), "10, 5 + 4 + 3, 5 + 4"
    assert lay_out(sequences[:1] * 2, [0, 0]).input_ids.shape == (1, 10), "the same text is there once"


@given(st.lists(st.integers(5, 60), min_size=1, max_size=12), st.integers(0, 5))
def test_no_even_number_of_rows_would_have_cost_less(sizes: list[int], shared: int) -> None:
    def cost(rows: list[int]) -> float:
        loads = [shared + sum(n - shared for n, r in zip(sizes, rows, strict=True) if r == row) for row in set(rows)]
        return len(loads) * max(loads) * (1 + max(loads) / shared_rows.HALF)

    chosen = shared_rows.deal(sizes, shared)
    assert set(chosen) == set(range(max(chosen) + 1)), "no row is empty"
    order = sorted(range(len(sizes)), key=lambda one: -sizes[one])
    for number in range(1, len(sizes) + 1):
        in_turn = [0] * len(sizes)
        for place, group in enumerate(order):
            in_turn[group] = place % number
        assert cost(chosen) <= 1.5 * cost(in_turn)
    assert cost(chosen) <= cost([0] * len(sizes)) and cost(chosen) <= cost(list(range(len(sizes))))


def test_those_of_a_group_share_a_batch_where_it_holds_them() -> None:
    assert grouped_batches([5, 3, 4, 3], ["a", "b", "a", "b"], 2) == [[1, 3], [2, 0]]
    assert grouped_batches([5, 3, 4, 3], ["a", "b", "a", "b"], 1) == [[1, 3], [2, 0]], "a pair is not torn apart"
    assert grouped_batches([1, 2, 3, 4, 5], ["a"] * 4 + ["b"], 3) == [[0, 1, 2], [3, 4]]
    assert grouped_batches([], [], 3) == []
