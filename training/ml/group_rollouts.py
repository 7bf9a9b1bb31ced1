"""What RLOO and GRPO are made of, and what stands before TRL's trainers: our drawing, scores and log-probabilities.

What is overridden here is private in TRL: its version is pinned, and the tests compare the losses with its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.ml.checkpoint import BegunOn
from training.ml.computed_twice import computed_twice
from training.ml.kl import k3
from training.ml.notices import Notices
from training.ml.progress import Progress
from training.ml.prompt_data import AskedPrompt
from training.ml.reference import Start
from training.ml.repeatable import as_it_comes
from training.ml.rewarding import Rewarding, cut_by, paid, scores_by, tell_of_cuts
from training.ml.rollout import Rollout, drawing_of, logps_and_entropy, roll_out
from training.ml.samples import sample_seed
from training.ml.turns import Turns
from training.recipes.groups import GroupConfig

# So near are two scores of one text, and 1e-4 is what TRL adds to a group's deviation: nothing is learned from a group
# with less. TRL's own share of such groups is of all groups at once where rewards are scaled by the batch.
SAME = 1e-5


@dataclass(frozen=True)
class Parts:
    """What a run is made of; `name` is the recipe's."""

    name: str
    policy: nn.Module
    reference: Start
    rewarding: Rewarding
    tokenizer: PreTrainedTokenizerBase
    prompts: Sequence[AskedPrompt]
    config: GroupConfig
    seed: int
    directory: Path
    progress: Progress
    checkpointing: bool = False
    begun_on: BegunOn = field(default_factory=dict)

    @property
    def responses(self) -> int:
        """Drawn at a time, in whole groups."""
        return self.config.batch_size * self.config.gradient_accumulation

    @property
    def steps(self) -> int:
        """`updates` steps learn from every batch."""
        batches = math.ceil(self.config.epochs * len(self.prompts) * self.config.generations / self.responses)
        return batches * self.config.updates

    def asked(self, done: int) -> list[AskedPrompt]:
        """Every prompt still to come after `done` steps, in order: a group each; its turn depends on the seed alone."""
        groups = self.responses // self.config.generations
        turns = range(done // self.config.updates * groups, self.steps // self.config.updates * groups)
        order = Turns(self.prompts, self.seed)
        return [order[turn] for turn in turns]


class OurRollouts:
    """Stands before RLOOTrainer or GRPOTrainer. A row of the data set is a prompt's id; TRL never tokenises."""

    parts: Parts
    done = 0  # steps of this run before this process

    def take(self, parts: Parts, done: int) -> None:
        self.parts, self.done = parts, done
        self.by_id = {prompt.id: prompt for prompt in parts.prompts}
        self.rollouts: list[Rollout] = []
        self.scores: list[float] = []
        self.figures: dict[str, float] = {}
        self.frozen: Tensor | None = None
        self.divergences: list[float] = []
        self.notices = Notices(parts.directory)
        # Asked for only now: in its constructor TRL would load a second model to be the reference.
        self.beta, self.ref_model = parts.config.kl_coefficient, parts.reference

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        self.asked = [self.by_id[name] for name in prompts]
        return [prompt.ids for prompt in self.asked], None, {}

    def draw(self) -> list[list[int]]:
        """Responses to what was asked last, each from its own seed; TRL's shuffling is seeded as well."""
        parts, number = self.parts, self.done + self.state.global_step
        first = number * len(self.asked)
        seeds = [sample_seed(parts.seed, p.id, parts.name, first + row) for row, p in enumerate(self.asked)]
        with as_it_comes():
            self.rollouts = roll_out(parts.policy, parts.tokenizer, self.asked, seeds, drawing_of(parts.config))
        torch.manual_seed(sample_seed(parts.seed, number, parts.name, 0))
        return [rollout.ids for rollout in self.rollouts]

    def reward(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        """What TRL calls for the rewards; its own decoded text, without EOS and tokenised again, is not looked at."""
        if completion_ids != [rollout.ids for rollout in self.rollouts]:
            raise RuntimeError("TRL asks for the rewards of other responses than those drawn last")
        self.scores = self.parts.rewarding(self.rollouts)
        payments = paid(self.rollouts, self.scores, self.parts.config.missing_eos_penalty)
        number = len(self.rollouts)
        groups = torch.tensor(payments, dtype=torch.double).view(-1, self.parts.config.generations)
        self.figures = {
            "reward": sum(payments) / number,
            "reward_std": groups.std(unbiased=False).item(),
            "groups_without_spread": (groups.std(dim=1) < SAME).double().mean().item(),
            "score": sum(scores_by(self.parts.rewarding, self.scores)) / number,
            "kl_coefficient": self.beta,
            "length": sum(len(rollout.ids) for rollout in self.rollouts) / number,
            "eos_rate": sum(rollout.finished for rollout in self.rollouts) / number,
            "truncated": cut_by(self.parts.rewarding),
        }
        tell_of_cuts(self.notices, cut_by(self.parts.rewarding))
        return payments

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        # GRPO's alone have them; RLOO has taken the KL off the reward by now.
        self.frozen = inputs.get("ref_per_token_logps")
        return super()._compute_loss(model, inputs)

    def kl_per_response(self) -> float | None:
        """The mean over all responses learned from since this was asked last of k3, summed over a response's tokens.
        What TRL logs of GRPO is no such mean: batches of few and of many tokens count alike in it."""
        found, self.divergences = self.divergences, []
        return sum(found) / len(found) if found else None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor, None]:
        """Log-probabilities and entropies of the responses, [rows, logits_to_keep], 0 where a row has ended."""
        if model is self.ref_model:
            with self.ref_model() as frozen:
                return self._by_rows(frozen, input_ids, attention_mask, logits_to_keep, batch_size)
        with computed_twice([self.parts.policy] if self.parts.checkpointing else []):
            found = self._by_rows(self.parts.policy, input_ids, attention_mask, logits_to_keep, batch_size)
        if torch.is_grad_enabled() and self.frozen is not None:
            self.divergences += k3(found[0].detach(), self.frozen).sum(dim=1).tolist()
        return found

    def _by_rows(
        self, model: nn.Module, ids: Tensor, mask: Tensor, kept: int, batch_size: int | None
    ) -> tuple[Tensor, Tensor, None]:
        real = mask.bool()
        rows = [_rollout(ids[i, :-kept][real[i, :-kept]], ids[i, -kept:][real[i, -kept:]]) for i in range(len(ids))]
        size = batch_size or len(rows)
        parts = [logps_and_entropy(model, rows[i : i + size], self.temperature) for i in range(0, len(rows), size)]
        found = [torch.cat(columns) for columns in zip(*parts, strict=True)]
        empty = torch.zeros(len(rows), kept, device=ids.device)
        logps, entropies = (empty.masked_scatter(real[:, -kept:], column) for column in found)
        return logps, entropies, None


def _rollout(prompt: Tensor, response: Tensor) -> Rollout:
    return Rollout(AskedPrompt("", [], prompt.tolist()), response.tolist(), True, "")
