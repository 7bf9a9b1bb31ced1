"""The models of a sampling run, and the bytes that each of them holds: by itself, or on a base that others share."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from training.recipes.adapters import MERGEABLE, SELECTIVE, VIRTUAL_TOKENS, AdapterConfig
from training.recipes.errors import RecipeError
from training.recipes.estimate.activations import SINGLE
from training.recipes.estimate.adapters import parameters, virtual_tokens
from training.recipes.estimate.four_bits import saved_by_packing
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.players import Rewarder
from training.recipes.one_base import NEW, OLD, REWARD
from training.recipes.shared_rows import FAMILIES, MAY_HAVE_WINDOWS


@dataclass(frozen=True)
class Answering:
    """A model that answers: `config` has the settings of the adapter that was put onto it last; None of a plain model,
    or of one of which that is not known."""

    model: Architecture
    config: AdapterConfig | None = None

    @property
    def virtual(self) -> int:
        """Virtual tokens before every text."""
        return self.config.virtual_tokens if self.config and self.config.adapter in VIRTUAL_TOKENS else 0

    @property
    def in_slots(self) -> bool:
        """Whether the next prompt takes the place of what has ended (training/ml/row_attention.py)."""
        return self.virtual == 0 and self.model.family in FAMILIES - MAY_HAVE_WINDOWS

    @property
    def packed(self) -> bool:
        return self.config is not None and self.config.adapter == "qlora"

    def weights(self, itemsize: int) -> int:
        """Bytes of a model of its own: what can be merged is."""
        packed = saved_by_packing(self.model, itemsize) if self.packed else 0
        stays = self.packed or (self.config is not None and self.config.adapter not in MERGEABLE)
        return self.model.policy * itemsize - packed + (self.worn(itemsize) if stays else 0)

    def worn(self, itemsize: int) -> int:
        """Bytes of its adapter alone; of one that has replaced some of the model's own weights, of these."""
        return _worn(self.model, self.config, "policy", itemsize)


@dataclass(frozen=True)
class Loaded:
    """`base`: the model that is loaded once for those of `sharing` (NEW, OLD, REWARD), as which it counts for the first
    of them."""

    new: Answering
    old: Answering | None = None
    reward: Rewarder | None = None
    sharing: tuple[str, ...] = ()

    @property
    def voices(self) -> list[Answering]:
        return [voice for voice in (self.new, self.old) if voice]

    def parts(self, itemsize: int) -> dict[str, int]:
        """Bytes as "weights" (the new model), "reference" (the old one) and "reward"."""
        parts = {"weights": self._of_voice(NEW, self.new, itemsize)}
        parts["reference"] = self._of_voice(OLD, self.old, itemsize) if self.old else 0
        parts["reward"] = self._of_reward(self.reward, itemsize) if self.reward else 0
        return parts

    def loading(self, itemsize: int) -> int:
        """The most while they are loaded one after the other: of a model in 4 bits first the whole file, then what is
        packed of it as well, on a CPU."""
        held = most = 0
        wholes = {NEW: self.new, OLD: self.old, REWARD: self.reward}
        names = {"weights": NEW, "reference": OLD, "reward": REWARD}
        for part, size in self.parts(itemsize).items():
            one = wholes[names[part]]
            if one is not None and one.packed and itemsize == SINGLE:
                most = max(most, held + one.model.policy * SINGLE + size)
            held += size
        return max(most, held)

    def numbers(self) -> int:
        """That are read from the disk."""
        own = [voice.model.policy for name, voice in ((NEW, self.new), (OLD, self.old)) if voice and self._is_own(name)]
        return sum(own) + (self.reward.model.policy if self.reward and self._is_own(REWARD) else 0)

    def _is_own(self, name: str) -> bool:
        return name not in self.sharing or name == self.sharing[0]

    def _of_voice(self, name: str, voice: Answering, itemsize: int) -> int:
        if name not in self.sharing:
            return voice.weights(itemsize)
        base = voice.model.policy * itemsize if self._is_own(name) else 0
        return base + (voice.worn(itemsize) if voice.config else 0)

    def _of_reward(self, reward: Rewarder, itemsize: int) -> int:
        head = reward.model.score_head(reward.members) * SINGLE
        if REWARD not in self.sharing:
            return reward.weights(itemsize) + head
        return _worn(reward.model, reward.config, "reward", itemsize) + head


def _worn(model: Architecture, config: AdapterConfig | None, task: str, itemsize: int) -> int:
    if config is None:
        return 0
    if config.adapter in VIRTUAL_TOKENS:  # what they are, not what made them
        head = model.score_head(getattr(config, "members", 1)) if task == "reward" else 0
        return (virtual_tokens(model, config) + head) * SINGLE
    with suppress(RecipeError):  # of a family that is not known its adapter is not, and small
        counted = parameters(model, config, task)
        return counted.added * SINGLE + (counted.trained_base * itemsize if config.adapter in SELECTIVE else 0)
    return 0
