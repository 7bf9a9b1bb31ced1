"""The estimated peak against the one that torch's allocator sees, over two real steps of training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from tests.training.ml.encoders import build_encoder
from tests.training.ml.families import build_family
from tests.training.ml.tensor_bytes import peak_bytes
from tests.training.ml.trained import VARIANTS, bare, untrained
from training.ml.adapters import apply_adapter
from training.ml.demonstrations import Demonstration
from training.ml.device import choose_device
from training.ml.dpo import direct_preference
from training.ml.dropout import switch_off_dropout
from training.ml.kto import unpaired_preference
from training.ml.loop import take_step
from training.ml.machine import settle
from training.ml.optimizer import adamw
from training.ml.orpo import odds_ratio_preference
from training.ml.pairs import Pair
from training.ml.prompt_data import AskedPrompt
from training.ml.reference import frozen_start
from training.ml.reward_objective import by_model, preference_likelihood
from training.ml.rollout import Rollout, logps_and_entropy
from training.ml.sft import imitation
from training.ml.votes import Vote
from training.recipes import load
from training.recipes.estimate.families import read_architecture
from training.recipes.estimate.memory import memory
from training.recipes.estimate.workload import OWN_DROPOUT, workload

pytestmark = pytest.mark.not_db
LENGTH = 256
ENSEMBLE = {"members": 3, "ensemble_of": "adapters"}
CASES = [
    ("sft", "lora"),
    ("sft", "full"),
    ("sft", "houlsby"),
    ("dpo", "lora"),
    ("dpo", "full"),
    ("dpo", "qlora"),
    ("dpo", "lora-dora"),
    ("dpo", "prompt_tuning"),
    ("dpo", "p_tuning_v2"),
    ("dpo", "last_layers"),
    ("orpo", "lora"),
    ("reward", "lora"),
    ("reward", "ensemble"),
    ("reward", "full"),
    ("grpo", "lora"),
]


class Nothing:
    """A reference that finds every token certain."""

    def of(self, sequences: Any, _device: Any) -> list[torch.Tensor]:
        return [torch.zeros(len(completion)) for _, completion in sequences]


@pytest.mark.parametrize(("recipe", "variant"), CASES)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_peak_of_training_is_estimated(fixture_model: Path, recipe: str, variant: str, accumulation: int) -> None:
    own = ENSEMBLE if variant == "ensemble" else {"adapter": variant.partition("-")[0], **VARIANTS[variant]}
    settings = {**own, "layers": 1, "batch_size": 8}
    settings |= {"gradient_accumulation": accumulation, "max_length": LENGTH}
    settings |= {"max_new_tokens": LENGTH // 2} if recipe == "grpo" else {}
    config = load(recipe, settings)
    model = untrained(config, "reward" if recipe == "reward" else "policy", fixture_model).train()
    sizes = json.loads((fixture_model / "config.json").read_text())
    found = memory(read_architecture(sizes), config, workload(recipe, config), "cpu")
    there = sum(found.parts[name] for name in ("weights", "reference", "reward", "kv_cache"))
    measured = peak_bytes(two_steps(recipe, model, config))
    assert found.total - there == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2"])
def test_the_peak_of_attention_that_is_written_out_is_estimated(tmp_path: Path, family: str) -> None:
    """It goes with the square of the length: counted as a kernel's it would be half of it and less."""
    base = build_encoder(tmp_path, family)
    config = load("reward", {"adapter": "lora", **VARIANTS["lora"], "batch_size": 2, "max_length": LENGTH})
    model = untrained(config, "reward", base).train()
    found = memory(
        read_architecture(json.loads((base / "config.json").read_text())), config, workload("reward", config), "cpu"
    )
    measured = peak_bytes(two_steps("reward", model, config))
    assert found.total - found.parts["weights"] == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize("recipe", ["sft", "dpo"])
@pytest.mark.parametrize("limit", [None, 30.0])
def test_logits_that_are_kept_below_a_limit_are_counted_once_more(
    tmp_path: Path, recipe: str, limit: float | None
) -> None:
    sizes = {"vocab_size": 4000, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "head_dim": 16}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "final_logit_softcapping": limit}
    Gemma2ForCausalLM(Gemma2Config(**sizes)).save_pretrained(tmp_path)
    config = load(recipe, {"adapter": "lora", "batch_size": 8, "max_length": LENGTH, "gradient_accumulation": 1})
    model = untrained(config, "policy", tmp_path).train()
    read = read_architecture({"model_type": "gemma2", **sizes})
    found = memory(read, config, workload(recipe, config), "cpu")
    measured = peak_bytes(two_steps(recipe, model, config))
    assert found.total - found.parts["weights"] == pytest.approx(measured, rel=0.08)


CHECKPOINTED = [("sft", "lora"), ("sft", "full"), ("dpo", "last_layers"), ("reward", "lora"), ("reward", "full")]


@pytest.mark.parametrize(("recipe", "adapter"), CHECKPOINTED)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_peak_of_layers_that_are_computed_twice_is_estimated(
    fixture_model: Path, recipe: str, adapter: str, accumulation: int
) -> None:
    """A block that is computed again never stands beside the copies of the logits."""
    settings = {"adapter": adapter, "layers": 1, "gradient_accumulation": accumulation, "max_length": LENGTH}
    config = load(recipe, {**settings, "batch_size": 8, "gradient_checkpointing": "on"})
    model = untrained(config, "reward" if recipe == "reward" else "policy", fixture_model).train()
    settle(model, config, choose_device(), [item(recipe, 0)], rows=1)
    sizes = json.loads((fixture_model / "config.json").read_text())
    found = memory(read_architecture(sizes), config, workload(recipe, config), "cpu")
    measured = peak_bytes(two_steps(recipe, model, config))
    assert found.total - found.parts["weights"] - found.parts["reference"] == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(
    ("recipe", "adapter", "batch_size", "checkpointing"),
    [("dpo", "lora", 4, "on"), ("reward", "lora", 4, "on"), ("sft", "p_tuning_v2", 1, "off"), ("sft", "full", 4, "on")],
)
@pytest.mark.parametrize("length", [LENGTH // 2, LENGTH])
def test_the_masks_of_many_heads_that_share_keys_are_counted(
    tmp_path: Path, recipe: str, adapter: str, batch_size: int, checkpointing: str, length: int
) -> None:
    """Of rows of pairs, of one row behind keys and values that are learned, and of layers that are computed again; and
    of texts so long that no mask is repeated."""
    grouped = {"num_attention_heads": 14, "num_key_value_heads": 2, "hidden_size": 112, "intermediate_size": 160}
    grouped |= {"num_hidden_layers": 6, "max_position_embeddings": 2 * LENGTH, "head_dim": 16}
    built = build_family("qwen2", **grouped, vocab_size=400)
    built.save_pretrained(tmp_path)
    settings = {"adapter": adapter, "batch_size": batch_size, "max_length": length, "gradient_accumulation": 2}
    config = load(recipe, {**settings, "gradient_checkpointing": checkpointing})
    model = untrained(config, "reward" if recipe == "reward" else "policy", tmp_path).train()
    if checkpointing == "on":
        settle(model, config, choose_device(), [item(recipe, 0)], rows=1)
    sizes = json.loads((tmp_path / "config.json").read_text())
    found = memory(read_architecture(sizes), config, workload(recipe, config), "cpu")
    measured = peak_bytes(two_steps(recipe, model, config, length=length))
    assert 0.97 * measured < found.total - found.parts["weights"] < 1.07 * measured


def test_the_peak_of_an_encoder_whose_layers_are_computed_twice_is_estimated(tmp_path: Path) -> None:
    base = build_encoder(tmp_path)
    for adapter in ("lora", "full"):
        more = {"adapter": adapter, "gradient_checkpointing": "on", "max_length": LENGTH}
        config = load("reward", {"batch_size": 4, "gradient_accumulation": 1, **more})
        model = untrained(config, "reward", base).train()
        settle(model, config, choose_device(), [item("reward", 0)], rows=2)
        sizes = json.loads((base / "config.json").read_text())
        found = memory(read_architecture(sizes), config, workload("reward", config), "cpu")
        measured = peak_bytes(two_steps("reward", model, config))
        assert found.total - found.parts["weights"] == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(("recipe", "dropout"), [("sft", 0.0), ("sft", 0.1), ("dpo", 0.1)])
def test_dropout_takes_its_part_of_the_peak(tmp_path: Path, recipe: str, dropout: float) -> None:
    """The model's own as it is published, which SFT leaves on, and LoRA's."""
    sizes = {"vocab_size": 700, "n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": LENGTH}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(tmp_path)
    config = load(recipe, {"adapter": "lora", "batch_size": 4, "max_length": LENGTH, "dropout": dropout})
    model = bare(config, "policy", tmp_path).train()
    if recipe not in OWN_DROPOUT:
        switch_off_dropout(model)
    model = apply_adapter(model, config, "policy").train()
    found = memory(read_architecture({"model_type": "gpt2", **sizes}), config, workload(recipe, config), "cpu")
    measured = peak_bytes(two_steps(recipe, model, config))
    assert found.total - found.parts["weights"] == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize(("variant", "batch_size"), [("full", 4), ("lora", 4), ("full", 2)])
def test_kto_holds_its_frozen_start_while_it_trains(fixture_model: Path, variant: str, batch_size: int) -> None:
    """Of a model trained whole a second one, loaded here within what is measured; of an adapter the model itself."""
    config = load("kto", {"adapter": variant, "batch_size": batch_size, "max_length": LENGTH})
    model = untrained(config, "policy", fixture_model).train()

    def work() -> None:
        start = frozen_start(model, config, lambda: bare(config, "policy", fixture_model))
        two_steps("kto", model, config, start)()

    sizes = json.loads((fixture_model / "config.json").read_text())
    found = memory(read_architecture(sizes), config, workload("kto", config), "cpu")
    assert found.total - found.parts["weights"] == pytest.approx(peak_bytes(work), rel=0.06)


def two_steps(
    recipe: str, model: nn.Module, config: Any, start: Any = None, length: int = LENGTH
) -> Callable[[], None]:
    optimizer = adamw(model, config)
    items = [item(recipe, number, length) for number in range(config.batch_size * config.gradient_accumulation)]
    batches = [items[start : start + config.batch_size] for start in range(0, len(items), config.batch_size)]
    objective = objective_of(recipe, model, config, start)

    def work() -> None:
        for _ in range(2):
            take_step(model, optimizer, batches, objective, config, 1e-4)

    return work


def objective_of(recipe: str, model: nn.Module, config: Any, start: Any = None) -> Any:
    if recipe == "grpo":
        return lambda batch: _drawn(model, batch)
    made = {
        "sft": lambda: imitation(model),
        "reward": lambda: preference_likelihood(by_model(model, 0), config, 0, None),
        "dpo": lambda: direct_preference(model, Nothing(), config),
        "kto": lambda: unpaired_preference(model, Nothing(), start, config, LENGTH),
        "orpo": lambda: odds_ratio_preference(model, config),
    }
    return made[recipe]()


def _drawn(model: nn.Module, batch: list[Demonstration]) -> Any:
    """The part of a policy gradient that takes the memory: log-probabilities with entropies."""
    rollouts = [Rollout(AskedPrompt("", [], one.prompt_ids), one.completion_ids, True, "") for one in batch]
    logps, _ = logps_and_entropy(model, rollouts, 0.7)
    sums = torch.stack([part.sum() for part in logps.split([len(one.completion_ids) for one in batch])])
    return type("Outcome", (), {"losses": -sums, "metrics": {}})()


def item(recipe: str, number: int, length: int = LENGTH) -> Any:
    """Of `length` tokens or one less, so that batches are padded; half of them response."""
    half = length // 2
    prompt = [3 + (number + place) % 300 for place in range(half - number % 2)]
    if recipe in ("sft", "grpo"):
        return Demonstration(str(number), [], "", prompt, [5] * half)
    if recipe == "kto":
        return Vote(str(number), prompt, [5 + number % 7] * half, desirable=number % 2 == 0)
    return Pair(str(number), [], "", "", prompt, [5] * half, [6] * (half - 1))
