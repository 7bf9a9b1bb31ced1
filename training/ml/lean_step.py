"""The next token of each text through all layers of a model on a CPU, in half as many operations as transformers makes.

What a step of decoding computes between its products is so little that an operation costs more to be begun than done,
and so do the modules around it: of a step of 30 layers a tenth (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.ml.frozen_norm import scaled_to_one
from training.ml.packed import PackedLinear, PackedTogether
from training.ml.rotation import rotated
from training.ml.slot_attention import attended

# Of these a layer is norm, attention, sum, norm, gated layers, sum (tests/training/ml/test_lean_step.py).
FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3")
Memory = Sequence[tuple[Tensor, Tensor]]  # for each layer the keys and the values, as training/ml/slots.py keeps them


@dataclass(frozen=True)
class Norm:
    weight: Tensor
    eps: float

    @classmethod
    def of(cls, part: nn.Module) -> Norm:
        return cls(part.weight, part.variance_epsilon)

    def __call__(self, x: Tensor) -> Tensor:
        return scaled_to_one(x, self.weight, self.eps)


@dataclass(frozen=True)
class Heads:
    """How many heads of queries and of keys, and their width."""

    queries: int
    keys: int
    width: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Features of queries and keys, which are turned, and of values, which are not."""
        return (self.queries + self.keys) * self.width, self.keys * self.width


@dataclass(frozen=True)
class Turns:
    """Of queries and keys by their places, with the scaling of the scores in those of the queries: [texts, heads of
    both, width]."""

    cos: Tensor
    sin: Tensor
    scale: Tensor

    @classmethod
    def of(cls, angles: Sequence[Tensor], heads: Heads, scaling: float) -> Turns:
        """`angles` are cosines and sines, [texts, 1, width] each."""
        scale = angles[0].new_ones(heads.queries + heads.keys, 1)
        scale[: heads.queries] = scaling
        return cls(*(part * scale for part in angles), scale)

    def turned(self, looked: Tensor) -> Tensor:
        return rotated(looked, self.cos, self.sin, torch.empty_like(looked), 1)

    def scaled(self, looked: Tensor) -> Tensor:
        return looked * self.scale


@dataclass(frozen=True)
class Layer:
    """Functions of states [texts, width]; `heads_norm` are Qwen3's norms of queries and of keys."""

    before: Norm
    asked: Callable[[Tensor], Tensor]  # queries, keys and values side by side
    heads_norm: tuple[Norm, Norm] | None
    turns: bool
    attended: Callable[[Tensor, Tensor], Tensor]  # with the states that its product is added to
    after: Norm
    gated: Callable[[Tensor], Tensor]  # gate and inner layer side by side
    act: Callable[[Tensor], Tensor]
    left: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LeanSteps:
    body: nn.Module
    heads: Heads
    layers: Sequence[Layer]
    last: Norm

    @classmethod
    def of(cls, body: nn.Module) -> LeanSteps | None:
        """None of a model that is not known here, of which a part has been replaced or is watched by a hook, and in a
        precision whose norms are computed in another one. Layers that multiply may be anything."""
        family = type(body).__name__.removesuffix("ForCausalLM")
        if family not in FAMILIES or not _is_plain(body, family):
            return None
        attention = body.model.layers[0].self_attn
        heads = Heads(body.config.num_attention_heads, body.config.num_key_value_heads, attention.head_dim)
        return cls(body, heads, [_layer(part) for part in body.model.layers], Norm.of(body.model.norm))

    def logits(self, tokens: Tensor, lengths: Tensor, memory: Memory) -> Tensor:
        """[texts, vocabulary] after `tokens` [texts], which are written into `memory` at the places `lengths`."""
        texts, heads, body = len(tokens), self.heads, self.body.model
        states = body.embed_tokens(tokens)
        turns = Turns.of(body.rotary_emb(states, lengths[:, None]), heads, body.layers[0].self_attn.scaling)
        longest = int(lengths.max()) + 1
        since = int(lengths.min()) + 1  # before this place all have something
        hidden = torch.arange(since, longest) > lengths[:, None]
        mask = states.new_zeros(hidden.shape).masked_fill_(hidden, torch.finfo(states.dtype).min)[:, None, None]
        slots = torch.arange(texts)
        for layer, (keys, values) in zip(self.layers, memory, strict=True):
            looked, own = layer.asked(layer.before(states)).split(heads.sizes, dim=-1)
            looked = looked.view(texts, -1, heads.width)
            if layer.heads_norm is not None:
                of_queries, of_keys = layer.heads_norm
                looked = torch.cat([of_queries(looked[:, : heads.queries]), of_keys(looked[:, heads.queries :])], dim=1)
            looked = turns.turned(looked) if layer.turns else turns.scaled(looked)
            keys[slots, :, lengths] = looked[:, heads.queries :]
            values[slots, :, lengths] = own.view(texts, heads.keys, heads.width)
            seen = [part[:texts, :, :longest] for part in (keys, values)]
            found = attended(looked[:, : heads.queries], *seen, mask, since)
            states = layer.attended(found.reshape(texts, -1), states)
            gate, inner = layer.gated(layer.after(states)).chunk(2, dim=-1)
            states = layer.left(layer.act(gate).mul_(inner), states)
        return self.body.get_output_embeddings()(self.last(states))


def _is_plain(body: nn.Module, family: str) -> bool:
    model = body.model
    parts = [(model, "Model"), (model.norm, "RMSNorm"), (model.rotary_emb, "RotaryEmbedding")]
    for layer in model.layers:
        attention = layer.self_attn
        parts += [(layer, "DecoderLayer"), (attention, "Attention"), (layer.mlp, "MLP")]
        norms = (layer.input_layernorm, layer.post_attention_layernorm, *_heads_norms(attention))
        parts += [(norm, "RMSNorm") for norm in norms]
    weights = {part.weight.dtype for part, kind in parts if kind == "RMSNorm"}
    return (
        all(type(part).__name__ in _names(family, kind) and not _is_watched(part) for part, kind in parts)
        and weights == {body.dtype}
        and body.dtype in (torch.float32, torch.float64)
        and not body.training
    )


def _names(family: str, kind: str) -> tuple[str, ...]:
    """Also of the classes that lean_attention.py and frozen_norm.py put in their place, which compute the same."""
    return f"{family}{kind}", f"Lean{family}{kind}", f"Frozen{family}{kind}"


def _is_watched(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks)


def _heads_norms(attention: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(part for name in ("q_norm", "k_norm") if (part := getattr(attention, name, None)) is not None)


def _layer(part: nn.Module) -> Layer:
    attention, mlp = part.self_attn, part.mlp
    of_heads = [Norm.of(norm) for norm in _heads_norms(attention)]
    return Layer(
        before=Norm.of(part.input_layernorm),
        asked=_side_by_side(attention.q_proj, attention.k_proj, attention.v_proj),
        heads_norm=(of_heads[0], of_heads[1]) if of_heads else None,
        turns=bool(getattr(attention, "use_rope", True)),  # some layers of SmolLM3 know no places
        attended=_added_to(attention.o_proj),
        after=Norm.of(part.post_attention_layernorm),
        gated=_side_by_side(mlp.gate_proj, mlp.up_proj),
        act=mlp.act_fn,
        left=_added_to(mlp.down_proj),
    )


def _side_by_side(*layers: nn.Module) -> Callable[[Tensor], Tensor]:
    if all(type(layer) is PackedTogether for layer in layers):
        return layers[0].together.whole
    return lambda x: torch.cat([layer(x) for layer in layers], dim=-1)


def _added_to(layer: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    if type(layer) is PackedLinear:
        return layer.added_to
    return lambda x, states: states + layer(x)
