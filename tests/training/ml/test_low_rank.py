"""LoRA's products added as they are computed: the same numbers and gradients as PEFT's layers, and PEFT where not."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.ml import low_rank
from training.ml.low_rank import AddedProduct, AddingLinear, add_as_computed
from training.recipes.kept import adds_as_computed, kept_bytes
from training.recipes.sft import SFTConfig

pytestmark = pytest.mark.not_db


class Small(nn.Module):
    """Two layers, the first without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 10, bias=False), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


def adapted(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = get_peft_model(Small(), LoraConfig(r=3, lora_alpha=5, target_modules=["first", "second"], **settings))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    return model


def answers(model: nn.Module, call: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
    """What comes out, and every gradient, that of the input too."""
    x = torch.linspace(-1, 1, 2 * 5 * 6).reshape(2, 5, 6).requires_grad_(True)
    model.zero_grad()
    torch.manual_seed(1)
    out = (call or model)(x)
    out.square().sum().backward()
    weights = [weight for _, weight in sorted(model.named_parameters())]
    return [out.detach(), x.grad, *(weight.grad.clone() for weight in weights if weight.grad is not None)]


def assert_same(one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other) > 2
    for mine, theirs in zip(one, other, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def plain_layers(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Which of its layers go our way: filled while the model computes."""
    taken: list[Any] = []
    apply = AddedProduct.apply
    monkeypatch.setattr(AddedProduct, "apply", lambda *arguments: (taken.append(arguments), apply(*arguments))[1])
    return taken


def test_output_and_gradients_are_those_of_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    theirs = answers(model)
    add_as_computed(model)
    taken = plain_layers(model, monkeypatch)
    assert_same(answers(model), theirs)
    assert len(taken) == 2
    ours = answers(model, lambda x: checkpoint(model, x, use_reentrant=False))
    assert_same(ours, theirs)


def test_its_gradients_are_those_of_differences() -> None:
    torch.manual_seed(0)
    shapes = ((3, 5), (4, 5), (4,), (2, 5), (4, 2))
    x, weight, bias, a, b = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    inputs = (x.requires_grad_(), weight, bias, a.requires_grad_(), b.requires_grad_(), 0.7)
    assert torch.autograd.gradcheck(AddedProduct.apply, inputs)
    assert torch.autograd.gradcheck(AddedProduct.apply, (x, weight, None, a, b, 2.0))


@pytest.mark.parametrize("case", ["off", "merged", "dropout", "dora", "two adapters", "trained base", "float64"])
def test_what_is_not_the_plain_case_is_left_to_peft(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"dropout": {"lora_dropout": 0.5}, "dora": {"use_dora": True}}.get(case, {})
    model, x = adapted(**settings), None
    if case == "merged":
        model.merge_adapter()
    if case == "two adapters":
        model.add_adapter("other", LoraConfig(r=2, target_modules=["first", "second"]))
        model.base_model.set_adapter(["default", "other"])
    if case == "trained base":
        for part in model.modules():
            if isinstance(part, LoraLinear):
                part.base_layer.weight.requires_grad_(True)
    if case == "float64":
        model, x = model.double(), lambda given: model(given.double()).float()
    if case == "off":
        with model.disable_adapter():
            theirs = model(torch.ones(2, 6))
            add_as_computed(model)
            taken = plain_layers(model, monkeypatch)
            assert torch.equal(model(torch.ones(2, 6)), theirs) and not taken
        assert not torch.allclose(model(torch.ones(2, 6)), theirs) and taken
        return
    if case == "merged":
        theirs = [model(torch.ones(2, 6)).detach()]
        add_as_computed(model)
        taken = plain_layers(model, monkeypatch)
        assert torch.equal(model(torch.ones(2, 6)), theirs[0]) and not taken
        return
    theirs = answers(model, x)
    add_as_computed(model)
    taken = plain_layers(model, monkeypatch)
    assert_same(answers(model, x), theirs)
    assert not taken


@pytest.mark.parametrize("of_adapter", [torch.float32, torch.bfloat16])
def test_beside_a_base_in_bf16_it_is_multiplied_so_and_learns_in_its_own_precision(
    of_adapter: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted()
    exact = answers(model)
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(of_adapter if "lora" in name else torch.bfloat16)
    add_as_computed(model)
    taken = plain_layers(model, monkeypatch)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: (kept.append(one), one)[1], lambda one: one):
        found = answers(model, lambda x: model(x.bfloat16()).float())
    assert len(taken) == 2
    assert {weight.grad.dtype for weight in model.parameters() if weight.grad is not None} == {of_adapter}
    for mine, theirs in zip(found, exact, strict=True):
        assert torch.allclose(mine.float(), theirs, rtol=0.05, atol=0.05 * float(theirs.abs().max()))
    weights = {weight.data_ptr() for weight in model.parameters()}
    wide = [one.shape for one in kept if one.dtype == torch.float32 and one.data_ptr() not in weights]
    assert wide == [torch.Size([2, 5, 4])], "nothing in fp32 but what the loss has made of the output"


@pytest.mark.parametrize(
    ("asked", "transposed", "ours"),
    [
        ({"adapter": "lora"}, False, True),
        ({"adapter": "lora"}, True, False),
        ({"adapter": "lora", "dropout": 0.1}, False, False),
        ({"adapter": "lora", "dora": True}, False, False),
        ({"adapter": "lora", "parallel": "fsdp"}, False, False),
        ({"adapter": "qlora"}, False, False),
    ],
)
def test_what_keeps_copies_in_fp32_beside_bf16_counts_more(asked: dict[str, Any], transposed: bool, ours: bool) -> None:
    config = SFTConfig(**asked)
    sizes = {"layers": 2, "width": 8, "inner": 24, "vocabulary": 100, "transposed": transposed}
    assert adds_as_computed(config, transposed) is ours
    whole = SFTConfig(adapter="ia3")
    assert (kept_bytes(config, 10, 2, **sizes) == kept_bytes(whole, 10, 2, **sizes)) is ours
    assert kept_bytes(config, 10, 4, **sizes) == kept_bytes(whole, 10, 4, **sizes), "in fp32 there is no copy"


def test_dropout_that_is_at_rest_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(lora_dropout=0.5).eval()
    theirs = answers(model)
    add_as_computed(model)
    taken = plain_layers(model, monkeypatch)
    assert_same(answers(model), theirs)
    assert len(taken) == 2


def test_a_copy_computes_with_its_own_weights_and_merging_is_peft_s() -> None:
    model = adapted()
    add_as_computed(model)
    other = copy.deepcopy(model)
    before = model(torch.ones(1, 6)).detach()
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    assert other(torch.ones(1, 6)).abs().max() == 0 and torch.equal(model(torch.ones(1, 6)), before)
    merged = model.merge_and_unload()
    assert type(merged.first) is nn.Linear and torch.allclose(merged(torch.ones(1, 6)), before, atol=1e-5)


@pytest.mark.parametrize(("processes", "parallel", "ours"), [(2, "fsdp", False), (2, "ddp", True), (1, "fsdp", True)])
def test_processes_that_hold_parts_of_a_model_compute_as_peft_does(
    processes: int, parallel: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_rank.launched, "processes", lambda: processes)
    model = adapted()
    add_as_computed(model, parallel)
    assert any(isinstance(part, AddingLinear) for part in model.modules()) == ours
