"""Answers a few held-out prompts with the policy before and after its training, to be read next to each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml.chat import text_of
from training.ml.decoding import Drawing, complete
from training.ml.pairs import Pair
from training.ml.samples import sample_seed
from training.ml.sampling import stop_ids

PROMPTS = 3
# Enough to see the manner of an answer; half a minute on two CPU cores.
DRAWING = Drawing(temperature=0.7, top_p=0.9, max_new_tokens=80)


def old_and_new(
    policy: nn.Module,
    reference: Callable[[], AbstractContextManager[nn.Module]],
    tokenizer: PreTrainedTokenizerBase,
    pairs: list[Pair],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """[{"prompt": messages, "old": text, "new": text}] for the first held-out prompts, both with the same seeds."""
    # Pairs of one prompt may follow each other; each prompt is asked once.
    first = {tuple(pair.prompt_ids): pair for pair in reversed(pairs)}
    chosen = sorted(first.values(), key=pairs.index)[:PROMPTS]
    if not chosen:
        return []
    new = _answers(policy, tokenizer, chosen, seed)
    with reference() as frozen:
        old = _answers(frozen, tokenizer, chosen, seed)
    return [{"prompt": p.prompt, "old": o, "new": n} for p, o, n in zip(chosen, old, new, strict=True)]


def _answers(model: nn.Module, tokenizer: PreTrainedTokenizerBase, pairs: list[Pair], seed: int) -> list[str]:
    prompts = [pair.prompt_ids for pair in pairs]
    seeds = [[sample_seed(seed, pair.id, "held-out", 0)] for pair in pairs]
    stop = stop_ids(model, tokenizer)
    texts = [""] * len(pairs)
    for completion in complete(model, prompts, seeds, stop=stop, pad_id=tokenizer.pad_token_id, drawing=DRAWING):
        texts[completion.row] = text_of(tokenizer, completion.ids)
    return texts
