"""Batches hold rows of like length, and padding is told from text by the mask."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from training.ml.batching import last_real, pad, sorted_batches


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 9)))
def test_every_row_is_in_one_batch_and_the_lengths_never_fall(lengths, size, first):
    batches = sorted_batches(lengths, size, first)
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths)
    assert all(1 <= len(batch) <= size for batch in batches)
    if first and batches:
        assert len(batches[0]) <= first


def test_the_first_batch_may_be_small():
    assert [len(batch) for batch in sorted_batches([1] * 10, 4, first=2)] == [2, 4, 4]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=6))
def test_both_sides_keep_every_token_in_place_by_mask_and_position(sequences):
    for side in ("left", "right"):
        # The pad id is also a real token here, as it is where EOS pads.
        batch = pad(sequences, pad_id=7, side=side)
        for row, ids in enumerate(sequences):
            real = batch.attention_mask[row].bool()
            assert batch.input_ids[row][real].tolist() == ids
            assert batch.position_ids[row][real].tolist() == list(range(len(ids)))
        last = last_real(batch.attention_mask)
        assert batch.input_ids[torch.arange(len(sequences)), last].tolist() == [ids[-1] for ids in sequences]
