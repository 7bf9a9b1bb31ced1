"""Attention without repeated keys and values computes what transformers' layers compute, in both directions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.ml.families import build_family
from training.ml.batching import pad
from training.ml.forward import hidden_states
from training.ml.lean_attention import KINDS, LeanAttention, attend_lean
from training.ml.prompt_rows import lay_out
from training.ml.rotation import Turned, in_few_passes
from training.ml.row_attention import row_inputs
from training.recipes.shared_rows import FAMILIES, UNREPEATED

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
@pytest.mark.parametrize("family", sorted(UNREPEATED))
def test_states_and_gradients_are_those_of_the_plain_layers(family: str, read: Any) -> None:
    model = build_family(family)
    mine = lean(model)
    assert sum(isinstance(part, LeanAttention) for part in mine.modules()) == model.config.num_hidden_layers
    for found, expected in zip(answers(mine, read), answers(model, read), strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * max(expected.abs().max().item(), 1))


def test_every_kind_is_tried() -> None:
    kinds = {type(part).__name__ for family in UNREPEATED for part in build_family(family).modules()}
    assert kinds >= KINDS


@pytest.mark.parametrize("family", sorted(FAMILIES - UNREPEATED))
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


def test_in_half_precision_positions_are_turned_as_transformers_turns_them() -> None:
    model = build_family("llama").to(torch.bfloat16)
    found, expected = (in_rows(one).float() for one in (lean(model), model))
    assert torch.allclose(found, expected, atol=0.1 * expected.abs().max().item())


def test_the_gradient_of_a_rotation_is_that_of_differences() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64, requires_grad=True)
    cos, sin = torch.randn(2, 2, 1, 5, 8, dtype=torch.float64)  # also where its halves are not alike
    assert torch.autograd.gradcheck(lambda x: Turned.apply(x, cos, sin), (x,))
    turned = x.transpose(1, 2).detach().contiguous().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: Turned.apply(x.transpose(1, 2), cos, sin), (turned,))


def test_where_a_part_of_each_head_is_turned_transformers_turns_it() -> None:
    asked: list[tuple[Any, ...]] = []
    rotate = in_few_passes(lambda *given: asked.append(given) or given[:2])
    query, key, angles = torch.randn(1, 4, 3, 8), torch.randn(1, 2, 3, 8), torch.randn(1, 3, 4)
    rotate(query, key, angles, angles)
    assert len(asked) == 1
    rotate(query, key, torch.randn(1, 3, 8), torch.randn(1, 3, 8))
    assert len(asked) == 1
