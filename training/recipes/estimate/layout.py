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
class Stacked:
    """`count` matrices of one shape that are no linear layers: the experts of a mixture, or what chooses among them.
    A token meets `met` of them. Of those that a LoRA on all layers stands beside nevertheless, PEFT takes the rank
    `ranks` times (0: it leaves them alone)."""

    count: int
    inputs: int
    outputs: int
    met: int
    ranks: int = 0

    @property
    def parameters(self) -> int:
        return self.count * self.inputs * self.outputs


@dataclass(frozen=True)
class WrittenOut:
    """Attention that no kernel computes: Python keeps the probabilities of every head, length by length, and, where
    `keeps_mask`, one more of the mask, where scores are `capped`, the bent ones. Where tokens look at embeddings of
    `reach` distances, it keeps what that gives: for queries (`c2p`), for keys (`p2c`)."""

    keeps_mask: bool = False
    capped: bool = False
    reach: int = 0
    c2p: bool = False
    p2c: bool = False

    @property
    def kinds(self) -> int:
        return self.c2p + self.p2c


@dataclass(frozen=True)
class Dropout:
    """Where a model drops a share of its own numbers while it is trained: behind its embeddings, of attention's
    probabilities, behind the two halves of a block."""

    embeddings: bool = False
    attention: bool = False
    residual: bool = False


@dataclass(frozen=True)
class Architecture:
    """A model as its config.json describes it. All counts are of parameters, tied weights once.

    `blocks_path` is where its blocks stand ("model.layers"); where blocks share their weights, `stored` of them do.
    `around` are linear layers outside of the blocks, by their whole names, `beside` what else has weights there, and
    `lacking` is a norm that the first block does without.
    `word_width` is the width of the words' embedding where it is not that of the states.
    `placeless` are adapter methods that do not know the names of its layers (training/ml/blocks.py).
    `written_out` is its attention where no kernel computes it, `dropout` what it drops where a recipe lets it.
    `experts` of a mixture are what chooses among them, their first matrices (gate and inner in one), and their last.
    `capped`: its logits are bent to stay below a limit (Gemma 2).
    `window`: so many tokens, itself included, a token looks back in some layers or all; 0 where all see all.
    `left_out` are entries of the config.json that speak of more than is counted (`families.NOT_COUNTED`).
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
    stored: int | None = None
    around: tuple[Linear, ...] = ()
    beside: tuple[Linear | Norm, ...] = ()
    lacking: Norm | None = None
    experts: tuple[Stacked, ...] = ()
    word_width: int | None = None
    placeless: tuple[str, ...] = ()
    written_out: WrittenOut | None = None
    dropout: Dropout = Dropout()
    capped: bool = False
    window: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def queries(self) -> int:
        return self.heads * self.head_width

    @property
    def keys(self) -> int:
        return self.key_value_heads * self.head_width

    @property
    def words(self) -> int:
        """What a word's embedding takes."""
        return self.word_width or self.width

    @property
    def through_experts(self) -> int:
        """Of `inner`, the part that lies within the experts a token meets."""
        return self.experts[-1].met * self.experts[-1].inputs if self.experts else 0

    @property
    def blocks(self) -> int:
        """How many there are, each counted once however often a token meets it."""
        return self.stored or self.layers

    @property
    def block(self) -> int:
        return sum(part.parameters for part in (*self.linears, *self.norms, *self.experts))

    @property
    def outside(self) -> tuple[Linear | Norm, ...]:
        """All parts but blocks and embeddings."""
        norms = (norm for norm in (self.first_norm, self.final_norm) if norm)
        return (*self.around, *self.beside, *norms)

    @property
    def body(self) -> int:
        """Without any head."""
        return self.embeddings + self.last_blocks(self.blocks) + sum(part.parameters for part in self.outside)

    def last_blocks(self, count: int) -> int:
        lacking = self.lacking.parameters if self.lacking and count == self.blocks else 0
        return count * self.block - lacking

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

    def counted_linears(self) -> Iterator[tuple[Linear, int]]:
        """Every kind of linear layer that an adapter can stand beside, and how many there are; heads are none."""
        yield from ((layer, 1) for layer in self.around)
        yield from ((layer, self.blocks) for layer in self.linears)

    def linears_named(self, name: str) -> Iterator[tuple[Linear, range]]:
        """Of them those whose whole name ends in `name`, at a dot, and the blocks that they stand in: all, or the one
        that `name` numbers."""
        for layer in self.around:
            if f".{layer.name}".endswith(f".{name}"):
                yield layer, range(1)
        for layer in self.linears:
            before, found, after = f".{name}".rpartition(f".{layer.name}")
            number = before.rpartition(".")[2]
            if f".{layer.name}".endswith(f".{name}"):
                yield layer, range(self.blocks)
            elif found and not after and self._is_block(number) and f".{self.blocks_path}.{number}".endswith(before):
                yield layer, range(int(number), int(number) + 1)

    def _is_block(self, number: str) -> bool:
        return number in map(str, range(self.blocks))
