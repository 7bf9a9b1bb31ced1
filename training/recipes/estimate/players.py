"""Bytes of what stands beside a policy that draws its own data: reference, reward model, and PPO's value model; as
training/ml/actors.py puts them together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from training.recipes.adapters import LOW_RANK, MERGEABLE, VIRTUAL_TOKENS
from training.recipes.estimate.activations import SINGLE
from training.recipes.estimate.adapters import Parameters, low_rank, parameters, separate, virtual_tokens
from training.recipes.estimate.four_bits import saved_by_packing
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.workload import DRAWN, Workload
from training.recipes.reward import RewardConfig

MOMENTS = 2 * SINGLE
VALUE_RANK = 8  # of the value model's own LoRA (training/ml/value.py)


@dataclass(frozen=True)
class Rewarder:
    """A reward model: its base, and the settings it was trained with, None for one that came as a whole model.
    `on_policy`: what was trained is an adapter on the very model that the policy begins with."""

    model: Architecture
    config: RewardConfig | None = None
    on_policy: bool = False

    @property
    def members(self) -> int:
        return self.config.members if self.config else 1

    @property
    def separate(self) -> int:
        """How often a text goes through the model to be scored."""
        return separate(self.config)

    @property
    def packed(self) -> bool:
        return self.config is not None and self.config.adapter == "qlora"

    @property
    def added(self) -> int:
        """Parameters of its adapter, and of the head that PEFT trains beside the one it found."""
        return parameters(self.model, self.config, "reward").added if self.config else 0

    @property
    def staying(self) -> int:
        """Those of an adapter that is not merged into its base: of virtual tokens what they are, not what made them."""
        if self.config is None or (self.config.adapter in MERGEABLE and not self.packed and self.separate == 1):
            return 0
        if self.config.adapter in VIRTUAL_TOKENS:
            return virtual_tokens(self.model, self.config) + self.model.score_head(self.members)
        return self.added

    def weights(self, itemsize: int) -> int:
        """Bytes of a model of its own, without its head."""
        packed = saved_by_packing(self.model, itemsize) if self.packed else 0
        return self.model.body * itemsize - packed + self.staying * SINGLE

    def shares(self, config: Any, work: Workload) -> bool:
        """Whether PPO's policy wears its adapter beside its own."""
        if self.config is None or not self.on_policy or self.separate > 1:
            return False
        return work.recipe == "ppo" and config.adapter == self.config.adapter == "lora"

    def carries_value(self, model: Architecture) -> bool:
        """Whether the value model can stand on it: read as the policy's tokens, and no adapter in the way."""
        same = (self.model.family, self.model.vocabulary) == (model.family, model.vocabulary)
        return same and self.staying == 0

    def scoring(self, rows: int, length: int, itemsize: int) -> int:
        """Of texts in one block: states, queries, keys and values, and the three of the feed-forward layer."""
        return rows * length * (4 * self.model.width + 3 * self.model.inner) * itemsize


@dataclass(frozen=True)
class Value:
    """PPO's value model: an adapter on `host`, and a head. `copied`: the host is the policy's start once more."""

    host: Architecture
    adapter: Any
    copied: bool = False

    @property
    def trained(self) -> int:
        return low_rank(self.host, self.adapter) + self.host.width + 1

    def parts(self, itemsize: int) -> int:
        """Bytes of what is trained, with gradients and moments, and of the copy."""
        return self.trained * (SINGLE + SINGLE + MOMENTS) + (self.host.policy * itemsize if self.copied else 0)


def beside(reward: Rewarder | None, model: Architecture, config: Any, work: Workload) -> Rewarder | None:
    """What rewards a recipe that draws; none of the others. Where no reward model is known, one as a round makes it: a
    LoRA on the policy's base, of the size of the policy's own where that has one."""
    if work.recipe not in DRAWN or reward is not None:
        return reward if work.recipe in DRAWN else None
    own = {name: getattr(config, name) for name in ("rank", "targets", "dora")} if config.adapter == "lora" else {}
    return Rewarder(model, RewardConfig(adapter="lora", **own), on_policy=True)


def value_model(model: Architecture, config: Any, work: Workload, reward: Rewarder) -> Value:
    """Beside a policy that shares its backbone with the reward model a copy of that one's adapter; otherwise a LoRA on
    the reward model where it reads the policy's tokens, on the policy where that is a LoRA, else on a copy of it."""
    if reward.shares(config, work):
        return Value(model, reward.config)
    fresh = replace(config, adapter="lora", rank=VALUE_RANK, targets="auto", dora=False)
    if reward.carries_value(model):
        return Value(reward.model, fresh)
    return Value(model, fresh, copied=config.adapter not in LOW_RANK)


def value_of(model: Architecture, config: Any, work: Workload, reward: Rewarder | None) -> int:
    """Numbers of a value model that are trained beside the policy, and saved in checkpoints."""
    return value_model(model, config, work, reward).trained if work.recipe == "ppo" and reward is not None else 0


def loaded_beside(
    model: Architecture, config: Any, work: Workload, counted: Parameters, itemsize: int, reward: Rewarder
) -> int:
    """Bytes of what stands beside the policy before anything has learned: no gradients, no moments."""
    found = players(model, config, work, counted, itemsize, reward)
    return sum(found.values()) - value_of(model, config, work, reward) * (SINGLE + MOMENTS)


def players(
    model: Architecture, config: Any, work: Workload, counted: Parameters, itemsize: int, reward: Rewarder
) -> dict[str, int]:
    """The parts "reference", "reward" and "value" beside a policy of `itemsize` bytes a number."""
    parts, head = {}, reward.model.score_head(reward.members)
    if config.adapter == "full":
        parts["reference"] = counted.base * SINGLE
    own = (reward.added - head) * SINGLE if reward.shares(config, work) else reward.weights(itemsize)
    parts["reward"] = own + head * SINGLE
    if work.recipe == "ppo":
        parts["value"] = value_model(model, config, work, reward).parts(itemsize)
    return parts
