"""The estimated memory of a sampling run against its weights, to the byte, and against what torch's allocator sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.families import build_family
from tests.training.ml.jobs import job_of
from tests.training.ml.tensor_bytes import peak_bytes
from tests.training.ml.test_estimate_players import scales
from tests.training.ml.trained import SMALL, VARIANTS, train_briefly
from tests.training.planted import write_planted
from training.ml import reward
from training.ml.decoding import Drawing, complete
from training.ml.device import choose_device
from training.ml.frozen_norm import norm_in_few_passes
from training.ml.job import ModelSpec
from training.ml.lean_attention import attend_lean
from training.ml.load import load_tokenizer
from training.ml.one_base import Models
from training.ml.prompts import Prompt
from training.ml.rewarding import RewardModel
from training.ml.slots import read_prompts
from training.recipes import load
from training.recipes.estimate import (
    Answering,
    Architecture,
    Data,
    Loaded,
    Machine,
    Rewarder,
    Sampling,
    Speed,
    estimate_sampling,
    read_architecture,
)
from training.recipes.estimate.sampling import _reading
from training.recipes.one_base import NEW, OLD, REWARD
from training.recipes.sample import SampleConfig

pytestmark = pytest.mark.not_db


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of more layers, so that one of them is not most of the memory, as in no model that anybody samples."""
    return build_fixture_model(tmp_path_factory.mktemp("deep") / "model", layers=12)


def sizes(model: Path) -> Architecture:
    return read_architecture(json.loads((model / "config.json").read_text()))


def asked(loaded: Loaded, *prompts: int) -> Sampling:
    return Sampling(loaded, prompts, Machine("cpu"), Data(len(prompts), sum(prompts) / len(prompts)), Speed())


def held(models: list[nn.Module]) -> int:
    storages = {}
    for weight in (weight for model in models for weight in model.parameters()):
        storages[weight.untyped_storage().data_ptr()] = weight.numel() * weight.element_size()
    return sum(storages.values()) + sum(scales(weight) for model in models for weight in model.parameters())


KINDS = [name for name in VARIANTS if name not in ("p_tuning-lstm", "qlora-dora", "bias")]


@pytest.mark.parametrize("policy", KINDS)
@pytest.mark.parametrize("scorer", ["lora", "houlsby", "full"])
def test_all_models_of_a_run_are_counted(base: Path, policy: str, scorer: str, tmp_path: Path) -> None:
    """As the run loads them: on one base what can be, each once."""
    trained = train_briefly(policy, "policy", base, tmp_path / "policy")
    judge = train_briefly(scorer, "reward", base, tmp_path / "judge")
    specs = {NEW: trained.spec, OLD: ModelSpec(str(base)), REWARD: judge.spec}
    models = Models(list(specs.values()), cache=base, device=choose_device())
    there = [models.speaker(specs[NEW]), models.speaker(specs[OLD]), models.reward_model(specs[REWARD])]
    config = load("reward", {"adapter": scorer, **SMALL})
    rewarder = Rewarder(sizes(base), config, on_policy=scorer != "full")
    sharing = tuple(name for name, spec in specs.items() if models.shares(spec))
    loaded = Loaded(Answering(sizes(base), trained.config), Answering(sizes(base)), rewarder, sharing)
    packed = policy.startswith("qlora")  # blocks of 64 do not come out even here
    assert sum(loaded.parts(4).values()) == pytest.approx(held(there), rel=0.02 if packed else 0)


def drawing(model: nn.Module, lengths: list[int], config: SampleConfig) -> Callable[[], None]:
    """All responses are as long as they may be."""
    ids = [[3 + (place * 7 + n) % 700 for n in range(length)] for place, length in enumerate(lengths)]
    seeds = [[place * 10 + copy for copy in range(config.samples_per_prompt)] for place in range(len(ids))]
    how = Drawing(config.temperature, config.top_p, config.max_new_tokens)
    rows = config.batch_size * config.samples_per_prompt

    def work() -> None:
        list(complete(model, ids, seeds, stop=frozenset(), pad_id=0, drawing=how, rows=rows))

    return work


@pytest.mark.parametrize(
    ("variant", "lengths", "drawn"),
    [
        ("lora", [40] * 8, {"batch_size": 8, "max_new_tokens": 60}),
        ("lora", [40] * 24, {"batch_size": 8, "max_new_tokens": 60}),
        ("lora", list(range(30, 130, 4)), {"batch_size": 8, "max_new_tokens": 40}),
        ("lora", [200] * 16, {"batch_size": 16, "max_new_tokens": 16, "samples_per_prompt": 1}),
        ("lora", [60] * 4, {"batch_size": 4, "max_new_tokens": 80, "samples_per_prompt": 8}),
        ("prefix", [200] * 8, {"batch_size": 8, "max_new_tokens": 16, "samples_per_prompt": 1}),
        ("houlsby", [40] * 16, {"batch_size": 8, "max_new_tokens": 60}),
        ("prefix", [36, 40] * 8, {"batch_size": 8, "max_new_tokens": 60}),
        ("prompt_tuning", [36, 40] * 4, {"batch_size": 8, "max_new_tokens": 60}),
    ],
)
def test_the_peak_of_drawing_is_estimated(
    deep: Path, variant: str, lengths: list[int], drawn: dict[str, Any], tmp_path: Path
) -> None:
    trained = train_briefly(variant, "policy", deep, tmp_path / "policy")
    model = trained.reloaded()
    config = load("sample", drawn)
    found = estimate_sampling(asked(Loaded(Answering(sizes(deep), trained.config)), *lengths), config).memory
    whole = held([model]) + peak_bytes(drawing(model, lengths, config))
    assert found.total == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize(("number", "length"), [(16, 25), (8, 60), (4, 200)])
def test_the_peak_of_reading_prompts_with_heads_that_share_keys_is_estimated(number: int, length: int) -> None:
    """Seven of them do: of long prompts no mask is repeated for each."""
    grouped = {"num_attention_heads": 14, "num_key_value_heads": 2, "hidden_size": 112, "intermediate_size": 300}
    model = build_family("qwen2", **grouped, num_hidden_layers=12, max_position_embeddings=256).requires_grad_(False)
    norm_in_few_passes(model)
    attend_lean(model)
    prompts = [[3 + (7 * row + place) % 90 for place in range(length)] for row in range(number)]
    with torch.inference_mode():
        measured = peak_bytes(lambda: read_prompts(model, prompts))
    voice = Answering(read_architecture(model.config.to_dict()))
    assert _reading(voice, [length] * number, 4) == pytest.approx(measured, rel=0.1)


def test_scores_are_made_while_others_are_drawn(deep: Path, tmp_path: Path) -> None:
    """Of many long responses to one prompt; beside the cache, which is small here."""
    data = write_planted(tmp_path / "data", train=8, test=2)
    job = job_of(tmp_path / "job", "reward", deep, data, epochs=1, **SMALL)
    reward.run(job)
    config = load("sample", {"batch_size": 16, "samples_per_prompt": 16, "max_new_tokens": 400, "pairs": "none"})
    spec = ModelSpec(str(deep), (str(job.directory / "artifact"),))
    models = Models([spec], cache=deep, device=choose_device())
    judge = RewardModel(models.reward_model(spec), load_tokenizer(spec, cache=deep), config, config.batch_size)
    text = "and then " * 190
    tokens = len(judge.tokenizer(text)["input_ids"])
    measured = peak_bytes(lambda: judge.scores_of(Prompt(1, [{"role": "user", "content": "Hi"}]), [text] * 16))
    rewarder = Rewarder(sizes(deep), job.config, on_policy=True)
    assert rewarder.scoring(16, tokens + 12, 4) == pytest.approx(measured, rel=0.25)
    there = asked(Loaded(Answering(sizes(deep)), None, rewarder, (NEW, REWARD)), 12)
    few = replace(config, max_new_tokens=1)
    assert (
        estimate_sampling(there, config).memory.parts["activations"]
        > estimate_sampling(there, few).memory.parts["activations"]
    )
