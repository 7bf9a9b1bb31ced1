"""What autograd keeps of a forward pass until its backward pass, tensor by tensor as torch and transformers keep it.

The tests count the same tensors with `torch.autograd.graph.saved_tensors_hooks` and hold the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.recipes.adapters import HEAD, LOW_RANK, VIRTUAL_TOKENS, AdapterConfig
from training.recipes.estimate.adapters import BOTTLENECKS, KEYS_AND_VALUES, targeted
from training.recipes.estimate.layout import Architecture, Linear, Norm, WrittenOut
from training.recipes.kept import adds_as_computed
from training.recipes.shared_rows import GROUPED_QUERY, is_worth_its_mask

SINGLE, HALF = 4, 2  # bytes of a number of fp32 and bf16
PLACE = 8  # of an index
BEFORE_THE_TEXT = ("prefix", "p_tuning_v2")  # virtual tokens that are keys and values alone
# How many tensors of the inner width an activation function, written out in Python, keeps; a fused one keeps its input.
WRITTEN_OUT = {"gelu_new": 4, "gelu_fast": 4}


@dataclass(frozen=True)
class Batch:
    """`rows` sequences of `length` tokens, padded where `padded`; `kept` of each row's tokens are a response, for which
    logits are made. A number takes `width` bytes: 2 for bf16, 4 for fp32. `own_dropout`: the model drops what its
    config says; `gpu`: a GPU's kernels compute it, whose masks take a byte a number and whose attention keeps none."""

    rows: int
    length: int
    kept: int
    width: int = SINGLE
    padded: bool = True
    one_mask: bool = False  # made beforehand for all layers, not by the kernel in each
    own_dropout: bool = False
    gpu: bool = False

    @property
    def tokens(self) -> int:
        return self.rows * self.length

    @property
    def dropped(self) -> int:
        """Bytes of a number of what is kept of a dropout in fp32: on a CPU it is a factor."""
        return 1 if self.gpu else SINGLE

    def in_plain_steps(self, model: Architecture) -> bool:
        """Whether torch computes attention step by step, as it does on a CPU where probabilities are dropped."""
        return self.own_dropout and model.dropout.attention and not self.gpu


def saved_bytes(model: Architecture, config: AdapterConfig, batch: Batch, *, checkpointing: bool = False) -> int:
    """Of the body, from the embedding to the last states; logits are not in it, and with `checkpointing` of each block
    its input alone."""
    if config.adapter == HEAD:
        return 0  # nothing that is trained lies below the last states
    _, length = _lengths(config, batch)
    tokens = batch.rows * length
    blocks = config.layers if config.adapter == "last_layers" else model.layers
    around = tokens * (_around(model, config, batch.width) + _dropped_words(model, config, batch))
    around += _mask_for_all(model, config, batch)
    if checkpointing:
        return around + blocks * tokens * model.width * batch.width
    left = _before_the_first(model, config, batch) if config.adapter == "houlsby" else 0
    return around + blocks * block_bytes(model, config, batch) - left


def block_bytes(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    """Of one block that learns: with checkpointing there is one at a time, once it has been computed again."""
    if config.adapter == HEAD:
        return 0
    keys, length = _lengths(config, batch)
    found = batch.rows * length * _per_token(model, config, batch, keys, length) + _per_layer(model, config)
    if _beside_experts(model, config):  # PEFT makes every expert anew with what stands beside it
        found += batch.width * sum(part.parameters for part in model.experts)
    return found + _of_distances(model, batch, keys)


def _lengths(config: AdapterConfig, batch: Batch) -> tuple[int, int]:
    """Of a row: keys, and tokens. What is before the text as keys and values takes no part in the rest."""
    keys = batch.length + (config.virtual_tokens if config.adapter in VIRTUAL_TOKENS else 0)
    return keys, batch.length if config.adapter in BEFORE_THE_TEXT else keys


def working_bytes(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    """Gradients on their way through one block: of its states and of the inner activation, or of what attention that is
    written out makes of the scores, from probabilities to distances."""
    passed = model.width + 2 * model.inner
    if not _is_gated(model) and model.activation not in WRITTEN_OUT and _learns_in(model, config, "inner_output"):
        passed -= model.inner  # what went into the last layer is gone by then
    if written := model.written_out:
        passed = max(passed, model.heads * max((2 + written.capped + written.kinds) * batch.length, written.reach))
    if batch.in_plain_steps(model):
        passed = max(passed, 2 * model.heads * batch.length)
    return batch.tokens * batch.width * passed


def _per_token(model: Architecture, config: AdapterConfig, batch: Batch, keys: int, length: int) -> int:
    width = batch.width
    found = _attention(model, config, batch, keys, length) + _inner(model) * width
    found += _of_experts(model, config, batch)
    found += sum(_norm(norm, _trains_the_base(config), width) for norm in model.norms)
    if batch.own_dropout and model.dropout.residual:
        found += 2 * model.width * (1 if batch.gpu else width)
    return found + _of_adapter(model, config, batch)


def _dropped_words(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    """Of a dropout behind the embeddings, where there is a gradient to go through it."""
    if not (batch.own_dropout and model.dropout.embeddings and config.adapter in ("full", "p_tuning", "prompt_tuning")):
        return 0
    return model.width * (1 if batch.gpu else batch.width)


def _attention(model: Architecture, config: AdapterConfig, batch: Batch, keys: int, length: int) -> int:
    """Queries, keys, values, what comes of them, the logarithm of each head's sum, and, where rows are padded, the
    mask, which the kernel copies for every layer. With a mask, grouped keys and values are repeated for every query,
    but where `is_grouped_query`."""
    if model.written_out:
        return _written_out(model, model.written_out, config, batch, keys)
    if batch.in_plain_steps(model):
        # Probabilities, what decides which of them are dropped, and what is left.
        states = 3 + _learns_from_attention(model, config)
        return batch.width * (states * model.queries + 3 * model.heads * keys)
    longer = keys / length  # keys and values before the text
    if is_grouped_query(model, config, batch):
        again = _learns_from_attention(model, config)  # what comes of it, in the order that the next layer is given
        return int(batch.width * ((2 + again) * model.queries + 2 * model.keys * longer)) + SINGLE * model.heads
    repeated = model.queries if batch.padded else model.keys
    if not batch.padded:
        return batch.width * (2 * model.queries + 2 * repeated) + SINGLE * model.heads
    mask = 0 if batch.one_mask else keys
    return int(batch.width * (2 * model.queries + 2 * repeated * longer + mask)) + SINGLE * model.heads


def is_grouped_query(model: Architecture, config: AdapterConfig, batch: Batch) -> bool:
    """Whether heads that share keys are one long query (training/ml/lean_attention.py); the mask is repeated for it."""
    _, tokens = _lengths(config, batch)
    plain = batch.padded and not batch.gpu and not batch.in_plain_steps(model)
    return plain and _is_grouped(model, tokens, learning=True)


def _is_grouped(model: Architecture, tokens: int, *, learning: bool) -> bool:
    heads, key_heads = model.heads, model.key_value_heads
    grouped = heads > key_heads and model.family in GROUPED_QUERY
    return grouped and is_worth_its_mask(tokens, heads, key_heads, model.head_width, learning=learning)


def repeated_for_reading(model: Architecture, tokens: int) -> int:
    """How often the mask of texts of so many `tokens` is repeated on a CPU where nothing is learned."""
    return model.heads // model.key_value_heads if _is_grouped(model, tokens, learning=False) else 0


def _mask_for_all(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    """The one mask of all layers where it is repeated; others are counted by whoever makes them."""
    if not is_grouped_query(model, config, batch):
        return 0
    keys, length = _lengths(config, batch)
    return batch.rows * length * keys * (model.heads // model.key_value_heads) * batch.width


def _written_out(model: Architecture, written: WrittenOut, config: AdapterConfig, batch: Batch, keys: int) -> int:
    """Queries, keys (of DeBERTa scaled, and as they were for the products with distances), values and probabilities;
    what comes of them only for a layer that learns from it."""
    states = 3 + written.p2c + _learns_from_attention(model, config)
    scores = model.heads * (keys * (1 + written.capped) + written.kinds * written.reach)
    return batch.width * (states * model.queries + scores) + (keys if written.keeps_mask else 0)


def _learns_from_attention(model: Architecture, config: AdapterConfig) -> bool:
    """Whether a layer keeps what comes of it as it is: with dropout LoRA keeps what is left of it, and counts that."""
    return _learns_in(model, config, "attention_output") and not (config.adapter in LOW_RANK and config.dropout)


def _of_distances(model: Architecture, batch: Batch, keys: int) -> int:
    """Of a block with attention that looks at distances: their embeddings, once a row, and the place of every pair."""
    if not model.written_out:
        return 0
    kinds, reach = model.written_out.kinds, model.written_out.reach
    return kinds * (batch.rows * reach * model.queries * batch.width + PLACE * keys**2)


def _before_the_first(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    """The first bottleneck stands behind the first attention: nothing is kept for what lies below it."""
    norms = 0 if model.encoder else sum(_norm(norm, False, batch.width) for norm in (model.norms[0], *model.norms[2:]))
    attention = _attention(model, config, batch, batch.length, batch.length)
    return batch.tokens * (attention + norms) + _of_distances(model, batch, batch.length)


def _inner(model: Architecture) -> int:
    """With a gate: what goes into the activation, what comes out, and what it is multiplied with."""
    kept = WRITTEN_OUT.get(model.activation, 1)
    return (model.inner - model.through_experts) * (kept + 2 if _is_gated(model) else kept)


def _of_experts(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    """A token's share of what experts keep, whose tokens are gathered for one product over all of them: gate and inner,
    what comes of the gate, and what each expert gives, which its weight is learned by; where they learn, what they are
    given too. Three places and a weight for each, the weights of all, and what a shared expert gives."""
    if not model.experts:
        return 0
    router, _, last = model.experts
    learning = _trains_the_base(config) or _beside_experts(model, config)
    found = (4 if learning else 3) * last.inputs + (2 if learning else 1) * model.width
    routed = last.met * (3 * PLACE + SINGLE) + SINGLE * router.outputs
    if model.inner > model.through_experts or learning:
        found += model.width / last.met  # of a shared expert what it gives, else what the router is given
    return int(batch.width * last.met * found) + routed


def _beside_experts(model: Architecture, config: AdapterConfig) -> bool:
    return config.adapter in LOW_RANK and config.target_names() is None and any(one.ranks for one in model.experts)


def _is_gated(model: Architecture) -> bool:
    return any(layer.role == "gate" for layer in model.linears)


def _learns_in(model: Architecture, config: AdapterConfig, role: str) -> bool:
    """Whether a layer of this role keeps what goes into it."""
    if config.adapter not in LOW_RANK:
        return _trains_the_base(config)
    return any(layer.role == role for layer in targeted(model, config))


def _norm(norm: Norm, trained: bool, width: int) -> int:
    """A LayerNorm keeps its input, mean and deviation; an RMSNorm, written out in Python, its input in fp32 and the
    deviation, and where its weight is trained also what it has normalised."""
    size = norm.width * norm.heads
    if norm.bias:
        return width * (size + 2 * norm.heads)
    return SINGLE * (size + norm.heads) + (width * size if trained else 0)


def _of_adapter(model: Architecture, config: AdapterConfig, batch: Batch) -> int:
    width = batch.width
    if _trains_the_base(config):
        return width * (sum(_inputs(model, list(model.linears), copies=False).values()))
    if config.adapter in LOW_RANK:
        layers = targeted(model, config)
        per_block = [layer for layer in model.linears if layer in layers]
        digits = width if adds_as_computed(config, model.transposed) else SINGLE
        thin = digits * config.rank * len(per_block)
        if config.dropout:  # of each layer's input what is left of it, and which that is
            inputs = (SINGLE + batch.dropped) * sum(layer.inputs for layer in per_block)
        else:
            inputs = digits * sum(_inputs(model, per_block, copies=width < digits).values())
        outputs = (width + SINGLE) * sum(layer.outputs for layer in per_block) if config.dora else 0
        return thin + inputs + outputs
    if config.adapter == "ia3":
        outputs = sum(layer.outputs for layer in model.linears if layer.role in KEYS_AND_VALUES)
        return width * outputs + SINGLE * model.inner
    if config.adapter == "houlsby":
        places = [layer for layer in model.linears if layer.role in BOTTLENECKS]
        return SINGLE * sum(layer.outputs + 2 * config.bottleneck for layer in places)
    return 0


def _inputs(model: Architecture, layers: list[Linear], *, copies: bool) -> dict[str, int]:
    """Widths of what the layers are given, as far as it is kept for them. Layers with one input share it, unless each
    has a copy in fp32 made of it (`copies`); attention's output is kept by attention itself."""
    found: dict[str, int] = {}
    for layer in layers:
        if layer.role in ("query", "key", "value", "qkv"):
            place = "attention"
        elif layer.role in ("gate", "inner"):
            place = "inner"
        elif layer.role == "attention_output" and not copies:
            continue
        else:
            place = layer.role
        found[f"{place} {layer.name}" if copies else place] = layer.inputs
    return found


def _per_layer(model: Architecture, config: AdapterConfig) -> int:
    """DoRA makes each product of its matrices with an identity matrix, and keeps that."""
    if config.adapter not in LOW_RANK or not config.dora:
        return 0
    chosen = targeted(model, config)
    return SINGLE * sum(
        layer.inputs**2 + layer.inputs * config.rank + 3 * layer.outputs for layer in model.linears if layer in chosen
    )


def _around(model: Architecture, config: AdapterConfig, width: int) -> int:
    """A token's share of the first and the last norm, and of the angles of the rotary embedding."""
    norms = [norm for norm in (model.first_norm, model.final_norm) if norm]
    found = sum(_norm(norm, _trains_the_base(config), width) for norm in norms)
    return found + (0 if model.transposed or model.encoder else 2 * model.head_width * width)


def _trains_the_base(config: AdapterConfig) -> bool:
    return config.adapter in ("full", "last_layers")
