"""Reads a prompt once for all responses to it, where nothing is learned from the reading."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from training.ml.batching import last_real, pad, sorted_batches
from training.ml.encoder import EncoderForReward
from training.ml.scoring import features, inner

Text = tuple[list[int], list[int]]  # tokens of the prompt and of the response
# Tokens that must be saved before responses are read apart from other prompts': many short rows at once are fast too.
WORTH = 256


def in_batches(texts: Sequence[Text], size: int) -> list[list[int]]:
    """Positions in batches of at most `size`: the responses to a prompt together where that saves much, and all others
    sorted by length."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for position, (prompt, _response) in enumerate(texts):
        groups.setdefault(tuple(prompt), []).append(position)
    worth = [group for prompt, group in groups.items() if len(prompt) * (len(group) - 1) >= WORTH]
    found = [group[start : start + size] for group in worth for start in range(0, len(group), size)]
    alone = sorted(set(range(len(texts))).difference(*found))
    lengths = [len(texts[position][0]) + len(texts[position][1]) for position in alone]
    return found + [[alone[index] for index in batch] for batch in sorted_batches(lengths, size)]


@torch.no_grad()
def features_of(model: nn.Module, texts: Sequence[Text], pad_id: int) -> Tensor:
    """The features of each text, [texts, width] in float32: what `scoring.features` finds, to rounding. A decoder reads
    a prompt that all of them share once; an encoder's prompt depends on what comes after it."""
    device = next(model.parameters()).device
    prompt = texts[0][0]
    shared = len(texts) > 1 and prompt and all(text[0] == prompt for text in texts)
    if not shared or isinstance(inner(model), EncoderForReward):
        return features(model, pad([before + after for before, after in texts], pad_id).to(device))
    body, cache = inner(model).base_model, DynamicCache(config=inner(model).config)
    body(input_ids=torch.tensor([prompt], device=device), past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(texts))
    batch = pad([response for _prompt, response in texts], pad_id).to(device)
    read = batch.attention_mask.new_ones(len(texts), len(prompt))
    hidden = body(
        input_ids=batch.input_ids,
        attention_mask=torch.cat([read, batch.attention_mask], dim=1),
        position_ids=batch.position_ids + len(prompt),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return hidden[torch.arange(len(texts), device=device), last_real(batch.attention_mask)].float()
