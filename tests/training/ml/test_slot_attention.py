"""One new token attends as by torch's kernel, however keys and values lie; the model's own kind comes back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.training.ml.families import build_family
from training.ml import slot_attention
from training.ml.lean_attention import attend_lean
from training.ml.processor import AMD, INTEL
from training.ml.slot_attention import ONE_TOKEN, one_token, one_token_each
from training.ml.slots import Slots, read_prompts
from training.recipes.shared_rows import FAMILIES

pytestmark = pytest.mark.not_db
PROMPTS = [[3, 4, 5], [3, 4, 6, 7, 8, 9, 10], [11]]


@settings(deadline=None, max_examples=60)
@given(
    texts=st.integers(1, 5),
    key_heads=st.integers(1, 3),
    group=st.integers(1, 4),
    tokens=st.integers(1, 40),
    room=st.integers(0, 9),
    width=st.sampled_from([8, 20, 64]),
    scaling=st.sampled_from([None, 1.0, 0.3]),
    by_feature=st.sampled_from([(False, True), (True, False), (False, False)]),
)
def test_it_is_softmax_of_what_each_text_has(
    texts: int,
    key_heads: int,
    group: int,
    tokens: int,
    room: int,
    width: int,
    scaling: float | None,
    by_feature: tuple[bool, bool],
) -> None:
    query = torch.randn(texts, key_heads * group, 1, width)
    key, value = (
        torch.randn(texts, key_heads, width, tokens + room).transpose(2, 3)[:, :, :tokens]
        if turned
        else torch.randn(texts, key_heads, tokens + room, width)[:, :, :tokens]
        for turned in by_feature
    )
    lengths = torch.randint(1, tokens + 1, (texts,))
    hidden = torch.arange(tokens) >= lengths[:, None]
    mask = torch.zeros(texts, tokens).masked_fill_(hidden, torch.finfo(torch.float32).min)[:, None, None]
    found, _ = one_token(nn.Identity(), query, key, value, mask, scaling)
    scale = width**-0.5 if scaling is None else scaling
    for text in range(texts):
        length = int(lengths[text])
        for head in range(key_heads * group):
            keys, values = (part[text, head // group, :length].double() for part in (key, value))
            weights = (keys @ query[text, head, 0].double() * scale).softmax(dim=0)
            assert torch.allclose(found[text, 0, head].double(), weights @ values, atol=1e-5)


@pytest.mark.parametrize("maker", [AMD, INTEL])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_step_gives_the_logits_of_the_whole_text(family: str, maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_attention, "maker", lambda: maker)
    model = build_family(family).eval()
    attend_lean(model)  # as a sampling run has it
    own = model.config._attn_implementation
    with torch.inference_mode():
        _, kept = read_prompts(model, PROMPTS)
        slots = Slots(4, 8 + max(map(len, PROMPTS)))
        slots.put(kept)
        texts = [list(prompt) for prompt in PROMPTS]
        for step in range(4):
            tokens = torch.tensor([20 + step, 30 + step, 40 + step])
            found = slots.step(model, tokens)
            for row, token in enumerate(tokens.tolist()):
                texts[row].append(token)
                whole = model(torch.tensor([texts[row]])).logits[0, -1]
                assert torch.allclose(found[row], whole, rtol=1e-4, atol=1e-5)
    assert model.config._attn_implementation == own != ONE_TOKEN


def test_the_models_own_attention_comes_back_after_an_error() -> None:
    model = build_family("llama")
    own = model.config._attn_implementation
    with pytest.raises(ZeroDivisionError), one_token_each(model):
        assert model.config._attn_implementation == ONE_TOKEN
        raise ZeroDivisionError
    assert model.config._attn_implementation == own
