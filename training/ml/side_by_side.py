"""Answers a few held-out prompts with the policy before and after its training, to be read next to each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml.chat import Messages, text_of
from training.ml.decoding import Drawing, complete, stop_ids
from training.ml.forward import context_of
from training.ml.mixed import cast_once
from training.ml.samples import sample_seed

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
    chosen = asked_of(policy, examples)
    if not chosen:
        return []
    new = answers(policy, tokenizer, chosen, seed)
    with reference() as frozen:
        old = answers(frozen, tokenizer, chosen, seed)
    return [{"prompt": e.prompt, "old": o, "new": n} for e, o, n in zip(chosen, old, new, strict=True)]


def asked_of(model: nn.Module, examples: Sequence[Asked]) -> list[Asked]:
    """The first prompts with room for an answer. Pairs of one prompt may follow each other; each is asked once."""
    first = {tuple(example.prompt_ids): position for position, example in reversed(list(enumerate(examples)))}
    with_room = (examples[position] for position in sorted(first.values()) if _room(model, examples[position]) > 0)
    return list(itertools.islice(with_room, PROMPTS))


def answers(model: nn.Module, tokenizer: PreTrainedTokenizerBase, chosen: list[Asked], seed: int) -> list[str]:
    """A text for each, drawn from its own seed: the same weights give the same texts."""
    stop = stop_ids(model, tokenizer)
    texts = [""] * len(chosen)
    rooms = [_room(model, example) for example in chosen]
    for room in sorted(set(rooms)):
        rows = [row for row, its in enumerate(rooms) if its == room]
        prompts = [chosen[row].prompt_ids for row in rows]
        seeds = [[sample_seed(seed, chosen[row].id, "held-out", 0)] for row in rows]
        drawing = replace(DRAWING, max_new_tokens=room)
        with cast_once(model):
            for found in complete(model, prompts, seeds, stop=stop, pad_id=tokenizer.pad_token_id, drawing=drawing):
                texts[rows[found.row]] = text_of(tokenizer, found.ids)
    return texts


def _room(model: nn.Module, example: Asked) -> int:
    """Tokens that an answer may have: learned positions end with the context."""
    context = context_of(model)
    most = DRAWING.max_new_tokens
    return most if context is None else min(most, context - len(example.prompt_ids))
