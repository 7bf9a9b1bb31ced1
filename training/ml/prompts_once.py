"""Computes what sequences share once, with gradient: the prompt of a pair, or of many responses, in training too.

A prompt that both responses of a pair stand behind is half of what is computed for it, or more. The result is that of
reading each sequence by itself, to rounding: a token attends to the same tokens at the same positions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from training.ml.prompt_rows import Rows, lay_out
from training.ml.row_attention import can_read_rows, row_inputs

# Of the tokens that a padded batch would compute: rows that save less are not worth their mask.
WORTH = 0.9


def worthwhile_rows(model: nn.Module, sequences: Sequence[Sequence[int]], groups: Sequence[Hashable]) -> Rows | None:
    """The rows of the sequences, those of a group in one row, on the model's device. None where the model cannot read
    rows, or a padded batch would not be noticeably more to compute."""
    if len(sequences) < 2 or not can_read_rows(model):
        return None
    rows = lay_out(sequences, groups)
    padded = len(sequences) * max(map(len, sequences))
    return rows.to(next(model.parameters()).device) if rows.input_ids.numel() < WORTH * padded else None


def shared_logits(
    model: nn.Module, rows: Rows, sequences: Sequence[tuple[list[int], list[int]]]
) -> tuple[Tensor, Tensor, Tensor]:
    """As `logprobs.completion_logits`. The output layer is put to those states alone that predict a completion."""
    states, targets, whose = states_before(model, rows, sequences)
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    return body.get_output_embeddings()(states).float(), targets, whose


def states_before(
    model: nn.Module, rows: Rows, sequences: Sequence[tuple[list[int], list[int]]]
) -> tuple[Tensor, Tensor, Tensor]:
    """The states that predict the tokens of the completions [tokens, width], those tokens, and the sequence that each
    belongs to [tokens]."""
    ends = [len(prompt) + len(completion) for prompt, completion in sequences]
    before = rows.at([len(prompt) - 1 for prompt, _ in sequences], [end - 1 for end in ends])
    after = rows.at([len(prompt) for prompt, _ in sequences], ends)
    # On the host, and before the model: a GPU is not waited for then.
    lengths = torch.tensor([len(completion) for _, completion in sequences])
    whose = torch.arange(len(sequences)).repeat_interleave(lengths).to(rows.input_ids.device)
    return _states(model, rows)[before], rows.input_ids[after], whose


def shared_features(model: nn.Module, rows: Rows) -> Tensor:
    """As `scoring.features` of a decoder: the states of every sequence's last token, fp32, [sequences, width]."""
    ends = [len(columns) for _, columns in rows.places]
    return _states(model, rows)[rows.at([end - 1 for end in ends], ends)].float()


def _states(model: nn.Module, rows: Rows) -> Tensor:
    """[rows, longest, width], with gradient."""
    read = row_inputs(model, rows)
    return read.body.base_model(**read.arguments, use_cache=False).last_hidden_state[:, read.cut :]
