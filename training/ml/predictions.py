"""What a model thinks of completions where nothing is learned: with logits of a few tokens at a time.

Over a large vocabulary the logits of a few long texts are gigabytes, which a run would need only after its training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.ml.batching import pad
from training.ml.forward import hidden_states
from training.ml.logprobs import PAD, Sequences, padded_logits
from training.ml.prompts_once import states_before, worthwhile_rows
from training.recipes.shared_rows import FAMILIES, LOGITS_AT_ONCE, LOGITS_AT_ONCE_ON_A_GPU


@dataclass(frozen=True)
class Predictions:
    """Of the tokens of some completions, one completion after another: `states` [tokens, width], of which `head` makes
    logits, `targets` [tokens], and in `rows` [tokens] the completion that each belongs to."""

    states: Tensor
    targets: Tensor
    rows: Tensor
    head: Callable[[Tensor], Tensor]
    vocabulary: int

    def pieces(self) -> Iterator[slice]:
        """Of tokens whose logits are LOGITS_AT_ONCE numbers at most, on a GPU more."""
        size = max(1, (LOGITS_AT_ONCE if self.states.is_cpu else LOGITS_AT_ONCE_ON_A_GPU) // self.vocabulary)
        return (slice(start, start + size) for start in range(0, len(self.targets), size))

    def logits(self, piece: slice) -> Tensor:
        """[tokens of the piece, vocabulary], fp32. The model must be as it was when its states were made."""
        with torch.no_grad():
            return self.head(self.states[piece]).float()


@torch.no_grad()
def predictions(model: nn.Module, sequences: Sequences) -> Predictions:
    """Of all (prompt, completion) pairs of tokens, in one pass. Of a family whose logits are not known to be what its
    output layer gives, they are all made at once, by the model itself."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    vocabulary = body.config.get_text_config().vocab_size
    if body.config.get_text_config().model_type not in FAMILIES:
        logits, targets, rows = padded_logits(model, sequences)
        return Predictions(logits, targets, rows, lambda made: made, vocabulary)
    head = body.get_output_embeddings()
    tokens = [prompt + completion for prompt, completion in sequences]
    if shared := worthwhile_rows(model, tokens, [tuple(prompt) for prompt, _ in sequences]):
        return Predictions(*states_before(model, shared, sequences), head, vocabulary)
    batch = pad(tokens, PAD, side="left").to(next(model.parameters()).device)
    longest = batch.input_ids.shape[1]
    where = [
        (row, column)
        for row, (_, completion) in enumerate(sequences)
        for column in range(longest - len(completion), longest)
    ]
    rows, columns = torch.tensor(where, device=batch.input_ids.device).T
    states = hidden_states(model, batch)[rows, columns - 1]
    return Predictions(states, batch.input_ids[rows, columns], rows, head, vocabulary)


@torch.no_grad()
def logps(found: Predictions) -> Tensor:
    """The log-probability of every token, [tokens]."""
    return torch.cat([chosen(found.logits(piece), found.targets[piece]) for piece in found.pieces()])


def chosen(logits: Tensor, targets: Tensor) -> Tensor:
    """The log-probabilities of `targets` [tokens] by `logits` [tokens, vocabulary], with gradient."""
    return logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
