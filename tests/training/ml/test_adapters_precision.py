"""The precision that adapters learn in: 4-bit weights, bf16 beside fp32, and the optimizer that goes with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.ml.trained import VARIANTS, configured, outcome, train_briefly, untrained
from training.ml import optimizer as optimizers
from training.ml.adapters import apply_adapter
from training.ml.batching import pad
from training.ml.checkpoint import NOT_KNOWN, Position, load_checkpoint, save_checkpoint, trainable_tensors
from training.ml.decoding import Drawing, complete
from training.ml.device import choose_device
from training.ml.fallbacks import fallbacks
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_base, load_reward_model
from training.ml.precision import for_frozen, for_training, in_four_bits
from training.ml.scoring import rewards
from training.recipes import load
from training.recipes.adapters import METHODS, AdapterConfig


def test_only_what_learns_in_4_bits_is_loaded_so(fixture_model: Path, tmp_path: Path) -> None:
    """A reward model that a quantised policy is trained with keeps the precision it was trained in."""
    plain = choose_device()
    quantised = for_training(plain, AdapterConfig(adapter="qlora"))
    assert quantised == in_four_bits(plain) and quantised.precision == "nf4, fp32"
    assert for_frozen(quantised) == plain and plain.precision == "fp32"
    judge = train_briefly("lora", "reward", fixture_model, tmp_path / "judge")
    model = load_reward_model(judge.spec, cache=fixture_model, device=quantised)
    with torch.no_grad():
        assert torch.allclose(judge.outcome(model), judge.outcome(judge.model), atol=1e-5)


def test_weights_of_the_model_itself_are_trained_in_fp32() -> None:
    half = choose_device().__class__(torch.device("cpu"), torch.bfloat16, "a GPU")
    kept = {name: for_training(half, AdapterConfig(adapter=name)).dtype for name in METHODS}
    assert {name for name, dtype in kept.items() if dtype == torch.float32} == {"full", "last_layers", "bias"}


def test_a_whole_reward_model_scores_in_fp32_on_a_body_in_bf16(fixture_model: Path, tmp_path: Path) -> None:
    judge = train_briefly("full", "reward", fixture_model, tmp_path / "judge")
    half = choose_device().__class__(torch.device("cpu"), torch.bfloat16, "a GPU")
    model = load_reward_model(judge.spec, cache=fixture_model, device=half)
    assert {weight.dtype for weight in model.base_model.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        found, expected = judge.outcome(model), judge.outcome(judge.model)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=0.1, atol=0.1)


def test_what_a_cpu_does_in_another_way_is_told() -> None:
    assert len(fallbacks(AdapterConfig(adapter="qlora"))) == 2
    assert not any(fallbacks(AdapterConfig(adapter=name)) for name in METHODS if name != "qlora")


def test_a_paged_optimizer_steps_as_adamw_does_and_is_resumed(
    fixture_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a CPU it is not paged, but it is the same class with the same state in a checkpoint."""
    config = load("reward", {"adapter": "qlora", "rank": 4, "weight_decay": 0.1})

    def stepped(steps: int, resume: bool = False) -> dict[str, torch.Tensor]:
        model = untrained(config, "reward", fixture_model)
        optimizer = optimizers.adamw(model, config)
        if resume:
            load_checkpoint(tmp_path, model, optimizer, "mark", NOT_KNOWN)
        for _ in range(steps):
            rewards(model, pad([[1, 50, 60, 2]], 0)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        save_checkpoint(tmp_path, model, optimizer, Position("mark"), NOT_KNOWN)
        assert type(optimizer).__name__ == ("PagedAdamW" if optimizers.is_paged(config) else "AdamW")
        return trainable_tensors(model)

    plain = stepped(4)
    monkeypatch.setattr(optimizers, "is_paged", lambda config: True)
    stepped(2)
    resumed = stepped(2, resume=True)
    for name, weight in plain.items():
        assert torch.allclose(resumed[name], weight, atol=1e-6)


def test_4_bit_weights_compute_alike_in_training_and_in_evaluation(fixture_model: Path) -> None:
    """On CPUs with bf16 instructions bitsandbytes would compute in bf16 in eval mode, and lose the gradient."""
    model = untrained(configured("qlora"), "reward", fixture_model)
    batch = pad([[1, 50, 60, 70, 2], [4, 5, 2]], 0)
    model.eval()
    with torch.no_grad():
        evaluated = rewards(model, batch)
    scores = rewards(model, batch)
    scores.sum().backward()
    assert torch.equal(scores, evaluated)
    assert torch.equal(rewards(model.train(), batch), evaluated)
    reached = [weight.grad.abs().sum() > 0 for name, weight in model.named_parameters() if "lora_B" in name]
    assert all(reached) and len(reached) == 14


@pytest.mark.parametrize("task", ["policy", "reward"])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ("full", "last_layers", "bias")])
def test_beside_a_base_in_bf16_adapter_and_head_learn_in_fp32(fixture_model: Path, variant: str, task: str) -> None:
    """As on a GPU: what is trained is kept finer than what it stands beside."""
    config, half = configured(variant), replace(choose_device(), dtype=torch.bfloat16)
    bring = load_reward_base if task == "reward" else load_policy
    model = bring(ModelSpec(str(fixture_model)), cache=fixture_model, device=for_training(half, config))
    model = apply_adapter(model, config, task)
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    assert {weight.dtype for weight in learned} == {torch.float32}
    assert torch.bfloat16 in {weight.dtype for weight in model.parameters()}
    found = outcome(model, task, [[1, 50, 60, 70, 2], [4, 5, 2]])
    assert found.dtype == torch.float32
    found.square().sum().backward()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learned)
    if task == "policy":
        drawing = Drawing(temperature=0, top_p=1.0, max_new_tokens=3)
        written = complete(model.eval(), [[1, 50, 60], [4]], [[0], [0]], stop=frozenset(), pad_id=0, drawing=drawing)
        assert {len(one.ids) for one in written} == {3}
