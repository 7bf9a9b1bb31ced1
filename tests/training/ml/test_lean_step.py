"""A step in few operations gives what the layers of a model give; where these are not as they came it is not taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.ml.families import build_family
from tests.training.ml.trained import configured, untrained
from training.ml import packed, slot_attention
from training.ml.frozen_norm import norm_in_few_passes
from training.ml.lean_attention import attend_lean
from training.ml.lean_step import FAMILIES, LeanSteps
from training.ml.mixed import compute_in_bf16
from training.ml.packed import pack
from training.ml.processor import AMD, INTEL
from training.ml.slots import Slots, read_prompts
from training.recipes import shared_rows

pytestmark = pytest.mark.not_db
PROMPTS = [[3, 4, 5], [3, 4, 6, 7, 8, 9, 10], [11]]
OWN = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "smollm3": {"no_rope_layers": [1, 0]},
}


def known(family: str) -> nn.Module:
    return build_family(family.lower(), **OWN.get(family.lower(), {}))


def logits_of(model: nn.Module, lean: LeanSteps | None, steps: int = 5) -> list[Tensor]:
    """Of steps of several texts of which one ends before the others."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    slots = Slots(4, steps + max(map(len, PROMPTS)), lean)
    with torch.inference_mode():
        slots.put(read_prompts(model, PROMPTS)[1])
        found = []
        for step in range(steps):
            if step == 3:
                slots.drop(0)
            found.append(slots.step(body, torch.arange(20, 20 + slots.busy) + step))
    return found


def assert_alike(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len({tuple(one.shape) for one in found}) == 2
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def require_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(packed, "_worth_it", lambda: True)
    monkeypatch.setattr(packed, "COLUMNS", 8)


@pytest.mark.parametrize("maker", [AMD, INTEL])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_models_own_layers(family: str, maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_attention, "maker", lambda: maker)
    model = known(family)
    expected = logits_of(model, None)
    assert_alike(logits_of(model, LeanSteps.of(model)), expected)
    require_onednn(monkeypatch)
    norm_in_few_passes(model.requires_grad_(False))
    attend_lean(model)
    assert pack(model) >= 14
    assert_alike(logits_of(model, LeanSteps.of(model)), expected)


@pytest.mark.parametrize("variant", ["lora", "lora-dora", "ia3", "houlsby"])
def test_adapters_beside_the_model_are_heard(variant: str, fixture_model: Path) -> None:
    model = untrained(configured(variant), "policy", fixture_model)
    silent = logits_of(model, None)
    for weight in model.parameters():  # an adapter begins as if it were not there
        if weight.requires_grad:
            nn.init.normal_(weight, std=0.2)
    expected, lean = logits_of(model, None), LeanSteps.of(model.get_base_model())
    assert lean is not None and not torch.allclose(expected[0], silent[0], atol=1e-2)
    assert_alike(logits_of(model, lean), expected)


@pytest.mark.parametrize("family", sorted(shared_rows.FAMILIES - {one.lower() for one in FAMILIES}))
def test_other_families_step_through_their_own_layers(family: str) -> None:
    assert LeanSteps.of(build_family(family)) is None


def test_a_part_that_is_watched_or_another_ones_is_not_passed_over() -> None:
    model = known("Llama")
    assert LeanSteps.of(model) is not None
    watching = model.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    assert LeanSteps.of(model) is None
    watching.remove()
    assert LeanSteps.of(model) is not None

    class Other(type(model.model.layers[0].self_attn)):
        pass

    model.model.layers[0].self_attn.__class__ = Other
    assert LeanSteps.of(model) is None


def test_norms_that_are_computed_in_another_precision_are_left_to_the_model() -> None:
    assert LeanSteps.of(known("Llama").double()) is not None
    assert LeanSteps.of(known("Llama").half()) is None
    assert LeanSteps.of(known("Llama").train()) is None
    mixed = known("Llama")
    compute_in_bf16(mixed)
    assert LeanSteps.of(mixed) is None
