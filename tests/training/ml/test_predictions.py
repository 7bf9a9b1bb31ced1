"""What a model thinks of completions is the same whether all their logits are made at once or a few at a time."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from tests.training.ml.families import build_family
from tests.training.ml.tensor_bytes import peak_bytes
from tests.training.ml.trained import VARIANTS, configured, untrained
from training.ml import predictions
from training.ml.logprobs import Sequences, padded_logits
from training.ml.policy_figures import KL_BATCH, per_token_kl
from training.ml.predictions import chosen, logps
from training.ml.reference import frozen_logps, untouched
from training.recipes.estimate.workload import EVALUATED, PIECE_COPIES
from training.recipes.shared_rows import FAMILIES, LOGITS_AT_ONCE

pytestmark = pytest.mark.not_db
# Two share a prompt, so that rows may be made of them; the others are padded.
SHARED: Sequences = [(list(range(3, 20)), [30, 31, 2]), (list(range(3, 20)), [40] * 7 + [2]), ([7], [8, 2])]
ALONE: Sequences = [([5, 6, 7], [8, 9, 2]), ([11] * 9, [12, 2]), ([13, 14], [15] * 11)]
SCALED = {
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.1},
    "gemma3_text": {"final_logit_softcapping": 5.0},
}


@pytest.fixture(params=["at once", "a token at a time"])
def some_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "a token at a time":
        monkeypatch.setattr(predictions, "LOGITS_AT_ONCE", 1)


def expected(model: nn.Module, sequences: Sequences) -> torch.Tensor:
    """By the model's own forward pass, all logits at once."""
    with torch.no_grad():
        logits, targets, _ = padded_logits(model, sequences)
    return chosen(logits, targets)


@pytest.mark.usefixtures("some_at_a_time")
@pytest.mark.parametrize("family", [*sorted(FAMILIES), *SCALED])
@pytest.mark.parametrize("sequences", [SHARED, ALONE], ids=["shared", "alone"])
def test_every_family_thinks_the_same(family: str, sequences: Sequences) -> None:
    """Some scale or cap their logits behind the output layer, and do so here too."""
    model = build_family(family, **SCALED.get(family, {}))
    found = predictions.predictions(model, sequences)
    assert torch.allclose(logps(found), expected(model, sequences), atol=1e-5)
    whose = [number for number, (_, completion) in enumerate(sequences) for _ in completion]
    assert found.rows.tolist() == whose
    assert found.targets.tolist() == [token for _, completion in sequences for token in completion]


@pytest.mark.usefixtures("some_at_a_time")
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "bias"])  # a Llama has none
def test_every_adapter_thinks_the_same_switched_on_and_off(variant: str, fixture_model: Path) -> None:
    config = configured(variant)
    model = untrained(config, "policy", fixture_model)
    for weight in (weight for weight in model.parameters() if weight.requires_grad):
        weight.data += 0.05 * torch.randn_like(weight)  # some adapters do nothing at first
    for sequences in (SHARED, ALONE):
        on = torch.cat(frozen_logps(model, sequences))
        assert torch.allclose(on, expected(model, sequences), atol=1e-5)
        with untouched(model, config) as frozen:
            off = torch.cat(frozen_logps(frozen, sequences))
            assert torch.allclose(off, expected(frozen, sequences), atol=1e-5)
        assert config.artifact_kind != "adapter" or not torch.allclose(on, off, atol=1e-5)


def test_a_divergence_holds_a_few_logits_at_a_time() -> None:
    """Of a vocabulary that is large beside everything else: no more than the estimate counts, and far less than the
    logits of both models."""
    vocabulary = 40_000
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, max_position_embeddings=1024, **sizes)).eval()
    sequences = [([3] * 10, [4] * 500) for _ in range(KL_BATCH)]
    assert EVALUATED == KL_BATCH
    whole = 2 * KL_BATCH * 500 * vocabulary * 4
    most = peak_bytes(lambda: per_token_kl(model, lambda: nullcontext(model), sequences))
    states = 50 * 4 * KL_BATCH * 510 * 16
    assert LOGITS_AT_ONCE * 4 < most < PIECE_COPIES * LOGITS_AT_ONCE * 4 + states < whole / 2
