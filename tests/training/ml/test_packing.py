"""A pack says what its sequences say one by one: same targets, same losses, same gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from training.ml import sft
from training.ml.demonstrations import Demonstration
from training.ml.logprobs import completion_logits
from training.ml.packing import laid_out, packed_logits

pytestmark = pytest.mark.not_db
SEQUENCES = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13, 14]), ([15, 16], [17]), ([18, 19, 20, 21], [22, 23, 24])]
tokens = st.lists(st.integers(3, 700), min_size=1, max_size=6)


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5))
def test_every_completion_token_is_predicted_from_the_one_before_it_in_its_own_sequence(
    sequences: list[tuple[list[int], list[int]]],
) -> None:
    ids, positions, before, rows = laid_out(sequences)
    assert ids == [token for prompt, completion in sequences for token in prompt + completion]
    assert [ids[place + 1] for place in before] == [token for _, completion in sequences for token in completion]
    assert rows == [row for row, (_, completion) in enumerate(sequences) for _ in completion]
    assert [place for place, position in enumerate(positions) if position == 0] == [
        sum(len(p) + len(c) for p, c in sequences[:row]) for row in range(len(sequences))
    ]
    assert all(positions[place + 1] == positions[place] + 1 for place in before)


@pytest.mark.parametrize("model", ["fixture_model", "qwen2_model", "gpt2_model"])
def test_a_pack_has_the_logits_of_its_sequences(model: str, request: pytest.FixtureRequest) -> None:
    """Here by SDPA, which transformers gives a block-diagonal mask where positions begin anew; a sequence that saw its
    neighbour would have other logits."""
    policy = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(model)).eval()
    with torch.no_grad():
        packed, padded = packed_logits(policy, SEQUENCES), completion_logits(policy, SEQUENCES)
    assert torch.allclose(packed[0], padded[0], atol=1e-5)
    assert torch.equal(packed[1], padded[1])
    assert torch.equal(packed[2], padded[2])


def test_training_on_packs_has_the_losses_and_gradients_of_training_on_padded_batches(fixture_model: Path) -> None:
    batch = [Demonstration(str(i), [], "", prompt, completion) for i, (prompt, completion) in enumerate(SEQUENCES)]
    found = [learned(AutoModelForCausalLM.from_pretrained(fixture_model), way, batch) for way in (True, False)]
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def learned(model: nn.Module, packed: bool, batch: list[Demonstration]) -> tuple[Tensor, list[Tensor]]:
    outcome = sft.imitation(model, packed_logits if packed else completion_logits)(batch)
    (outcome.losses.sum() / sum(one.units for one in batch)).backward()
    return outcome.losses.detach(), [weight.grad for weight in model.parameters()]
