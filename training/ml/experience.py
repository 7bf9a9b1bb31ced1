"""What a step of PPO learns from: responses with the probability, value and advantage of every token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.ml.actors import Actors
from training.ml.advantages import gae, whitened
from training.ml.kl import ESTIMATORS, KLControl
from training.ml.ppo_losses import explained_variance
from training.ml.prompt_data import AskedPrompt
from training.ml.reward_scale import RewardScale
from training.ml.rewarding import cut_by, paid, scores_by
from training.ml.rollout import Rollout, drawing_of, drawn_logps, roll_out
from training.recipes.ppo import PPOConfig


@dataclass(frozen=True)
class Experience:
    """A response and, per token [tokens], what is fixed while a step learns from it."""

    rollout: Rollout
    score: float
    logps: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor

    @property
    def length(self) -> int:
        return self.rollout.length


@dataclass(frozen=True)
class Gathered:
    rows: list[Experience]
    scale: RewardScale
    metrics: dict[str, float]


def gather(
    actors: Actors,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[AskedPrompt],
    seeds: Sequence[int],
    config: PPOConfig,
    control: KLControl,
    scale: RewardScale,
) -> Gathered:
    """Draw, score, and estimate the advantages. Raises Cancelled between two tokens. No state changes until drawing and
    scoring are complete; then, in the first step, the head of the value model is calibrated."""
    rollouts = roll_out(actors.policy, tokenizer, asked, seeds, drawing_of(config))
    scores = actors.rewarding(rollouts)
    truncated = cut_by(actors.rewarding)
    payments = paid(rollouts, scores, config.missing_eos_penalty)
    first, scale = scale.count == 0, scale_after(payments, scale, config)
    logps = drawn_logps(actors.policy, rollouts, config.temperature, config.batch_size)
    with actors.reference() as frozen:
        reference = drawn_logps(frozen, rollouts, config.temperature, config.batch_size)
    divergences = [ESTIMATORS[config.kl_estimator](p, q) for p, q in zip(logps, reference, strict=True)]
    finals = [final_reward(payment, scale, config) for payment in payments]
    values = actors.value.of(rollouts, config.batch_size)
    if first:
        values = actors.value.calibrate(values, finals)
    pairs = zip(finals, divergences, strict=True)
    rewards = [token_rewards(final, divergence, control.coefficient) for final, divergence in pairs]
    advantages = [gae(r, v, config.discount, config.gae_lambda) for r, v in zip(rewards, values, strict=True)]
    returns = [a + v for a, v in zip(advantages, values, strict=True)]
    columns = zip(rollouts, scores, logps, values, whitened(advantages), returns, strict=True)
    metrics = {
        "reward": _mean(payments),
        "reward_std": torch.tensor(payments).std(unbiased=False).item(),
        "score": _mean(scores_by(actors.rewarding, scores)),
        "kl": _mean([divergence.sum().item() for divergence in divergences]),
        "kl_coefficient": control.coefficient,
        "length": _mean([len(rollout.ids) for rollout in rollouts]),
        "eos_rate": _mean([rollout.finished for rollout in rollouts]),
        "explained_variance": explained_variance(torch.cat(values), torch.cat(returns)),
        "truncated": truncated,
    }
    return Gathered([Experience(*row) for row in columns], scale, metrics)


def scale_after(payments: Sequence[float], scale: RewardScale, config: PPOConfig) -> RewardScale:
    """Of all payments so far, or of the first ones that differ (Ziegler et al. 2019, section 2.1: once)."""
    return scale if config.reward_scaling == "first" and scale.deviation > 0 else scale.seen(payments)


def final_reward(payment: float, scale: RewardScale, config: PPOConfig) -> float:
    """What a response is paid at its end, scaled and clipped as configured; the clip is in deviations of the scores."""
    if config.reward_scaling == "none":
        return payment
    value = scale.scaled(payment)
    return min(max(value, -config.reward_clip), config.reward_clip) if config.reward_clip else value


def token_rewards(final: float, divergence: Tensor, coefficient: float) -> Tensor:
    """-b KL_t for every token, and the reward model's word with the last one: Ziegler et al. 2019, eq. 2."""
    rewards = -coefficient * divergence
    rewards[-1] += final
    return rewards


def to_json(rows: Sequence[Experience]) -> list[dict[str, Any]]:
    """For a checkpoint in the middle of a step: float32 passes through JSON unchanged."""
    tensors = ("logps", "values", "advantages", "returns")
    return [
        {
            "prompt": row.rollout.prompt.id,
            "ids": row.rollout.ids,
            "finished": row.rollout.finished,
            "text": row.rollout.text,
            "score": row.score,
            **{name: getattr(row, name).tolist() for name in tensors},
        }
        for row in rows
    ]


def from_json(
    rows: Sequence[dict[str, Any]], prompts: dict[str, AskedPrompt], device: torch.device
) -> list[Experience]:
    return [
        Experience(
            Rollout(prompts[row["prompt"]], row["ids"], row["finished"], row["text"]),
            row["score"],
            *(torch.tensor(row[name], device=device) for name in ("logps", "values", "advantages", "returns")),
        )
        for row in rows
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
