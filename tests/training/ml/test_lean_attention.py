"""Attention without repeated keys and values computes what transformers' layers compute, in both directions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tests.training.ml.families import build_family
from training.ml import lean_attention
from training.ml.batching import pad
from training.ml.forward import hidden_states
from training.ml.lean_attention import KINDS, LeanAttention, _for_groups, _grouped_query, attend_lean
from training.ml.prompt_rows import lay_out
from training.ml.reference import frozen_logps, frozen_start
from training.ml.rotation import Rotated, in_few_passes
from training.ml.row_attention import row_inputs
from training.recipes.adapters import AdapterConfig
from training.recipes.shared_rows import FAMILIES, GROUPED_QUERY

pytestmark = pytest.mark.not_db
TEXTS = [[3, 4, 5, 6, 7, 8, 9], [11, 12], [3, 4, 5, 13, 14]]


def lean(model: nn.Module) -> nn.Module:
    found = copy.deepcopy(model)
    attend_lean(found)
    return found


def padded(model: nn.Module) -> Tensor:
    return hidden_states(model, pad(TEXTS, 0, side="left"))


def in_rows(model: nn.Module) -> Tensor:
    read = row_inputs(model, lay_out(TEXTS, [(3, 4, 5), (11,), (3, 4, 5)]))
    return read.body.base_model(**read.arguments, use_cache=False).last_hidden_state


def without_a_mask(model: nn.Module) -> Tensor:
    return model.base_model(torch.tensor([TEXTS[0]]), use_cache=False).last_hidden_state


def answers(model: nn.Module, read: Any) -> list[Tensor]:
    """The states, and the gradient of every weight."""
    states = read(model)
    states.square().sum().backward()
    return [states.detach(), *(weight.grad for weight in model.parameters() if weight.grad is not None)]


@pytest.mark.parametrize("read", [padded, in_rows, without_a_mask])
@pytest.mark.parametrize("family", sorted(GROUPED_QUERY))
def test_states_and_gradients_are_those_of_the_plain_layers(family: str, read: Any) -> None:
    model = build_family(family)
    mine = lean(model)
    assert sum(isinstance(part, LeanAttention) for part in mine.modules()) == model.config.num_hidden_layers
    for found, expected in zip(answers(mine, read), answers(model, read), strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * max(expected.abs().max().item(), 1))


def test_every_kind_is_tried() -> None:
    kinds = {type(part).__name__ for family in GROUPED_QUERY for part in build_family(family).modules()}
    assert kinds >= KINDS


@pytest.mark.parametrize("family", sorted(FAMILIES - GROUPED_QUERY))
def test_other_layers_are_left_alone(family: str) -> None:
    assert not any(isinstance(part, LeanAttention) for part in lean(build_family(family)).modules())


def test_nothing_is_repeated_and_the_mask_once_for_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = lean(build_family("llama")), []
    own = nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        nn.functional,
        "scaled_dot_product_attention",
        lambda *given, **more: asked.append((given, more)) or own(*given, **more),
    )
    in_rows(model)
    heads, longest = model.config.num_key_value_heads, asked[0][0][1].shape[2]
    assert {part.shape[1] for given, _ in asked for part in given} == {heads}
    assert asked[0][0][0].shape[2] == 2 * longest  # two heads share keys
    masks = [more["attn_mask"] for _, more in asked]
    assert len(masks) == model.config.num_hidden_layers and all(mask is masks[0] for mask in masks)


def test_where_every_head_has_its_own_keys_and_where_something_is_dropped_torch_is_asked_as_ever() -> None:
    for settings, training in (({"num_key_value_heads": 4}, False), ({"attention_dropout": 0.5}, True)):
        model = build_family("llama", **settings)
        found = []
        for one in (model, lean(model)):
            torch.manual_seed(1)
            found.append(in_rows(one.train(training)))
        assert torch.allclose(*found, atol=1e-5)


def test_a_mask_is_made_anew_when_it_is_another_one() -> None:
    """It may be changed in place, be given to models of other precisions, and be seen in inference mode first."""
    mask = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    with torch.inference_mode():
        _for_groups(mask, 2, torch.float32)
    query, key = torch.randn(1, 4, 3, 8, requires_grad=True), torch.randn(1, 2, 3, 8)
    attend = _grouped_query(sdpa_attention_forward)
    layer = build_family("llama").model.layers[0].self_attn
    attend(layer, query, key, key, mask)[0].sum().backward()  # no tensor of inference mode can be kept for it
    for precision in (torch.bfloat16, torch.float32):
        known = _for_groups(mask, 2, precision)
        assert known.dtype == precision and _for_groups(mask, 2, precision) is known
    mask.fill_(True)
    assert not _for_groups(mask, 2, torch.float32).any()


def test_no_mask_is_made_that_is_larger_than_what_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heads share keys of 8 features: 16 tokens are where the two are alike, of one layer."""
    model, made = lean(build_family("llama", max_position_embeddings=128)), []
    own = lean_attention._for_groups
    monkeypatch.setattr(lean_attention, "_for_groups", lambda *given: made.append(given) or own(*given))
    for length, learning, expected in ((16, False, 2), (17, False, 0), (64, True, 2), (65, True, 0)):
        made.clear()
        with torch.set_grad_enabled(learning):
            hidden_states(model, pad([[*range(3, 3 + length)], [3]], 0))
        assert len(made) == expected, length


def test_the_cache_that_a_kernel_fills_itself_is_left_to_transformers() -> None:
    """As `generate_batch` passes it: whoever overlooked it would see the new tokens alone."""
    asked: list[Any] = []
    attend = _grouped_query(lambda *given, **more: asked.append(more) or (given[1], None))
    query, key = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8)
    attend(nn.Module(), query, key, key, torch.zeros(1, 1, 3, 9), cache=object())
    assert "cache" in asked[0]


def test_the_frozen_start_of_a_model_that_is_trained_whole_thinks_the_same_to_the_last_bit() -> None:
    built = build_family("llama", hidden_size=128, head_dim=32)
    model, config = lean(built), AdapterConfig(adapter="full")
    texts = [([*range(3, 9)], [*range(20, 20 + length)]) for length in range(5, 50)]
    with frozen_start(model, config, lambda: built)() as start:
        found, expected = (torch.cat(frozen_logps(one, texts)) for one in (start, model))
    assert torch.equal(found, expected)


def test_in_half_precision_positions_are_turned_as_transformers_turns_them() -> None:
    model = build_family("llama").to(torch.bfloat16)
    found, expected = (in_rows(one).float() for one in (lean(model), model))
    assert torch.allclose(found, expected, atol=0.1 * expected.abs().max().item())


def test_the_gradient_of_a_rotation_is_that_of_differences() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64, requires_grad=True)
    cos, sin = torch.randn(2, 2, 1, 5, 8, dtype=torch.float64)  # also where its halves are not alike
    assert torch.autograd.gradcheck(lambda x: Rotated.apply(x, cos, sin), (x,))
    turned = x.transpose(1, 2).detach().contiguous().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: Rotated.apply(x.transpose(1, 2), cos, sin), (turned,))


def test_where_a_part_of_each_head_is_turned_transformers_turns_it() -> None:
    asked: list[tuple[Any, ...]] = []
    rotate = in_few_passes(lambda *given: asked.append(given) or given[:2])
    query, key, angles = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8), torch.randn(1, 3, 4)
    rotate(query, key, angles, angles)
    assert len(asked) == 1
    rotate(query, key, torch.randn(1, 3, 8), torch.randn(1, 3, 8))
    assert len(asked) == 1
