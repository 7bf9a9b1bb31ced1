"""Draws completions token by token, each row from its own seed; rows that have ended are taken out of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import Cache, DynamicCache, PreTrainedModel

from training.ml import cancel
from training.ml.batching import pad
from training.ml.forward import inputs

# The tokens that together make up top_p mostly stand among the first few hundred; where not, all are sorted.
HEAD = 256


@dataclass(frozen=True)
class Drawing:
    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True)
class Completion:
    """`row` counts prompt by prompt, seeds within; `ids` holds the stop token too if it came (`finished`).
    `drawn` is the number of tokens drawn in this batch so far, by all rows."""

    row: int
    ids: list[int]
    finished: bool
    drawn: int


@torch.inference_mode()
def complete(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    *,
    stop: frozenset[int],
    pad_id: int,
    drawing: Drawing,
) -> Iterator[Completion]:
    """One completion for each prompt and each of its seeds (as many for every prompt), yielded as soon as it ends.

    A prompt is read once for all its seeds. Raises Cancelled between two tokens.
    """
    copies = len(seeds[0])
    batch = pad(prompts, pad_id, side="left").to(model.device)
    read = inputs(model, batch)
    body, cache = read.body, read.arguments.pop("past_key_values", None)
    if cache is None:
        cache = DynamicCache(config=model.config)
    logits = _step(body, cache, **read.arguments)
    cache.batch_repeat_interleave(copies)
    logits, mask = (part.repeat_interleave(copies, dim=0) for part in (logits, read.mask))
    generators = [torch.Generator().manual_seed(seed) for row in seeds for seed in row]
    ids: list[list[int]] = [[] for _ in generators]
    live, drawn = list(range(len(generators))), 0
    while True:
        cancel.check()
        tokens = draw(logits, [generators[row] for row in live], drawing)
        drawn += len(live)
        keep = []
        for index, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            ids[row].append(token)
            if token in stop or len(ids[row]) == drawing.max_new_tokens:
                yield Completion(row, ids[row], token in stop, drawn)
            else:
                keep.append(index)
        if not keep:
            return
        if len(keep) < len(live):
            kept = torch.tensor(keep, device=model.device)
            cache.batch_select_indices(kept)
            live, tokens, mask = [live[index] for index in keep], tokens[kept], mask[kept]
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        positions = mask.sum(dim=1, keepdim=True) - 1
        logits = _step(body, cache, input_ids=tokens[:, None], attention_mask=mask, position_ids=positions)


def draw(logits: torch.Tensor, generators: Sequence[torch.Generator], drawing: Drawing) -> torch.Tensor:
    """The next token of each row, shape (rows,): one uniform number of the row's own generator, so that what a row
    draws does not depend on its neighbours. Nucleus sampling (Holtzman et al. 2020), by the inverse of the cumulated
    distribution. Temperature 0 takes the likeliest."""
    if drawing.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / drawing.temperature, dim=-1)
    head, tokens = probabilities.topk(min(HEAD, probabilities.shape[-1]), dim=-1)
    if head.shape[-1] < probabilities.shape[-1] and bool((head.sum(dim=-1) < drawing.top_p).any()):
        head, tokens = probabilities.sort(dim=-1, descending=True)
    cumulated = head.double().cumsum(dim=-1)
    # A token is kept while those before it have not reached top_p: the first one always is.
    kept = ((cumulated - head) < drawing.top_p).sum(dim=-1, keepdim=True)
    mass = cumulated.gather(1, kept - 1)
    uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    place = torch.searchsorted(cumulated, uniform.to(mass.device) * mass, right=True)
    return tokens.gather(1, place.minimum(kept - 1)).squeeze(1)


def _step(body: nn.Module, cache: Cache, **arguments: torch.Tensor | None) -> torch.Tensor:
    """Logits of the last position, shape (rows, vocabulary)."""
    return body(**arguments, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
