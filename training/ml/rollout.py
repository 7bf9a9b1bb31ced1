"""Lets the policy answer prompts, each response from its own seed, and says how likely its tokens were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.ml.batching import sorted_batches
from training.ml.chat import text_of
from training.ml.decoding import Drawing, complete, stop_ids
from training.ml.logprobs import completion_logits
from training.ml.mixed import cast_once
from training.ml.prompt_data import AskedPrompt
from training.recipes.rollouts import RolloutConfig
from training.recipes.shared_rows import DRAWN_AT_ONCE


@dataclass(frozen=True)
class Rollout:
    """A response with its tokens, the stop token included if it came (`finished`); `text` is what a reader gets."""

    prompt: AskedPrompt
    ids: list[int]
    finished: bool
    text: str

    @property
    def sequence(self) -> tuple[list[int], list[int]]:
        return self.prompt.ids, self.ids

    @property
    def length(self) -> int:
        return len(self.prompt.ids) + len(self.ids)


def drawing_of(config: RolloutConfig) -> Drawing:
    """From the whole vocabulary: cut to top-p, what is drawn from would not be what is trained."""
    return Drawing(config.temperature, 1.0, config.max_new_tokens)


def roll_out(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[AskedPrompt],
    seeds: Sequence[int],
    drawing: Drawing,
) -> list[Rollout]:
    """One response to each prompt, in order. Raises Cancelled between two tokens."""
    stop, found = stop_ids(model, tokenizer), {}
    order = sorted(range(len(prompts)), key=lambda i: prompts[i].length)
    ids, draws, pad_id = [prompts[i].ids for i in order], [[seeds[i]] for i in order], tokenizer.pad_token_id
    with cast_once(model):
        for drawn in complete(model, ids, draws, stop=stop, pad_id=pad_id, drawing=drawing, rows=DRAWN_AT_ONCE):
            asked = order[drawn.row]
            found[asked] = Rollout(prompts[asked], drawn.ids, drawn.finished, text_of(tokenizer, drawn.ids))
    return [found[i] for i in range(len(prompts))]


def logps_and_entropy(model: nn.Module, rollouts: Sequence[Rollout], temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of every response token and the entropy where it was drawn, both [tokens], row after row; of
    the distribution that was drawn from, softmax(logits / temperature). The entropy has no gradient."""
    logits, targets, _ = completion_logits(model, [rollout.sequence for rollout in rollouts])
    logits = logits / temperature
    normal = logits.logsumexp(dim=1)
    with torch.no_grad():
        entropy = normal - (torch.softmax(logits, dim=1) * logits).sum(dim=1)
    return logits.gather(1, targets[:, None])[:, 0] - normal, entropy


def by_response(tokens: Tensor, rollouts: Sequence[Rollout]) -> tuple[Tensor, ...]:
    """What stands row after row in one tensor [tokens], as one tensor a response."""
    return tokens.split([len(rollout.ids) for rollout in rollouts])


@torch.no_grad()
def drawn_logps(model: nn.Module, rollouts: Sequence[Rollout], temperature: float, batch_size: int) -> list[Tensor]:
    """Of each response the log-probabilities of its tokens, [tokens], in order."""
    found: dict[int, Tensor] = {}
    for batch in sorted_batches([rollout.length for rollout in rollouts], batch_size):
        rows = [rollouts[i] for i in batch]
        found |= dict(zip(batch, by_response(logps_and_entropy(model, rows, temperature)[0], rows), strict=True))
    return [found[i] for i in range(len(rollouts))]
