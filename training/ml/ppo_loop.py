"""The loop of PPO: draw responses, learn from them in clipped minibatches, steer the KL, save where it stands."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.actors import Actors
from training.ml.checkpoint import NOT_KNOWN, BegunOn, Position, load_checkpoint, save_checkpoint
from training.ml.computed_twice import computed_twice
from training.ml.dropout import switch_off_dropout
from training.ml.experience import Experience, Gathered, from_json, gather, to_json
from training.ml.kl import KLControl, k3
from training.ml.loop import fingerprint, forget_moments, numbers_of
from training.ml.not_finite import NotFinite, Words, told
from training.ml.notices import Notices
from training.ml.optimizer import adamw, rate_factor
from training.ml.ppo_losses import clipped_policy, clipped_values, policy_losses, value_losses
from training.ml.progress import Progress, eta_seconds
from training.ml.prompt_data import AskedPrompt
from training.ml.repeatable import repeatable
from training.ml.reward_scale import RewardScale
from training.ml.rewarding import tell_of_cuts
from training.ml.rollout import logps_and_entropy
from training.ml.samples import sample_seed
from training.ml.turns import Turns
from training.recipes.ppo import PPOConfig
from training.recipes.words import gettext_noop

SHOWN = 3  # responses told with a line of samples ...
SHOWINGS = 10  # ... so many times in a run
NOT_FINITE = Words(
    kept=gettext_noop(
        "The %(what)s became %(value)s in an update with responses to %(prompts)s; the weights of the last "
        "checkpoint are kept."
    ),
    lost=gettext_noop("The %(what)s became %(value)s in an update with responses to %(prompts)s."),
    hint=gettext_noop("Start again with a smaller learning rate, or look at these prompts."),
    named="prompts",
)


@dataclass
class Standing:
    """Where a run stands; `rows` and `sums` only in the middle of a step, after `updates` of its updates."""

    control: KLControl
    scale: RewardScale = field(default_factory=RewardScale)
    rows: list[Experience] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    updates: int = 0

    def as_json(self) -> dict[str, Any]:
        state = {"kl_coefficient": self.control.coefficient, "scale": self.scale.as_dict()}
        middle = {"rows": to_json(self.rows), "metrics": self.metrics, "sums": self.sums, "updates": self.updates}
        return {**state, **(middle if self.rows else {})}


class PPO:
    """One run: `train` is the whole of it. Every step is settled by seed and number alone."""

    def __init__(
        self,
        actors: Actors,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[AskedPrompt],
        config: PPOConfig,
        *,
        seed: int,
        directory: Path,
        progress: Progress,
        checkpointing: bool = False,
        begun_on: BegunOn = NOT_KNOWN,
    ) -> None:
        self.actors, self.tokenizer, self.prompts, self.config = actors, tokenizer, prompts, config
        self.seed, self.directory, self.progress, self.begun_on = seed, directory, progress, begun_on
        values = actors.value.weights()
        self.optimizer = adamw(actors.trained, config, apart=values, apart_rate=config.value_learning_rate)
        whole = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        self.parts = [weight for weight in whole if not any(weight is one for one in values)], values
        self.steps = math.ceil(config.epochs * len(prompts) / config.rollouts)
        self.device = next(actors.policy.parameters()).device
        self.notices = Notices(directory)
        self.twice = actors.learners if checkpointing else []
        switch_off_dropout(actors.trained)  # old and new probabilities are of the same function, in any mode
        self.turns = Turns(prompts, seed)

    def train(self) -> Position:
        """From the last checkpoint if there is one. Raises Cancelled after SIGTERM, with a checkpoint written, and
        ModelError("nan_loss"), the last checkpoint kept if there is one."""
        self.actors.trained.eval()
        torch.manual_seed(self.seed)
        mark = fingerprint(self.prompts, self.config, self.seed)
        self.position = load_checkpoint(self.directory, self.actors.trained, self.optimizer, mark, self.begun_on)
        self.progress.truncate_after(self.position.step)
        self.began, self.first, self.drawn = time.monotonic(), self.position, 0
        standing = self.restored(self.position.state)
        for number in range(self.position.step + 1, self.steps + 1):
            try:
                self.step(number, standing)
            except cancel.Cancelled:
                self.save(number - 1, standing)
                raise
            standing = Standing(standing.control.after(standing.metrics["kl"]), standing.scale)
            regular = self.config.checkpoint_every and number % self.config.checkpoint_every == 0
            if regular or cancel.requested() or number == self.steps:
                self.save(number, standing)
            cancel.check()
        forget_moments(self.optimizer)
        return self.position

    def step(self, number: int, standing: Standing) -> None:
        """Draw, unless that was done before an interruption, and learn; `standing` moves along."""
        if not standing.rows:
            found = self.gather(number, standing)
            standing.rows, standing.scale, standing.metrics = found.rows, found.scale, found.metrics
        rate = self.config.learning_rate * rate_factor(number, self.steps, self.config)
        with computed_twice(self.twice), repeatable(self.device):
            self.learn(number, standing, rate)
        self.tell(number, standing, rate)

    def learn(self, number: int, standing: Standing, rate: float) -> None:
        """The updates of step `number` that are still to be made."""
        for batches in self.updates(number, standing.rows)[standing.updates :]:
            cancel.check()
            try:
                metrics, moved = self.update(batches, rate)
            except NotFinite as found:
                first = number == 1 and not standing.updates
                raise told(found, NOT_FINITE, self.actors.trained, self.directory, nothing_learned=first) from found
            standing.metrics["approx_kl"] = moved  # the last that was seen, be it the one that ends the step
            if metrics is None:
                break
            standing.sums = {name: standing.sums.get(name, 0.0) + value for name, value in metrics.items()}
            standing.updates += 1

    def gather(self, number: int, standing: Standing) -> Gathered:
        """The responses of step `number`; a prompt's turn, and the seed of its response, depend on the seed alone."""
        turns = range((number - 1) * self.config.rollouts, number * self.config.rollouts)
        asked = [self.turns[turn] for turn in turns]
        seeds = [sample_seed(self.seed, prompt.id, "ppo", turn) for prompt, turn in zip(asked, turns, strict=True)]
        config, control, scale = self.config, standing.control, standing.scale
        found = gather(self.actors, self.tokenizer, asked, seeds, config, control, scale)
        tell_of_cuts(self.notices, found.metrics["truncated"])
        return found

    def updates(self, number: int, rows: list[Experience]) -> list[list[list[Experience]]]:
        """All updates of a step, each of batches whose gradients are added up: `ppo_epochs` times every response. As
        many a pass as hold them, and alike in size: a rest of few responses would steer the policy at the full rate."""
        found: list[list[list[Experience]]] = []
        for epoch in range(self.config.ppo_epochs):
            order = random.Random(f"{self.seed}:{number}:{epoch}").sample(rows, len(rows))
            number_of = math.ceil(len(order) / (self.config.batch_size * self.config.gradient_accumulation))
            ends = [len(order) * i // number_of for i in range(number_of + 1)]
            for start, end in pairwise(ends):
                # Within an update, rows of like length share a batch: less padding, the same sum.
                update = sorted(order[start:end], key=lambda row: row.length)
                starts = range(0, len(update), self.config.batch_size)
                found.append([update[i : i + self.config.batch_size] for i in starts])
        return found

    def update(self, batches: list[list[Experience]], rate: float) -> tuple[dict[str, float] | None, float]:
        """One step of the optimizer: its figures, and how far the policy had moved from the one that drew (nats per
        token). Where that is too far, no step is made and there are no figures."""
        tokens = sum(len(row.rollout.ids) for batch in batches for row in batch)
        sums: dict[str, float] = {}
        for batch in batches:
            for name, value in (self.policy_part(batch, tokens) | self.value_part(batch, tokens)).items():
                sums[name] = sums.get(name, 0.0) + value
        sums["loss"] = sums["policy_loss"] + self.config.value_coefficient * sums["value_loss"]
        if not math.isfinite(sums["loss"]):
            raise NotFinite("loss", sums["loss"], _prompts(batches))
        moved = sums.pop("approx_kl")
        if self.config.early_stop_kl and moved > self.config.early_stop_kl:
            self.optimizer.zero_grad(set_to_none=True)
            return None, moved
        # Each by itself: a value model that is far off must not shorten the policy's steps.
        norms = [nn.utils.clip_grad_norm_(part, self.config.max_grad_norm).item() for part in self.parts]
        sums["grad_norm"] = norms[0]
        if not all(map(math.isfinite, norms)):
            raise NotFinite("gradient", max(norms, key=lambda norm: not math.isfinite(norm)), _prompts(batches))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return sums, moved

    def policy_part(self, batch: list[Experience], tokens: int) -> dict[str, float]:
        """Gradient of the policy's loss, a mean over the `tokens` of the update; this batch's share of figures."""
        new, entropy = logps_and_entropy(self.actors.policy, [row.rollout for row in batch], self.config.temperature)
        old, advantages = (torch.cat([getattr(row, name) for row in batch]) for name in ("logps", "advantages"))
        loss = policy_losses(new, old, advantages, self.config.clip_range).sum() / tokens
        loss.backward()
        new = new.detach()
        figures = {
            "approx_kl": k3(old, new),
            "ratio": (new - old).exp(),
            "clip_fraction": clipped_policy(new, old, advantages, self.config.clip_range),
            "entropy": entropy,
        }
        sums = {"policy_loss": loss.detach(), **{name: value.sum() for name, value in figures.items()}}
        [found] = numbers_of([sums])
        return {"policy_loss": found.pop("policy_loss"), **{name: total / tokens for name, total in found.items()}}

    def value_part(self, batch: list[Experience], tokens: int) -> dict[str, float]:
        """The same of the value's loss."""
        old, returns = (torch.cat([getattr(row, name) for row in batch]) for name in ("values", "returns"))
        with self.actors.value.at_work():
            new = self.actors.value([row.rollout for row in batch])
            loss = value_losses(new, old, returns, self.config.value_clip_range).sum() / tokens
            (self.config.value_coefficient * loss).backward()
        clipped = clipped_values(new.detach(), old, self.config.value_clip_range)
        [found] = numbers_of([{"loss": loss.detach(), "clipped": clipped.sum()}])
        return {"value_loss": found["loss"], "value_clip_fraction": found["clipped"] / tokens}

    def tell(self, number: int, standing: Standing, rate: float) -> None:
        """A line of progress, and now and then what the policy writes. Figures of updates are their mean."""
        self.drawn += sum(row.length for row in standing.rows)
        seconds, done = time.monotonic() - self.began, number - self.first.step
        means = {name: total / max(standing.updates, 1) for name, total in standing.sums.items()}
        self.progress.step(
            "training",
            step=number,
            steps=self.steps,
            epoch=round(min(number * self.config.rollouts / len(self.prompts), self.config.epochs), 4),
            metrics={**standing.metrics, **means, "updates": standing.updates, "learning_rate": rate},
            tokens_per_second=round(self.drawn / max(seconds, 1e-6), 1),
            eta_seconds=eta_seconds(done=done, total=self.steps - self.first.step, seconds=seconds),
        )
        if number == 1 or number == self.steps or number % max(self.steps // SHOWINGS, 1) == 0:
            rows = [
                {"prompt": row.rollout.prompt.messages, "text": row.rollout.text, "reward": row.score}
                for row in standing.rows[:SHOWN]
            ]
            self.progress.samples(number, rows)

    def save(self, number: int, standing: Standing) -> None:
        seconds = round(self.first.seconds + time.monotonic() - self.began, 3)
        self.position = Position(self.first.fingerprint, number, seconds, standing.as_json())
        save_checkpoint(self.directory, self.actors.trained, self.optimizer, self.position, self.begun_on)

    def restored(self, state: dict[str, Any]) -> Standing:
        """What `as_json` has written; the beginning if nothing."""
        target = self.config.kl_target if self.config.kl_control == "adaptive" else None
        coefficient = state.get("kl_coefficient", self.config.kl_coefficient)
        control = KLControl(coefficient, target, self.config.kl_gain)
        if not state:
            return Standing(control)
        prompts = {prompt.id: prompt for prompt in self.prompts}
        return Standing(
            control,
            RewardScale(**state["scale"]),
            from_json(state.get("rows", []), prompts, self.device),
            state.get("metrics", {}),
            state.get("sums", {}),
            state.get("updates", 0),
        )


def _prompts(batches: list[list[Experience]]) -> list[str]:
    return [row.rollout.prompt.id for batch in batches for row in batch]
