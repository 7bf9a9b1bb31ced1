"""How a model is computed on this machine: checkpointing changes memory and no number, and the estimate is near."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.training.ml.jobs import manifest
from tests.training.ml.launching import in_one, job, steps
from training.ml import launch, low_rank, run
from training.ml.activations import kept_bytes
from training.ml.adapters import apply_adapter
from training.ml.device import Device, choose_device
from training.ml.fallbacks import fallbacks
from training.ml.logprobs import completion_logits
from training.ml.machine import settle, wants_checkpointing
from training.ml.precision import for_training
from training.ml.progress import read_lines
from training.recipes.dpo import DPOConfig
from training.recipes.estimate import read_architecture
from training.recipes.estimate.checkpointing import settled
from training.recipes.estimate.workload import Workload
from training.recipes.kto import KTOConfig
from training.recipes.machine import OPTIMIZER_BYTES, ROOM
from training.recipes.sft import SFTConfig

pytestmark = pytest.mark.not_db
BATCH = [([first] * 2, [7] * 126) for first in range(5, 13)]  # nothing that could be computed once


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("adapter", ["full", "lora", "houlsby", "prompt_tuning", "ia3"])
def test_losses_are_the_same_with_and_without_checkpointing(adapter: str, fixture_model: Path, tmp_path: Path) -> None:
    runs = [
        in_one(job(tmp_path / asked, "sft", fixture_model, epochs=1, adapter=adapter, gradient_checkpointing=asked))
        for asked in ("on", "off")
    ]
    told = [manifest(directory)["gradient_checkpointing"] for directory in runs]
    assert told == [True, False]
    for with_it, without in zip(*map(steps, runs), strict=True):
        assert with_it == pytest.approx(without, rel=1e-5, abs=1e-6)


def test_checkpointing_keeps_less(fixture_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model).train()
    plain = measured(model)
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    assert measured(model) < plain / 2


def test_nothing_below_the_first_trained_layer_gets_gradients_because_of_checkpointing(fixture_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model).requires_grad_(False).train()
    first, last = model.model.layers[0], model.model.layers[-1].requires_grad_(True)
    seen: list[bool] = []
    first.register_forward_hook(lambda _module, _inputs, output: seen.append(output.requires_grad))
    config = SFTConfig(adapter="last_layers", gradient_checkpointing="on")
    device = choose_device()
    assert settle(model, config, device, [SimpleNamespace(length=128)], rows=1)["gradient_checkpointing"]
    completion_logits(model, BATCH)[0].sum().backward()
    assert seen == [False]
    assert all(weight.grad is not None for weight in last.parameters())


@pytest.mark.parametrize("adapter", ["prefix", "p_tuning_v2"])
def test_adapters_with_keys_before_the_text_refuse_checkpointing_and_auto_leaves_it_off(
    adapter: str, fixture_model: Path, tmp_path: Path
) -> None:
    asked = job(tmp_path / "on", "sft", fixture_model, adapter=adapter, gradient_checkpointing="on")
    assert run.main([str(asked)]) == run.FAILED
    assert "gradient checkpointing" in json.loads((asked / "error.json").read_text())["message"]
    auto = in_one(job(tmp_path / "auto", "sft", fixture_model, epochs=1, adapter=adapter))
    assert manifest(auto)["gradient_checkpointing"] is False


@pytest.mark.parametrize("what", ["fixture_model", "qwen2_model", "gpt2_model", "wide", "lora"])
def test_the_estimate_of_what_is_kept_is_near_what_autograd_keeps(what: str, request: pytest.FixtureRequest) -> None:
    """Never below, or a batch that does not fit would be taken to; at most half as much again above."""
    if what in ("wide", "lora"):
        sizes = {"vocab_size": 1000, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6}
        model: nn.Module = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=8, num_key_value_heads=2))
    else:
        model = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(what))
    if what == "lora":
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    found, estimate = measured(model.train()), kept_bytes(model, SFTConfig(), 8 * 128, 4)
    assert found <= estimate <= 1.5 * found


@pytest.mark.parametrize(
    "asked", [{}, {"dropout": 0.1}, {"dora": True}, {"parallel": "fsdp"}], ids=["plain", "dropout", "dora", "parts"]
)
def test_the_estimate_counts_what_an_adapter_in_fp32_keeps_beside_a_base_in_bf16(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"vocab_size": 1000, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6}
    base = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=8, num_key_value_heads=2)).bfloat16()
    config = SFTConfig(adapter="lora", rank=8, **asked)
    monkeypatch.setattr(low_rank.launched, "processes", lambda: 2)  # of which each would hold a part
    model = apply_adapter(base, config, "policy")
    found, estimate = measured(model.train()), kept_bytes(model, config, 8 * 128, 2)
    if config.dropout:  # which numbers are left takes a CPU three bytes more than a GPU, of each layer's input
        found -= 3 * 6 * 8 * 128 * (6 * 256 + 768)
    assert found <= 1.25 * estimate, "ROOM allows for a quarter more"
    assert estimate <= 1.5 * found


def test_auto_counts_the_copies_of_weights_that_are_multiplied_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an estimate as in a run."""
    sizes = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=8))
    weights, config, tokens = sum(weight.numel() for weight in model.parameters()), DPOConfig(adapter="full"), 8
    without = kept_bytes(model, config, tokens, 4) + OPTIMIZER_BYTES * weights
    free = int((without + weights) / ROOM)  # room for half of what the copies take
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 0))
    half = Device(torch.device("cuda"), torch.bfloat16, "a GPU")
    assert wants_checkpointing([model], config, for_training(half, config), tokens)
    assert not wants_checkpointing([model], config, replace(half, dtype=torch.float32), tokens)
    frozen = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=12)).bfloat16()  # multiplied as it is
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2 * int((without + 2 * weights) / ROOM), 0))
    assert not wants_checkpointing([model, frozen.requires_grad_(False)], config, for_training(half, config), tokens)
    of_config, work = read_architecture(model.config.to_dict()), Workload("dpo", 1, tokens, 4, 4, 0)
    for copied, expected in ((2 * weights, "on"), (0, "off")):
        told = settled([of_config], config, work, weights, free=free, itemsize=4, copied=copied)
        assert told.gradient_checkpointing == expected


def measured(model: nn.Module) -> int:
    """Bytes of the storages that autograd has saved for the backward pass, the weights left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor.detach()  # a node that kept its own result so would never be let go

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits, targets, _ = completion_logits(model, BATCH)
        loss = (logits.logsumexp(dim=1) - logits.gather(1, targets[:, None])[:, 0]).sum()
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


def test_the_machine_is_told_while_the_run_is_under_way(fixture_model: Path, tmp_path: Path) -> None:
    done = in_one(job(tmp_path, "reward", fixture_model, epochs=1))
    told = next(line for line in read_lines(done / "progress.jsonl") if line["stage"] == "training")
    facts = ("device", "precision", "precision_reason", "attention", "prompts", "gradient_checkpointing", "processes")
    assert {name: told[name] for name in facts} == {name: manifest(done)[name] for name in facts}
    assert (told["precision"], told["attention"], told["processes"]) == ("fp32", "sdpa", 1)


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="it is installed here")
@pytest.mark.parametrize("start", [lambda job: run.main([job]), lambda job: launch.main([job, "2"])])
def test_deepspeed_is_refused_before_anything_starts_where_it_is_not_installed(
    start: Callable[[str], int], fixture_model: Path, tmp_path: Path
) -> None:
    asked = job(tmp_path, "sft", fixture_model, parallel="deepspeed")
    assert start(str(asked)) == run.FAILED
    assert json.loads((asked / "error.json").read_text())["code"] == "not_installed"
    assert not (asked / "progress.jsonl").exists()


def test_processes_that_would_wait_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not fallbacks(SFTConfig(gradient_accumulation=1))
    assert not fallbacks(DPOConfig(gradient_accumulation=1))
    assert not fallbacks(KTOConfig(gradient_accumulation=4))
    assert len(fallbacks(DPOConfig(gradient_accumulation=1, sft_weight=1.0))) == 1
    assert len(fallbacks(KTOConfig(gradient_accumulation=3))) == 1


def test_answers_that_a_model_in_parts_does_not_give_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"samples_every": 5, "gradient_accumulation": 2}
    assert not fallbacks(SFTConfig(parallel="fsdp", **asked)), "one process has the whole of it"
    monkeypatch.setenv("WORLD_SIZE", "2")
    [said] = fallbacks(SFTConfig(parallel="fsdp", **asked))
    assert said.startswith("No held-out prompts are answered between the steps")
    assert not fallbacks(SFTConfig(parallel="ddp", **asked))
    assert not fallbacks(SFTConfig(parallel="fsdp", gradient_accumulation=2))


def test_packing_that_was_asked_for_and_cannot_be_had_is_told() -> None:
    assert len(fallbacks(SFTConfig(packing="on"))) == 1
    assert not fallbacks(SFTConfig())


@pytest.mark.parametrize(
    ("codes", "told"), [([2, 4], 2), ([6, 2], 2), ([-9, -15], -9), ([6, 6], 6), ([1, 6], 1), ([4, 4], 4)]
)
def test_the_first_process_to_fail_of_itself_says_how_the_run_ended(codes: list[int], told: int) -> None:
    assert launch.first_of(codes) == told


@pytest.mark.parametrize(("visible", "told"), [("0", 1), ("", 0), ("-1", 0), (None, 0)])
def test_a_run_that_was_given_a_gpu_and_finds_none_says_so(
    visible: str | None, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert len(fallbacks(SFTConfig())) == told
