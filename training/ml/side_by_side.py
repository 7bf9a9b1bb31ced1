"""Answers a few held-out prompts with the policy before and after its training, to be read next to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml.chat import Messages, text_of
from training.ml.decoding import Drawing, complete
from training.ml.samples import sample_seed
from training.ml.sampling import stop_ids

PROMPTS = 3
# Enough to see the manner of an answer; half a minute on two CPU cores.
DRAWING = Drawing(temperature=0.7, top_p=0.9, max_new_tokens=80)


class Asked(Protocol):
    """A held-out example: a pair, a demonstration."""

    id: str
    prompt: Messages
    prompt_ids: list[int]


def old_and_new(
    policy: nn.Module,
    reference: Callable[[], AbstractContextManager[nn.Module]],
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Asked],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """[{"prompt": messages, "old": text, "new": text}] for the first held-out prompts, both with the same seeds."""
    # Pairs of one prompt may follow each other; each prompt is asked once.
    first = {tuple(example.prompt_ids): position for position, example in reversed(list(enumerate(examples)))}
    chosen = [examples[position] for position in sorted(first.values())[:PROMPTS]]
    if not chosen:
        return []
    new = _answers(policy, tokenizer, chosen, seed)
    with reference() as frozen:
        old = _answers(frozen, tokenizer, chosen, seed)
    return [{"prompt": e.prompt, "old": o, "new": n} for e, o, n in zip(chosen, old, new, strict=True)]


def _answers(model: nn.Module, tokenizer: PreTrainedTokenizerBase, chosen: list[Asked], seed: int) -> list[str]:
    prompts = [example.prompt_ids for example in chosen]
    seeds = [[sample_seed(seed, example.id, "held-out", 0)] for example in chosen]
    stop = stop_ids(model, tokenizer)
    texts = [""] * len(chosen)
    for completion in complete(model, prompts, seeds, stop=stop, pad_id=tokenizer.pad_token_id, drawing=DRAWING):
        texts[completion.row] = text_of(tokenizer, completion.ids)
    return texts
