"""RMSNorm in few passes: the numbers and gradients of transformers' layers, and these where its weight is trained."""

import copy
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn

from training.ml import launched
from training.ml.frozen_norm import KINDS, FrozenNorm, ScaledToOne, norm_in_few_passes

pytestmark = pytest.mark.not_db

LAYERS = [
    ("llama", "LlamaRMSNorm"),
    ("mistral", "MistralRMSNorm"),
    ("qwen2", "Qwen2RMSNorm"),
    ("qwen3", "Qwen3RMSNorm"),
    ("phi3", "Phi3RMSNorm"),
    ("smollm3", "SmolLM3RMSNorm"),
]


def layer(family: str, name: str) -> nn.Module:
    made = getattr(import_module(f"transformers.models.{family}.modeling_{family}"), name)(16, eps=1e-3)
    torch.manual_seed(0)
    with torch.no_grad():
        made.weight.normal_()
    return made.requires_grad_(False)


def wrapped(part: nn.Module) -> nn.Module:
    model = nn.Sequential(copy.deepcopy(part))
    norm_in_few_passes(model)
    return model


def answers(model: nn.Module, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    x = torch.linspace(-3, 3, 2 * 5 * 16, dtype=dtype).reshape(2, 5, 16).requires_grad_(True)
    out = model(x)
    out.square().sum().backward()
    return out.detach(), x.grad


def test_every_kind_is_tried() -> None:
    assert {name for _, name in LAYERS} == KINDS


@pytest.mark.parametrize(("family", "name"), LAYERS)
def test_output_and_gradient_are_those_of_transformers(family: str, name: str) -> None:
    part = layer(family, name)
    for mine, theirs in zip(answers(wrapped(part)), answers(part), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_its_gradient_is_that_of_differences() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 7, dtype=torch.float64, requires_grad=True), torch.randn(7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ScaledToOne.apply(x, weight, 1e-2), (x,))


def test_a_text_of_zeros_has_a_gradient() -> None:
    x = torch.zeros(1, 16, requires_grad=True)
    wrapped(layer(*LAYERS[0]))(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_a_weight_that_is_trained_gets_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    part = layer(*LAYERS[0])
    model = wrapped(part)
    taken = []
    apply = ScaledToOne.apply
    monkeypatch.setattr(ScaledToOne, "apply", lambda *arguments: (taken.append(arguments), apply(*arguments))[1])
    answers(model)
    assert len(taken) == 1
    for one in (model, part):
        one.requires_grad_(True)
        answers(one)
    assert len(taken) == 1
    assert torch.equal(model[0].weight.grad, part.weight.grad)


def test_half_precision_is_left_to_transformers() -> None:
    part = layer(*LAYERS[0]).to(torch.bfloat16)
    for mine, theirs in zip(answers(wrapped(part), torch.bfloat16), answers(part, torch.bfloat16), strict=True):
        assert torch.equal(mine, theirs)


def test_other_layers_and_parted_models_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

    assert type(wrapped(GemmaRMSNorm(16))[0]) is GemmaRMSNorm
    monkeypatch.setattr(launched, "processes", lambda: 2)
    model = nn.Sequential(layer(*LAYERS[0]))
    norm_in_few_passes(model, "fsdp")
    assert not isinstance(model[0], FrozenNorm)


def test_a_copy_computes_in_the_same_way() -> None:
    model = wrapped(layer(*LAYERS[0]))
    copied = copy.deepcopy(model)
    assert isinstance(copied[0], FrozenNorm)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(answers(copied), answers(model), strict=True))
