"""A model whose weights are laid out for oneDNN computes what it computed, with every adapter, and draws as before."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.ml.families import build_family
from tests.training.ml.trained import train_briefly
from training.ml import packed
from training.ml.decoding import Drawing, complete
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_speaker
from training.ml.packed import ByOneDNN, PackedConv1D, PackedLinear, PackedTogether, pack
from training.recipes.shared_rows import FAMILIES

pytestmark = pytest.mark.not_db
PROMPTS = [[3, 4, 5], [3, 4, 6, 7, 8, 9, 10], [11], [13, 14, 15, 16, 17]]


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On any processor."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(packed, "_worth_it", lambda: True)
    yield


@pytest.fixture
def small_too(worth_it: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "COLUMNS", 8)


def packed_layers(model: nn.Module) -> int:
    return sum(isinstance(part, PackedLinear | PackedConv1D) for part in model.modules())


def lies_in_a_file(weight: torch.Tensor) -> bool:
    """That is mapped into memory, as safetensors reads one."""
    ranges = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if ".safetensors" in line]
    bounds = [[int(bound, 16) for bound in one.split("-")] for one in ranges]
    return any(start <= weight.data_ptr() < end for start, end in bounds)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_logits_are_those_of_the_plain_model(family: str, worth_it: None) -> None:
    model, ids = build_family(family).eval(), torch.tensor([PROMPTS[1], PROMPTS[1][::-1]])
    with torch.inference_mode():
        plain = model(ids).logits
        assert pack(model) == packed_layers(model) > 0
        found = model(ids).logits
    assert torch.allclose(found, plain, rtol=1e-5, atol=1e-5)


def test_an_output_layer_that_is_the_embedding_is_not_kept_twice(fixture_model: Path, worth_it: None) -> None:
    model = load_speaker(ModelSpec(str(fixture_model)), cache=fixture_model, device=choose_device())
    embedding = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight is embedding
    states = torch.randn(3, embedding.shape[1])
    logits = model.get_output_embeddings()(states)
    before = sum(weight.numel() for weight in model.parameters())
    assert pack(model) > 0
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight is embedding
    assert embedding.layout is torch.strided and sum(weight.numel() for weight in model.parameters()) == before
    assert type(model.get_output_embeddings()) is ByOneDNN
    assert torch.allclose(model.get_output_embeddings()(states), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of what is mapped")
def test_the_file_of_the_weights_does_not_stay_in_memory_beside_them(fixture_model: Path, worth_it: None) -> None:
    model = load_speaker(ModelSpec(str(fixture_model)), cache=fixture_model, device=choose_device())
    values = {name: weight.clone() for name, weight in model.named_parameters()}
    assert any(lies_in_a_file(weight) for weight in model.parameters())
    assert pack(model) > 0
    kept = {name: weight for name, weight in model.named_parameters() if weight.layout is torch.strided}
    assert kept and not any(lies_in_a_file(weight) for weight in kept.values())
    assert all(torch.equal(weight, values[name]) for name, weight in kept.items())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of what is mapped")
def test_two_weights_in_one_place_of_a_file_both_keep_their_numbers(fixture_model: Path, worth_it: None) -> None:
    model = load_speaker(ModelSpec(str(fixture_model)), cache=fixture_model, device=choose_device())
    layer = model.model.layers[0].mlp.down_proj
    with torch.no_grad():
        layer.weight.add_(1)  # the file says otherwise
    model.beside = nn.Linear(layer.in_features, layer.out_features, bias=False)
    model.beside.weight = nn.Parameter(layer.weight.detach(), requires_grad=False)
    assert model.beside.weight.data_ptr() == layer.weight.data_ptr() and lies_in_a_file(layer.weight)
    wanted = layer.weight.clone()
    pack(model)
    assert torch.equal(layer.weight.to_dense(), wanted) and torch.equal(model.beside.weight.to_dense(), wanted)


# What is merged is a plain model again; the others stand beside the layers that are laid out anew.
@pytest.mark.parametrize("variant", ["lora", "houlsby", "prefix", "p_tuning-mlp", "prompt_tuning"])
def test_whoever_speaks_with_an_adapter_says_the_same(
    variant: str, fixture_model: Path, tmp_path: Path, worth_it: None
) -> None:
    trained = train_briefly(variant, "policy", fixture_model, tmp_path / "artifact")
    settings = {"stop": frozenset(), "pad_id": 0, "drawing": Drawing(0, 1, 8), "rows": 3}
    plain = list(complete(trained.reloaded(), PROMPTS, [[0]] * len(PROMPTS), **settings))
    model = trained.reloaded()
    assert pack(model) == packed_layers(model) > 0
    assert list(complete(model, PROMPTS, [[0]] * len(PROMPTS), **settings)) == plain


def test_four_bits_and_what_is_not_fp32_are_left_alone(fixture_model: Path, tmp_path: Path, worth_it: None) -> None:
    model = train_briefly("qlora", "policy", fixture_model, tmp_path / "artifact").reloaded()
    four = [name for name, part in model.named_modules() if type(part).__name__ == "Linear4bit"]
    pack(model)
    assert four == [name for name, part in model.named_modules() if type(part).__name__ == "Linear4bit"]
    assert pack(build_family("llama").to(torch.bfloat16)) == 0


def test_nothing_is_laid_out_where_it_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_worth_it", lambda: False)
    model = build_family("llama")
    assert pack(model) == packed_layers(model) == 0


@pytest.mark.parametrize(
    ("vendor", "capability", "expected"),
    [
        ("GenuineIntel", "AVX512", True),
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", True),
        ("GenuineIntel", "AVX2", False),
        ("AuthenticAMD", "DEFAULT", False),
    ],
)
def test_the_processor_decides(monkeypatch: pytest.MonkeyPatch, vendor: str, capability: str, expected: bool) -> None:
    monkeypatch.setattr(packed, "maker", lambda: vendor)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert packed._worth_it.__wrapped__() is expected


def test_a_weight_that_two_models_share_is_laid_out_once(worth_it: None) -> None:
    first = build_family("llama")
    second = copy.deepcopy(first, {id(weight): weight for weight in first.parameters()})
    assert pack(first, second) == packed_layers(first) + packed_layers(second) > 0
    pairs = zip(first.modules(), second.modules(), strict=True)
    assert all(one.weight is other.weight for one, other in pairs if isinstance(one, PackedLinear))


def test_layers_that_are_given_the_same_states_are_one_product(
    small_too: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_family("qwen2").eval()  # whose queries, keys and values have a bias
    layers, ids = model.config.num_hidden_layers, torch.tensor([PROMPTS[1]])
    plain, made, product = model(ids).logits, [], packed._product
    pack(model)
    monkeypatch.setattr(packed, "_product", lambda *given: made.append(0) or product(*given))
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, plain, rtol=1e-5, atol=1e-5)
    assert len(made) - isinstance(model.lm_head, PackedLinear) == 4 * layers
    together = [part.together for part in model.modules() if isinstance(part, PackedTogether)]
    assert len(together) == 5 * layers and all(one._of is None and not one._parts for one in together)


def test_each_weight_is_still_named_with_its_own_numbers(small_too: None) -> None:
    model = build_family("qwen2")
    plain = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    pack(model)
    named = {name: weight.to_dense() if weight.is_mkldnn else weight for name, weight in packed.named_weights(model)}
    assert named.keys() == plain.keys()
    assert all(torch.equal(named[name], weight) for name, weight in plain.items())


def test_of_layers_together_each_can_be_asked_for_itself(small_too: None) -> None:
    attention = build_family("qwen2").model.layers[0].self_attn
    names, x, y = ("q_proj", "k_proj", "v_proj"), torch.randn(3, 64), torch.randn(3, 64)
    x, y = x[:, : attention.q_proj.in_features], y[:, : attention.q_proj.in_features]
    with torch.inference_mode():
        plain = {(name, n): getattr(attention, name)(given) for name in names for n, given in enumerate((x, y))}
        pack(attention)
        for name, n in [("v_proj", 0), ("k_proj", 0), ("k_proj", 1), ("q_proj", 0), ("q_proj", 1), ("v_proj", 1)]:
            assert torch.allclose(getattr(attention, name)((x, y)[n]), plain[name, n], rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_in_a_group_and_alone_elsewhere_is_laid_out_once_by_itself(small_too: None) -> None:
    """As under an adapter that stands beside the queries alone."""
    first = build_family("llama")
    second = copy.deepcopy(first, {id(weight): weight for weight in first.parameters()})
    for layer in second.model.layers:
        layer.self_attn.q_proj = nn.Sequential(layer.self_attn.q_proj)
    numbers = sum(weight.numel() for weight in first.parameters())
    pack(first, second)
    both = {id(weight): weight for model in (first, second) for weight in model.parameters()}
    assert sum(weight.numel() for weight in both.values()) == numbers
    attention, feed_forward = first.model.layers[0].self_attn, first.model.layers[0].mlp
    assert type(attention.q_proj) is type(attention.k_proj) is PackedLinear
    assert type(feed_forward.up_proj) is PackedTogether
