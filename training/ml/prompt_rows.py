"""Lays sequences that begin alike into rows where what they share stands once: a prompt, then each of its responses."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from training.recipes.shared_rows import deal


@dataclass(frozen=True)
class Rows:
    """Tokens and their positions, [rows, longest]; `visible` [rows, 1, longest, longest] is true where a token (third
    dimension) may look at another one: at itself and at what comes before it in its own sequence.

    `places` says for each sequence in which row it lies, and in which column each of its tokens."""

    input_ids: Tensor
    position_ids: Tensor
    visible: Tensor
    places: list[tuple[int, list[int]]]

    def to(self, device: torch.device) -> Rows:
        return Rows(self.input_ids.to(device), self.position_ids.to(device), self.visible.to(device), self.places)

    def at(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Row and column of the tokens start..stop of each sequence, one sequence after another, [tokens] each."""
        found = [
            (row, column)
            for (row, columns), first, last in zip(self.places, start, stop, strict=True)
            for column in columns[first:last]
        ]
        where = torch.tensor(found, device=self.input_ids.device)
        return where[:, 0], where[:, 1]


class Tree:
    """The tokens of one row. A token that comes after the same ones as another, and is the same, is that other."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._known: dict[tuple[int, int], int] = {}

    def add(self, sequence: Sequence[int]) -> list[int]:
        """The column of each of its tokens."""
        columns, parent = [], -1
        for depth, token in enumerate(sequence):
            column = self._known.setdefault((parent, token), len(self.tokens))
            if column == len(self.tokens):
                self.tokens.append(token)
                self.parents.append(parent)
                self.depths.append(depth)
            columns.append(column)
            parent = column
        return columns

    def visible(self, longest: int) -> numpy.ndarray:
        """[longest, longest]; padding looks at itself, since a softmax needs something to look at."""
        found = numpy.eye(longest, dtype=bool)
        for column, parent in enumerate(self.parents):
            if parent >= 0:
                found[column] |= found[parent]
        return found


def lay_out(sequences: Sequence[Sequence[int]], groups: Sequence[Hashable]) -> Rows:
    """Sequences of one group share a row; groups are dealt out so that rows come out about as long as each other."""
    members: dict[Hashable, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(position)
    found = list(members.values())
    sizes = [_size([sequences[position] for position in group]) for group in found]
    rows = deal(sizes, _common([sequences[group[0]] for group in found]))
    trees = [Tree() for _ in range(max(rows) + 1)]
    places = {
        position: (row, trees[row].add(sequences[position]))
        for row, group in zip(rows, found, strict=True)
        for position in group
    }
    return _padded(trees, [places[position] for position in range(len(sequences))])


def _size(sequences: Sequence[Sequence[int]]) -> int:
    tree = Tree()
    for sequence in sequences:
        tree.add(sequence)
    return len(tree.tokens)


def _common(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with."""
    alike = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*sequences, strict=False))
    return sum(1 for _ in alike)


def _padded(trees: Sequence[Tree], places: list[tuple[int, list[int]]]) -> Rows:
    longest = max(len(tree.tokens) for tree in trees)
    ids, positions = torch.zeros(2, len(trees), longest, dtype=torch.long)
    for row, tree in enumerate(trees):
        ids[row, : len(tree.tokens)] = torch.tensor(tree.tokens)
        positions[row, : len(tree.tokens)] = torch.tensor(tree.depths)
    visible = torch.from_numpy(numpy.stack([tree.visible(longest) for tree in trees]))
    return Rows(ids, positions, visible[:, None], places)
