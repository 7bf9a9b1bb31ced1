"""Sorts sequences by length into batches and pads them, left or right, always with a mask."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Padded:
    """All of shape (rows, longest). Positions count real tokens only, so a row means the same at any padding side."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor

    def to(self, device: torch.device) -> Padded:
        return Padded(self.input_ids.to(device), self.attention_mask.to(device), self.position_ids.to(device))


def sorted_batches(lengths: Sequence[int], size: int, first: int | None = None) -> list[list[int]]:
    """Indices in batches of `size`, shortest first, so that rows of one batch are alike; the first may be smaller."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    head = min(first or size, size)
    return [order[:head], *(order[start : start + size] for start in range(head, len(order), size))] if order else []


def grouped_batches(lengths: Sequence[int], groups: Sequence[Hashable], size: int) -> list[list[int]]:
    """As `sorted_batches`, but those of one group together, wherever a batch of `size` (two at least) holds them."""
    members: dict[Hashable, list[int]] = {}
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        members.setdefault(groups[index], []).append(index)
    size = max(size, 2)
    batches: list[list[int]] = []
    for group in sorted(members.values(), key=lambda found: lengths[found[-1]]):
        for start in range(0, len(group), size):
            part = group[start : start + size]
            if batches and len(batches[-1]) + len(part) <= size:
                batches[-1] += part
            else:
                batches.append(part)
    return batches


def pad(sequences: Sequence[Sequence[int]], pad_id: int, side: Literal["left", "right"] = "right") -> Padded:
    """One rectangular batch. The mask, not the pad id, says what is real: a tokenizer may pad with EOS."""
    longest = max(len(ids) for ids in sequences)
    input_ids = torch.full((len(sequences), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(sequences):
        where = slice(longest - len(ids), longest) if side == "left" else slice(0, len(ids))
        input_ids[row, where] = torch.tensor(ids, dtype=torch.long)
        mask[row, where] = 1
    return Padded(input_ids, mask, positions(mask))


def positions(mask: torch.Tensor) -> torch.Tensor:
    """0, 1, 2, ... over the real tokens of each row; padding gets a harmless in-range number."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def last_real(mask: torch.Tensor) -> torch.Tensor:
    """The index of each row's last real token, shape (rows,)."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)
