"""Keys and values of texts that grow side by side, each in a slot of its own that is handed on when its text has ended.

Memory is taken beforehand: a token is written where it belongs, and nothing that is there is copied for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from training.ml.lean_step import LeanSteps
from training.ml.mixed import attends_in
from training.ml.prompt_rows import lay_out
from training.ml.row_attention import LINE, in_lines, row_inputs
from training.ml.slot_attention import kept_by_feature, one_token_each

Kept = list[tuple[Tensor, Tensor]]  # for each layer the keys and the values of one text, [heads, tokens, head width]


class Read:
    """Stands where a cache would while prompts are read: takes down what each layer computes, and shows it behind what
    was known of the tokens before."""

    def __init__(self, known: Kept) -> None:
        self.known = known
        self.layers: list[tuple[Tensor, Tensor]] = []

    def update(self, keys: Tensor, values: Tensor, _layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        before = self.known[len(self.layers)] if self.known else ()
        self.layers.append((keys, values))
        if not before:
            return keys, values
        shown = [
            torch.cat([part.expand(len(new), -1, -1, -1), new], dim=2)
            for part, new in zip(before, (keys, values), strict=True)
        ]
        return shown[0], shown[1]

    def get_seq_length(self, *_: object) -> int:
        return 0


class Slots:
    """`number` slots, of up to `most` tokens each. The texts at work stand in the first ones, so that they are a batch
    as they are; `lengths` [slots] says how many tokens each has. As a cache it takes one new token for each of them.

    On a CPU keys or values lie feature by feature, as `slot_attention` reads them; whoever asks sees [slots, heads,
    tokens, head width] all the same. There `lean` takes the steps of a model that it knows."""

    def __init__(self, number: int, most: int, lean: LeanSteps | None = None) -> None:
        self.number, self.most = number, most
        self.lean = lean
        self.busy = 0
        self.lengths = torch.zeros(number, dtype=torch.long)
        self.longest = 0  # of those at work, with the token that is being written; on a GPU up to some more
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._where: tuple[Tensor, Tensor] | None = None  # slot and place of that token, on the model's device

    def put(self, texts: Sequence[Kept]) -> None:
        """Texts whose tokens have been read; they take the first free slots. Room for the longest text is taken with
        the first ones, be they shorter: what grows is held twice meanwhile, and the heap of a CPU keeps the pieces."""
        if not self._layers:
            self._layers = [self._layer(parts) for parts in texts[0]]
        for kept in texts:
            length = kept[0][0].shape[1]
            for layer, parts in zip(self._layers, kept, strict=True):
                for memory, part in zip(layer, parts, strict=True):
                    memory[self.busy, :, :length] = part
            self.lengths[self.busy] = length
            self.busy += 1

    def _layer(self, parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        made = []
        for part, by_feature in zip(parts, kept_by_feature(parts[0].device), strict=True):
            heads, _, width = part.shape
            if by_feature:
                made.append(part.new_zeros(self.number, heads, width, self.most).transpose(2, 3))
            else:
                made.append(part.new_zeros(self.number, heads, self.most, width))
        return made[0], made[1]

    def drop(self, slot: int) -> int:
        """The text has ended: the last one at work moves into its slot. Returns where that one stood."""
        last = self.busy - 1
        if slot != last:
            length = int(self.lengths[last])
            for layer in self._layers:
                for memory in layer:
                    memory[slot, :, :length] = memory[last, :, :length]
            self.lengths[slot] = self.lengths[last]
        self.busy = last
        return last

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """One token each, [busy, heads, 1, head width]; what they may look at, [busy, heads, longest, head width]."""
        (slots, places), found = self._where, []
        for memory, part in zip(self._layers[layer], (keys, values), strict=True):
            memory.transpose(1, 2)[slots, places] = part[:, :, 0]
            found.append(memory[: self.busy, :, : self.longest])
        return found[0], found[1]

    def get_seq_length(self, *_: object) -> int:
        return self.longest - 1

    def step(self, body: nn.Module, tokens: Tensor) -> Tensor:
        """Logits after the next token of each text at work, [busy, vocabulary]."""
        lengths = self.lengths[: self.busy]
        if self.lean is not None:
            logits = self.lean.logits(tokens, lengths, self._layers)
        else:
            logits = self._step(body, tokens, lengths)
        lengths += 1
        return logits

    def _step(self, body: nn.Module, tokens: Tensor, lengths: Tensor) -> Tensor:
        device = tokens.device
        self.longest = int(lengths.max()) + 1
        if in_lines(device):
            self.longest = min(-(-self.longest // LINE) * LINE, self.most)
        self._where = torch.arange(self.busy, device=device), lengths.to(device)
        kind = attends_in(body)
        seen = torch.arange(self.longest) <= lengths[:, None]
        mask = torch.zeros(seen.shape, dtype=kind).masked_fill_(~seen, torch.finfo(kind).min)[:, None, None].to(device)
        with one_token_each(body) if device.type == "cpu" else nullcontext():
            return body(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=self._where[1][:, None],
                past_key_values=self,
                use_cache=True,
            ).logits[:, -1]


def read_prompts(
    model: nn.Module, prompts: Sequence[Sequence[int]], known: Kept | None = None
) -> tuple[Tensor, list[Kept]]:
    """Logits after each prompt, [prompts, vocabulary], and its keys and values; what prompts begin with alike is read
    once, and not at all where it is `known`: the keys and values of tokens that all of them begin with, and none ends
    with."""
    device = next(model.parameters()).device
    before = known[0][0].shape[1] if known else 0
    prompts = [prompt[before:] for prompt in prompts]
    rows = lay_out(prompts, [tuple(prompt) for prompt in prompts]).to(device)
    read, taken = row_inputs(model, rows, before), Read(known or [])
    states = read.body.base_model(**read.arguments, past_key_values=taken, use_cache=True).last_hidden_state
    ends = rows.at([len(prompt) - 1 for prompt in prompts], [len(prompt) for prompt in prompts])
    logits = read.body.get_output_embeddings()(states[ends])
    kept = []
    for row, columns in rows.places:
        where = torch.tensor(columns, device=device)
        own = [(keys[row][:, where], values[row][:, where]) for keys, values in taken.layers]
        kept.append(_joined(known, own) if known else own)
    return logits, kept


def _joined(first: Kept, second: Kept) -> Kept:
    """What stands behind one another in one text."""
    pairs = zip(first, second, strict=True)
    return [(torch.cat([k, keys], dim=1), torch.cat([v, values], dim=1)) for (k, v), (keys, values) in pairs]


def beginning(kept: Kept, tokens: int) -> Kept:
    """Of the first `tokens` of a text, in memory of their own."""
    return [(keys[:, :tokens].clone(), values[:, :tokens].clone()) for keys, values in kept]
