"""Virtual tokens on models whose layers look back no further than a window."""

from __future__ import annotations

import pytest
import torch

from tests.training.ml.families import build_family
from training.ml.adapters import apply_adapter
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.token_logps import token_logps
from training.recipes import load

pytestmark = pytest.mark.not_db
WINDOWED = [
    ("mistral", "prefix"),
    ("gemma3_text", "p_tuning_v2"),
    ("gemma3_text", "p_tuning"),
    ("mistral", "prompt_tuning"),
]


@pytest.mark.parametrize(("family", "adapter"), WINDOWED)
def test_virtual_tokens_are_seen_alike_in_any_batch_as_far_as_a_window_reaches(family: str, adapter: str) -> None:
    """A window counts columns: with one token more, a short text beside a long one would not see all of them."""
    model = build_family(family, sliding_window=32)
    settings = {"adapter": adapter, "virtual_tokens": 5, "encoder_hidden": 16}
    with pytest.raises(ModelError, match="window") as caught:
        apply_adapter(model, load("dpo", {**settings, "max_length": 28}), "policy")
    assert caught.value.code == "bad_config" and "27" in caught.value.hint
    policy = apply_adapter(model, load("dpo", {**settings, "max_length": 27}), "policy").eval()
    assert context_of(policy) == 27
    texts = [([3, 4], [5, 6, 7]), (list(range(3, 18)), list(range(18, 30)))]
    with torch.no_grad():
        alone = [token_logps(policy, [text])[0] for text in texts]
        together = token_logps(policy, texts)
    assert all(torch.allclose(found, expected, atol=1e-4) for found, expected in zip(together, alone, strict=True))
