"""Reads a config.json of an encoder: BERT, and the others that a reward model can be trained on.

A pooler is left out, as training/ml/encoder.py does. The families are those of training/recipes/encoders.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from training.recipes.errors import RecipeError
from training.recipes.estimate.layout import Architecture, Linear, Norm, WrittenOut
from training.recipes.estimate.sizes import Config, flag, head_width, size, size_or_none
from training.recipes.words import gettext_noop

# These number positions from behind that of the padding, and so have room for fewer.
ROBERTA_KIN = ("roberta", "xlm-roberta", "camembert")
# Of the embeddings of words where they may be narrower than the states, and a config.json is silent.
WORD_WIDTH = 128
PROJECTED = ("query", "key", "value")


def bert(family: str, config: Config) -> Architecture:
    width, heads, layers = (size(config, n) for n in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    vocabulary, positions = size(config, "vocab_size"), size(config, "max_position_embeddings", 512)
    inner, kinds = size(config, "intermediate_size"), size_or_none(config, "type_vocab_size", 2)
    before = size_or_none(config, "pad_token_id", 1) + 1 if family in ROBERTA_KIN else 0
    linears = (
        Linear("attention.self.query", width, width, "query", True),
        Linear("attention.self.key", width, width, "key", True),
        Linear("attention.self.value", width, width, "value", True),
        Linear("attention.output.dense", width, width, "attention_output", True),
        Linear("intermediate.dense", width, inner, "inner", True),
        Linear("output.dense", inner, width, "inner_output", True),
    )
    return Architecture(
        family=family,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=heads,
        head_width=head_width({}, width, heads),
        inner=inner,
        context=positions - before,
        activation=str(config.get("hidden_act", "gelu")),
        embeddings=(vocabulary + positions + kinds) * width,
        linears=linears,
        norms=(Norm(width, bias=True),) * 2,
        first_norm=Norm(width, bias=True),
        final_norm=None,
        tied=True,
        blocks_path="encoder.encoder.layer",
        encoder=True,
    )


def electra(family: str, config: Config) -> Architecture:
    """BERT, with words that may be narrower than the states."""
    model, words = bert(family, config), size(config, "embedding_size", WORD_WIDTH)
    wider = (Linear("encoder.embeddings_project", words, model.width, "other", True),)
    return _with_words(model, words, wider if words != model.width else ())


def albert(family: str, config: Config) -> Architecture:
    """A few groups of layers, each gone through several times; their layers are found only where every one stands
    for itself."""
    groups, each = size(config, "num_hidden_groups", 1), size(config, "inner_group_num", 1)
    model = bert(family, {**config, "hidden_act": config.get("hidden_act") or "gelu_new"})
    if groups > model.layers:
        said = gettext_noop("The config.json gives %(groups)s groups of layers to %(layers)s layers.")
        raise RecipeError("config", said, groups=groups, layers=model.layers)
    words = size(config, "embedding_size", WORD_WIDTH)
    names = ("attention.query", "attention.key", "attention.value", "attention.dense", "ffn", "ffn_output")
    linears = tuple(
        replace(layer, name=f"albert_layers.{place}.{name}")
        for place in range(each)
        for layer, name in zip(model.linears, names, strict=True)
    )
    wider = Linear("encoder.encoder.embedding_hidden_mapping_in", words, model.width, "other", True)
    placeless = ("ia3", "houlsby") if groups == model.layers else ("ia3", "houlsby", "last_layers")
    return replace(
        _with_words(model, words, (wider,)),
        linears=linears,
        norms=model.norms * each,
        stored=groups,
        blocks_path="encoder.encoder.albert_layer_groups",
        placeless=placeless,
    )


def mpnet(family: str, config: Config) -> Architecture:
    """BERT without kinds of tokens, with a table of what distances between them mean to each head."""
    model = bert(family, {**config, "type_vocab_size": 0})
    names = ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "intermediate.dense")
    named = zip(model.linears, (*names, "output.dense"), strict=True)
    distances = size(config, "relative_attention_num_buckets", 32) * model.heads
    return replace(
        model,
        context=model.context - 2,  # whatever the config.json says of the padding
        embeddings=model.embeddings + distances,
        linears=tuple(replace(layer, name=name) for layer, name in named),
        placeless=("ia3", "houlsby"),
        written_out=WrittenOut(),
    )


def deberta(family: str, config: Config) -> Architecture:
    """BERT with embeddings of distances, and matrices that make queries and keys of them in every layer."""
    model = bert(family, {**config, "type_vocab_size": size_or_none(config, "type_vocab_size")})
    width, positions = model.width, size(config, "max_position_embeddings", 512)
    words = size(config, "embedding_size", width)
    absent = positions if config.get("position_biased_input") is False else 0
    embeddings = (model.embeddings // width - absent) * words
    linears = {layer.name: layer for layer in model.linears}
    attention = [replace(linears.pop(f"attention.self.{n}"), name=f"attention.self.{n}_proj") for n in PROJECTED]
    written_out = WrittenOut(keeps_mask=True)
    if flag(config, "relative_attention"):
        far = size_or_none(config, "max_relative_positions") or positions
        reach, kinds = 2 * (size_or_none(config, "position_buckets") or far), _kinds_of_distances(config)
        embeddings += reach * width
        attention += [] if flag(config, "share_att_key") else _of_distances(kinds, width)
        written_out = replace(written_out, reach=reach, c2p="c2p" in kinds, p2c="p2c" in kinds)
    wider = (Linear("encoder.embeddings.embed_proj", words, width, "other"),) if words != width else ()
    return replace(
        _with_words(model, words, wider),
        embeddings=embeddings,
        linears=(*attention, *linears.values()),
        first_norm=Norm(width, bias=True),
        # Of the distances; it stands where the last norm of other models does.
        final_norm=Norm(width, bias=True) if "layer_norm" in str(config.get("norm_rel_ebd")).lower() else None,
        beside=_convolution(config, width),
        placeless=("ia3",),
        written_out=written_out,
    )


def _kinds_of_distances(config: Config) -> set[str]:
    kinds = config.get("pos_att_type") or ()
    named = kinds.lower().split("|") if isinstance(kinds, str) else kinds
    return {str(kind).strip() for kind in named} if isinstance(named, list | tuple) else set()


def _of_distances(kinds: set[str], width: int) -> list[Linear]:
    made = {"c2p": "pos_key_proj", "p2c": "pos_query_proj"}
    return [Linear(f"attention.self.{made[kind]}", width, width, "other", True) for kind in made if kind in kinds]


def _convolution(config: Config, width: int) -> tuple[Linear | Norm, ...]:
    """Behind the first layer of the large ones."""
    kernel = size_or_none(config, "conv_kernel_size")
    if not kernel:
        return ()
    inputs = kernel * (width // size(config, "conv_groups", 1))
    return Linear("encoder.encoder.conv.conv", inputs, width, "other", True), Norm(width, bias=True)


def distilbert(family: str, config: Config) -> Architecture:
    usual = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
    usual |= {"intermediate_size": "hidden_dim", "hidden_act": "activation"}
    read = {name: config.get(own) if config.get(name) is None else config[name] for name, own in usual.items()}
    read["hidden_act"] = read["hidden_act"] or "gelu"
    model = bert(family, {**config, **read, "type_vocab_size": 0})
    names = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2")
    return replace(
        model,
        linears=tuple(replace(layer, name=name) for layer, name in zip(model.linears, names, strict=True)),
        blocks_path="encoder.transformer.layer",
    )


def modernbert(family: str, config: Config) -> Architecture:
    """Norms before the layers, the first one done without; positions by rotation; a gate in one product with what it
    opens."""
    activation = str(config.get("hidden_activation", "gelu"))
    model = bert(family, {**config, "hidden_act": activation, "type_vocab_size": 0})
    width, inner, norm = model.width, model.inner, Norm(model.width, bias=flag(config, "norm_bias"))
    attention, feed_forward = flag(config, "attention_bias"), flag(config, "mlp_bias")
    return replace(
        model,
        context=size(config, "max_position_embeddings", 8192),
        embeddings=model.vocabulary * width,
        linears=(
            Linear("attn.Wqkv", width, 3 * width, "qkv", attention),
            Linear("attn.Wo", width, width, "attention_output", attention),
            Linear("mlp.Wi", width, 2 * inner, "gate", feed_forward),
            Linear("mlp.Wo", inner, width, "inner_output", feed_forward),
        ),
        norms=(norm, norm),
        first_norm=norm,
        final_norm=norm,
        lacking=norm,
        blocks_path="encoder.layers",
        placeless=("ia3", "houlsby"),
    )


def _with_words(model: Architecture, words: int, wider: tuple[Linear, ...]) -> Architecture:
    """The same with embeddings of another width, and the layer that brings them to that of the states."""
    return replace(
        model,
        embeddings=model.embeddings // model.width * words,
        first_norm=Norm(words, bias=True),
        around=wider,
        word_width=words,
    )


READERS: dict[str, Callable[[str, Config], Architecture]] = {
    **dict.fromkeys(("bert", *ROBERTA_KIN), bert),
    "electra": electra,
    "albert": albert,
    "mpnet": mpnet,
    "deberta-v2": deberta,
    "distilbert": distilbert,
    "modernbert": modernbert,
}
