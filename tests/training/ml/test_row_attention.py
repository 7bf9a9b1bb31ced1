"""Masks as the kernels of attention want them: what cannot be seen without a GPU is what they look like."""

from __future__ import annotations

import pytest
import torch

from tests.training.ml.families import build_family
from training.ml import row_attention
from training.ml.load import on_policy
from training.ml.mixed import attends_in, compute_in_bf16
from training.ml.predictions import Predictions
from training.recipes.shared_rows import LOGITS_AT_ONCE, LOGITS_AT_ONCE_ON_A_GPU

pytestmark = pytest.mark.not_db


@pytest.mark.parametrize("width", [7, 16, 17])
@pytest.mark.parametrize("in_bf16", [False, True])
def test_lines_begin_where_a_gpu_reads_and_numbers_are_those_of_attention(
    width: int, in_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_attention, "in_lines", lambda _device: True)
    model = build_family("llama")
    model.multiplies_in_bf16 = in_bf16
    visible = torch.rand(2, 1, 7, width) < 0.5
    mask = row_attention._added(visible, model)
    assert mask.dtype == (torch.bfloat16 if in_bf16 else torch.float32)
    assert mask.shape == visible.shape and mask.stride(-1) == 1
    assert mask.stride(-2) % row_attention.LINE == 0 and mask.stride(-2) - width < row_attention.LINE
    assert torch.equal(mask == 0, visible) and torch.isfinite(mask).all()


def test_a_cpu_copies_no_line() -> None:
    mask = row_attention._added(torch.ones(2, 1, 7, 7, dtype=torch.bool), build_family("llama"))
    assert mask.is_contiguous() and mask.untyped_storage().nbytes() == 4 * mask.numel()


def test_a_classifier_attends_as_the_policy_does_whose_body_it_has() -> None:
    policy = build_family("llama")
    assert attends_in(on_policy(policy)) == torch.float32
    compute_in_bf16(policy)
    assert attends_in(policy) == attends_in(on_policy(policy)) == torch.bfloat16


@pytest.mark.parametrize(("device", "most"), [("cpu", LOGITS_AT_ONCE), ("meta", LOGITS_AT_ONCE_ON_A_GPU)])
def test_logits_of_an_evaluation_are_made_in_pieces_of_what_a_device_is_busy_with(device: str, most: int) -> None:
    tokens, vocabulary = 3000, 50_000
    states = torch.empty(tokens, 1, device=device)
    found = Predictions(states, torch.zeros(tokens), torch.zeros(tokens), lambda made: made, vocabulary)
    sizes = [len(range(*piece.indices(tokens))) for piece in found.pieces()]
    assert sum(sizes) == tokens and max(sizes) == most // vocabulary
