"""How long a run computes: from the speed of an earlier run like it, or from the operations of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from training.recipes.adapters import HEAD, SELECTIVE
from training.recipes.estimate.adapters import Parameters, separate
from training.recipes.estimate.checkpointing import is_checkpointed
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.players import Rewarder, value_model
from training.recipes.estimate.workload import DRAWN, PAIRS, Workload

Source = Literal["earlier run", "matrix product", "given", "unknown"]
REFERENCED = ("dpo", "kto")  # the frozen start reads every example once


@dataclass(frozen=True)
class Speed:
    """`tokens_per_second` of an earlier run of the same model, recipe and adapter, or `operations_per_second` of
    matrix products on the device; `source` says which, and `told` where it comes from, for people."""

    source: Source = "unknown"
    tokens_per_second: float = 0.0
    operations_per_second: float = 0.0
    told: str = ""


@dataclass(frozen=True)
class Data:
    """What a run learns from: `examples`, of `tokens` each (of a pair both sides together), 0 where it is not known."""

    examples: int
    tokens: float


def training_tokens(config: Any, work: Workload, data: Data) -> float:
    """Tokens that go through the model to learn from them, in the whole run."""
    sides = 2 if work.recipe in PAIRS else 1
    each = data.tokens or sides * work.length
    if work.recipe in DRAWN:
        each = max(data.tokens, work.length - work.response) + work.response
        each *= getattr(config, "ppo_epochs", getattr(config, "updates", 1)) * getattr(config, "generations", 1)
    epochs = 1 if config.adapter == HEAD else config.epochs  # texts are read once, and their features kept
    return epochs * data.examples * each


def operations_per_token(
    model: Architecture, config: Any, counted: Parameters, work: Workload, reward: Rewarder | None = None
) -> float:
    """Two operations for each weight a token meets (forward), two for the gradient on its way down, two more for the
    gradient of a trained weight (Kaplan et al. 2020, section 2.1: 6N where all are trained), and attention's products
    with keys and values. The output layer is met by the responses' tokens alone; a table of words by none."""
    blocks, attention = _products(model, work.length)
    output = model.vocabulary * model.width * work.kept / (work.rows * work.length)
    if config.adapter == HEAD:
        return 2 * blocks + attention
    depth = config.layers / model.layers if config.adapter == "last_layers" else 1.0
    trained = depth * blocks if config.adapter in ("full", *SELECTIVE[:1]) else 0
    added = counted.added / separate(config) if config.adapter in ("lora", "qlora", "houlsby") else 0
    forward = 2 * (blocks + output + added) + attention
    backward = 2 * (depth * blocks + output + added) + 2 * depth * attention + 2 * (trained + added)
    values = 0.0
    if work.recipe == "ppo" and reward is not None:  # the value model learns beside the policy
        read, looked = _products(value_model(model, config, work, reward).host, work.length)
        values = 4 * read + 2 * looked
    again = forward if is_checkpointed(config) else 0
    return forward + backward + values + again


def _products(model: Architecture, length: int) -> tuple[int, int]:
    """Of a token: weights that it meets in the blocks, and operations with keys and values (causal: half of all pairs,
    twice)."""
    blocks = model.layers * sum(layer.inputs * layer.outputs for layer in model.linears)
    return blocks, 2 * model.layers * model.queries * length


def before_and_beside(
    model: Architecture, work: Workload, data: Data, config: Any, reward: Rewarder | None = None
) -> float:
    """Operations without a gradient: the reference of DPO and KTO, and what is drawn, scored and compared."""
    forward = 2.0 * model.policy
    if work.recipe in REFERENCED:
        return forward * data.examples * (data.tokens or work.length * (2 if work.recipe == "dpo" else 1))
    if work.recipe in DRAWN:
        drawn = data.examples * config.epochs * getattr(config, "generations", 1) * work.length
        scored = 2.0 * reward.model.body * reward.separate if reward else 0.0
        return (3 * forward + scored) * drawn  # drawing, policy, reference, reward
    return 0.0


def seconds(
    model: Architecture,
    config: Any,
    counted: Parameters,
    work: Workload,
    data: Data,
    speed: Speed,
    reward: Rewarder | None = None,
) -> float | None:
    """Of the training itself, without loading and evaluating; None where the speed is not known."""
    tokens = training_tokens(config, work, data)
    if speed.tokens_per_second:
        return tokens / speed.tokens_per_second
    if not speed.operations_per_second:
        return None
    learning = tokens * separate(config) * operations_per_token(model, config, counted, work, reward)
    return (learning + before_and_beside(model, work, data, config, reward)) / speed.operations_per_second
