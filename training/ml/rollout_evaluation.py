"""Measures a policy against its start on held-out prompts: the same prompts, the same seeds, the same reward model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml.evaluate import Figures, wins
from training.ml.intervals import mean, proportion
from training.ml.kl import k1
from training.ml.prompt_data import AskedPrompt
from training.ml.reference import Start
from training.ml.rewarding import Rewarding, cut_by, scores_by
from training.ml.rollout import Rollout, drawing_of, drawn_logps, roll_out
from training.ml.samples import sample_seed
from training.recipes.rollouts import RolloutConfig

MOST = 64  # prompts: a few minutes on two CPU cores, and an interval of a tenth around a share
SHOWN = 3


@torch.inference_mode()
def evaluate_rollouts(
    policy: nn.Module,
    start: Start,
    rewarding: Rewarding,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[AskedPrompt],
    config: RolloutConfig,
    *,
    batch_size: int,
    seed: int,
) -> Figures:
    """Scores before and after, their difference prompt by prompt, the share of prompts on which the new response has
    the higher score, KL (nats per response), length and EOS rate; `samples`: the first few, old and new; `truncated`:
    of how many responses the reward model could not read the end. Where an ensemble rewards by something else than
    its score, the mean of its members, that too before and after, and the difference (`rewarded_gain`)."""
    asked = prompts[:MOST]
    if not asked:
        return {"samples": [], "truncated": 0}
    drawing = drawing_of(config)
    seeds = [sample_seed(seed, prompt.id, "held-out", 0) for prompt in asked]
    with start() as frozen:
        old = roll_out(frozen, tokenizer, asked, seeds, drawing)
    new = roll_out(policy, tokenizer, asked, seeds, drawing)
    rewarded_before, before, cut_before = _scored(rewarding, old)
    rewarded_after, after, cut_after = _scored(rewarding, new)
    changed = [a.ids != b.ids for a, b in zip(old, new, strict=True)]
    gains = _gains(before, after, changed)
    as_rewarded: Figures = {}
    if (rewarded_before, rewarded_after) != (before, after):
        as_rewarded = _as_rewarded(rewarded_before, rewarded_after, changed)
    logps = drawn_logps(policy, new, config.temperature, batch_size)
    with start() as frozen:
        reference = drawn_logps(frozen, new, config.temperature, batch_size)
    return {
        "reward_before": mean(before),
        "reward_after": mean(after),
        "reward_gain": mean(gains),
        "win_rate": wins(gains),
        **as_rewarded,
        "kl": mean([k1(p, q).sum().item() for p, q in zip(logps, reference, strict=True)]),
        "length_before": mean([len(rollout.ids) for rollout in old]),
        "length_after": mean([len(rollout.ids) for rollout in new]),
        "eos_rate_before": _ended(old),
        "eos_rate_after": _ended(new),
        "samples": [_sample(*pair) for pair in list(zip(old, new, strict=True))[:SHOWN]],
        "truncated": cut_before + cut_after,
    }


def _scored(rewarding: Rewarding, rollouts: list[Rollout]) -> tuple[list[float], list[float], int]:
    """What the responses are rewarded with, their scores, and of how many the end was not read."""
    rewards = rewarding(rollouts)
    return rewards, scores_by(rewarding, rewards), cut_by(rewarding)


def _gains(before: list[float], after: list[float], changed: list[bool]) -> list[float]:
    """Scored in another batch, the same response differs in its last bits: it has gained nothing."""
    return [y - x if moved else 0.0 for x, y, moved in zip(before, after, changed, strict=True)]


def _as_rewarded(before: list[float], after: list[float], changed: list[bool]) -> Figures:
    gains = _gains(before, after, changed)
    return {"rewarded_before": mean(before), "rewarded_after": mean(after), "rewarded_gain": mean(gains)}


def _ended(rollouts: list[Rollout]) -> Figures:
    return proportion(sum(rollout.finished for rollout in rollouts), len(rollouts))


def _sample(old: Rollout, new: Rollout) -> dict[str, Any]:
    return {"prompt": old.prompt.messages, "old": old.text, "new": new.text}
