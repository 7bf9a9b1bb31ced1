"""Draws completions token by token, each row from its own seed; rows that have ended are taken out of the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import Cache, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.batching import pad
from training.ml.forward import inputs, virtual_tokens
from training.ml.lean_step import LeanSteps
from training.ml.not_finite import require_numbers
from training.ml.row_attention import can_read_rows
from training.ml.slots import Slots
from training.ml.waiting import Text, Waiting

# The tokens that together make up top_p mostly stand among the first few hundred. Where not, the one that is drawn
# mostly still does; all are sorted for the rest.
HEAD = 256
BLOCKS = 16  # the fastest of 8, 16, 24 and 32 for a vocabulary of 49,152
SLACK = 1e-5  # by more than sums of probabilities are rounded
# New prompts enter when this part of the slots is free, an eighth: a free slot costs its share of every step, and each
# reading of prompts about one step more.
REFILL = 8


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


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokenizer's EOS and those of the generation config: some models end a turn with another one."""
    more = model.generation_config.eos_token_id if model.generation_config else None
    return frozenset(
        [tokenizer.eos_token_id, *(more if isinstance(more, list) else [more] if more is not None else [])]
    )


@torch.inference_mode()
def complete(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    *,
    stop: frozenset[int],
    pad_id: int,
    drawing: Drawing,
    rows: int | None = None,
    told: Callable[[int, list[int]], None] | None = None,
) -> Iterator[Completion]:
    """One completion for each prompt and each of its seeds (as many for every prompt), yielded as soon as it ends.

    A prompt is read once for all its seeds. At most `rows` are drawn side by side, all where it is not said; where the
    model can do that, the next prompt takes the place of what has ended, otherwise it waits for the whole batch.
    Raises Cancelled between two tokens. `told` is given row and ids after each token that is not the last one, for
    whoever shows a response while it is written; what it raises ends the drawing.
    """
    ending = Ending(stop, drawing, told)
    if can_read_rows(model) and not virtual_tokens(model) and all(prompts):
        yield from _in_slots(model, prompts, seeds, rows or len(prompts) * len(seeds[0]), ending)
        return
    copies, drawn = len(seeds[0]), 0
    size = max((rows or len(prompts) * copies) // copies, 1)
    for start in range(0, len(prompts), size):
        some = slice(start, start + size)
        last = drawn
        for found in _in_one_batch(model, prompts[some], seeds[some], pad_id, ending, start * copies):
            last = drawn + found.drawn
            yield replace(found, drawn=last)
        drawn = last


@dataclass(frozen=True)
class Ending:
    """How tokens are drawn, when a completion has ended, and who is told of one that has not."""

    stop: frozenset[int]
    drawing: Drawing
    told: Callable[[int, list[int]], None] | None

    def has_come(self, ids: list[int]) -> bool:
        return ids[-1] in self.stop or len(ids) == self.drawing.max_new_tokens

    def goes_on(self, row: int, ids: list[int]) -> None:
        if self.told is not None:
            self.told(row, ids)

    def completion(self, row: int, ids: list[int], drawn: int) -> Completion:
        return Completion(row, ids, ids[-1] in self.stop, drawn)


def _in_slots(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    rows: int,
    ending: Ending,
) -> Iterator[Completion]:
    """Prompts enter in their order; several at once, since reading one by itself costs almost as much."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    waiting = Waiting(model, prompts, seeds)
    most = max(map(len, prompts)) + ending.drawing.max_new_tokens
    lean = LeanSteps.of(body) if body.device.type == "cpu" else None
    slots = Slots(min(rows, len(prompts) * len(seeds[0])), most, lean)
    working: list[Text] = []  # in the order of their slots
    logits = torch.empty(0)
    drawn = 0
    while waiting or working:
        cancel.check()
        free = slots.number - slots.busy
        if waiting and (free >= slots.number / REFILL or not working):
            fresh = _enter(waiting, slots, working, free)
            logits = torch.cat([logits, fresh]) if len(logits) else fresh
        tokens = draw(logits, [text.generator for text in working], ending.drawing)
        drawn += len(working)
        kept_rows = list(range(len(working)))
        for text, token in zip(working, tokens.tolist(), strict=True):
            text.ids.append(token)
        for slot in reversed(range(len(working))):
            text = working[slot]
            if ending.has_come(text.ids):
                last = slots.drop(slot)
                working[slot], kept_rows[slot] = working[last], kept_rows[last]
                working.pop()
                kept_rows.pop()
                yield ending.completion(text.row, text.ids, drawn)
            else:
                ending.goes_on(text.row, text.ids)
        logits = slots.step(body, tokens[kept_rows]) if working else logits[:0]


def _enter(waiting: Waiting, slots: Slots, working: list[Text], free: int) -> torch.Tensor:
    """Logits after the prompts of those that enter. What was read of these lives no longer than this: while their
    responses are drawn, it stands in the slots."""
    entering = waiting.next(free)
    slots.put([kept for _, _, kept in entering])
    working += [text for text, _, _ in entering]
    return torch.stack([first for _, first, _ in entering])


def _in_one_batch(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    pad_id: int,
    ending: Ending,
    first: int,
) -> Iterator[Completion]:
    """As `complete` for rows from `first` on, with transformers' own cache and rows that are padded on the left."""
    copies = len(seeds[0])
    batch = pad(prompts, pad_id, side="left").to(model.device)
    read = inputs(model, batch)
    body, cache = read.body, read.arguments.pop("past_key_values", None)
    if cache is None:
        cache = DynamicCache(config=model.config)
    logits = _step(body, cache, **read.arguments)
    require_numbers(model, logits)
    cache.batch_repeat_interleave(copies)
    logits, mask = (part.repeat_interleave(copies, dim=0) for part in (logits, read.mask))
    generators = [torch.Generator().manual_seed(seed) for row in seeds for seed in row]
    ids: list[list[int]] = [[] for _ in generators]
    live, drawn = list(range(len(generators))), 0
    while True:
        cancel.check()
        tokens = draw(logits, [generators[row] for row in live], ending.drawing)
        drawn += len(live)
        keep = []
        for index, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            ids[row].append(token)
            if ending.has_come(ids[row]):
                yield ending.completion(first + row, ids[row], drawn)
            else:
                keep.append(index)
                ending.goes_on(first + row, ids[row])
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
    uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    uniform = uniform.to(logits.device)
    if drawing.top_p >= 1:  # of all tokens: their order does not matter
        cumulated = probabilities.double().cumsum(dim=-1)
        place = torch.searchsorted(cumulated, uniform * cumulated[:, -1:], right=True)
        return place.clamp_(max=probabilities.shape[-1] - 1).squeeze(1)
    head, tokens = likeliest(probabilities, min(HEAD, probabilities.shape[-1]))
    found = _from_nucleus(head, tokens, uniform, drawing.top_p)
    if head.shape[-1] < probabilities.shape[-1]:
        wide = (head.sum(dim=-1) < drawing.top_p).nonzero().squeeze(1)
        if len(wide):
            found[wide], known = _known_from(head[wide], tokens[wide], uniform[wide], drawing.top_p)
            unknown = wide[~known]
            if len(unknown):
                whole = probabilities[unknown].sort(dim=-1, descending=True)
                found[unknown] = _from_nucleus(*whole, uniform[unknown], drawing.top_p)
    return found


def likeliest(probabilities: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `number` largest of each row [rows, vocabulary], the largest first, and where they stand.

    Each lies in one of as many columns whose largest are the largest, if the vocabulary is written in lines one below
    the other: a CPU finds these in half the time that all tokens would take."""
    rows, vocabulary = probabilities.shape
    width = vocabulary // BLOCKS
    if not probabilities.is_cpu or width <= number:
        return probabilities.topk(number, dim=-1)
    whole = width * BLOCKS
    columns = probabilities[:, :whole].unflatten(1, (BLOCKS, width)).amax(dim=1).topk(number, sorted=False).indices
    places = (columns[:, None] + torch.arange(0, whole, width)[:, None]).flatten(1)
    rest = torch.arange(whole, vocabulary).expand(rows, -1)
    places = torch.cat([places, rest], dim=1)
    found, chosen = probabilities.gather(1, places).topk(number, dim=-1)
    return found, places.gather(1, chosen)


def _from_nucleus(head: torch.Tensor, tokens: torch.Tensor, uniform: torch.Tensor, top_p: float) -> torch.Tensor:
    """Of tokens [rows, some], the likeliest first, with their probabilities `head`; `uniform` is [rows, 1]."""
    cumulated = head.double().cumsum(dim=-1)
    # A token is kept while those before it have not reached top_p: the first one always is.
    kept = ((cumulated - head) < top_p).sum(dim=-1, keepdim=True)
    place = torch.searchsorted(cumulated, uniform * cumulated.gather(1, kept - 1), right=True)
    return tokens.gather(1, place.minimum(kept - 1)).squeeze(1)


def _known_from(
    head: torch.Tensor, tokens: torch.Tensor, uniform: torch.Tensor, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_from_nucleus` where the nucleus goes on beyond `head`, and whether the token is known [rows]. The nucleus
    weighs top_p, and less than one more of the last token here: what is drawn by either bound is what is drawn."""
    cumulated = head.double().cumsum(dim=-1)
    bounds = torch.cat([uniform * (top_p - SLACK), uniform * (top_p + head[:, -1:].double() + SLACK)], dim=1)
    least, most = torch.searchsorted(cumulated, bounds, right=True).unbind(dim=1)
    place = most.clamp(max=head.shape[-1] - 1)
    return tokens.gather(1, place[:, None]).squeeze(1), (least == most) & (most < head.shape[-1])


def _step(body: nn.Module, cache: Cache, **arguments: torch.Tensor | None) -> torch.Tensor:
    """Logits of the last position, shape (rows, vocabulary)."""
    return body(**arguments, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
