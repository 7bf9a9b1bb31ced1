"""The matrices of a model by name and shape, as far as counting needs them: no weights, no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Role = Literal["query", "key", "value", "qkv", "attention_output", "gate", "inner", "inner_output", "other"]


@dataclass(frozen=True)
class Linear:
    """`name` is the one it has within its block; `role` is what it does there."""

    name: str
    inputs: int
    outputs: int
    role: Role
    bias: bool = False

    @property
    def biases(self) -> int:
        return self.outputs if self.bias else 0

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + self.biases


@dataclass(frozen=True)
class Norm:
    """A LayerNorm where it has a bias, an RMSNorm where not. `heads` is how many vectors of `width` it normalises in
    each token."""

    width: int
    bias: bool = False
    heads: int = 1

    @property
    def biases(self) -> int:
        return self.width if self.bias else 0

    @property
    def parameters(self) -> int:
        return self.width + self.biases


@dataclass(frozen=True)
class Architecture:
    """A model as its config.json describes it. All counts are of parameters, tied weights once.

    `blocks_path` is where its blocks stand ("model.layers").
    `known` is False where it is taken for a Llama for want of anything better.
    """

    family: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    inner: int
    context: int
    activation: str
    embeddings: int
    linears: tuple[Linear, ...]
    norms: tuple[Norm, ...]
    first_norm: Norm | None
    final_norm: Norm | None
    tied: bool
    blocks_path: str = "model.layers"
    encoder: bool = False
    transposed: bool = False
    known: bool = True

    @property
    def queries(self) -> int:
        return self.heads * self.head_width

    @property
    def keys(self) -> int:
        return self.key_value_heads * self.head_width

    @property
    def block(self) -> int:
        return sum(part.parameters for part in (*self.linears, *self.norms))

    @property
    def body(self) -> int:
        """Without any head."""
        around = (self.first_norm, self.final_norm)
        return self.embeddings + self.layers * self.block + sum(part.parameters for part in around if part)

    @property
    def output_head(self) -> int:
        """What turns states into words, where it is not the embedding."""
        return 0 if self.tied or self.encoder else self.vocabulary * self.width

    @property
    def policy(self) -> int:
        return self.body + self.output_head

    def score_head(self, members: int = 1) -> int:
        """The head of a reward model: a row for each member."""
        return self.width * members

    def body_of(self, task: str) -> int:
        """As trained for `task`, "policy" or "reward", its head included."""
        return self.policy if task == "policy" else self.body + self.score_head()

    def named_linears(self) -> Iterator[tuple[str, Linear]]:
        """Every linear layer that an adapter can stand beside, with its whole name; heads are none of them."""
        for number in range(self.layers):
            for layer in self.linears:
                yield f"{self.blocks_path}.{number}.{layer.name}", layer
