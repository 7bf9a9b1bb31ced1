"""How many parameters each adapter method trains and adds, as training/ml builds them; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from training.recipes import RECIPES
from training.recipes.adapters import HEAD, LOW_RANK, SELECTIVE, AdapterConfig
from training.recipes.encoders import ON_ENCODERS
from training.recipes.errors import RecipeError
from training.recipes.estimate.layout import Architecture, Linear
from training.recipes.words import gettext_noop

KEYS_AND_VALUES = ("key", "value", "qkv")
BOTTLENECKS = ("attention_output", "inner_output")
TOO_LONG = gettext_noop(
    "%(virtual)s virtual tokens and examples of up to %(longest)s tokens do not fit into the model's context of "
    "%(context)s."
)
BEYOND_THE_WINDOW = gettext_noop(
    "%(virtual)s virtual tokens and examples of up to %(longest)s tokens do not fit into the model's window of "
    "attention, %(context)s tokens: what lies beyond it is not seen."
)


class NotKnown(RecipeError):
    """What an adapter takes of a model whose family is not known here: no refusal, the run may well do it."""


@dataclass(frozen=True)
class Parameters:
    """`base` is the model before the adapter (of a reward model with its new head), `added` what the adapter puts
    beside it; `trained_base` those of the base that are trained themselves."""

    base: int
    added: int
    trainable: int
    trained_base: int

    @property
    def total(self) -> int:
        return self.base + self.added

    @property
    def percent(self) -> float:
        return 100 * self.trainable / self.total


def parameters(model: Architecture, config: AdapterConfig, task: str) -> Parameters:
    """Of the model that a run trains for `task`, "policy" or "reward". Raises RecipeError for what `apply_adapter`
    refuses: a method without a place in this model, targets that it does not have, layers that it does not have; and
    NotKnown where that depends on names and biases of a family that is not known."""
    if model.encoder and config.adapter not in ON_ENCODERS:
        said = gettext_noop("The adapter %(name)s is not offered on an encoder, which %(model)s is.")
        raise RecipeError("adapter", said, name=config.adapter, model=model.family)
    if config.adapter in model.placeless:
        said = gettext_noop("This adapter does not know the layers of this model (%(family)s).")
        raise RecipeError("adapter", said, family=model.family)
    base, head = base_of(model, config, task), head_of(model, config, task)
    if config.adapter == "full":
        return Parameters(base, 0, base, base)
    if config.adapter == HEAD:
        return Parameters(base, 0, head, head)
    if config.adapter in SELECTIVE:
        chosen = (last_layers if config.adapter == "last_layers" else biases)(model, config, task) + head
        return Parameters(base, 0, chosen, chosen)
    own = _BESIDE[config.adapter](model, config) * separate(config)
    # PEFT trains a copy of the head, and keeps the head it began with.
    return Parameters(base, own + head, own + head, 0)


def head_of(model: Architecture, config: Any, task: str) -> int:
    return model.score_head(getattr(config, "members", 1)) if task == "reward" else 0


def base_of(model: Architecture, config: Any, task: str) -> int:
    """Before the adapter, the new head included."""
    return (model.policy if task == "policy" else model.body) + head_of(model, config, task)


def separate(config: Any) -> int:
    """How many adapters stand beside the model: of an ensemble of adapters one for each member."""
    return getattr(config, "separate_adapters", 1)


def targeted(model: Architecture, config: AdapterConfig) -> dict[Linear, int]:
    """The kinds of linear layers that LoRA stands beside, and how many of each. Raises RecipeError("targets")."""
    names = config.target_names()
    if names is None:
        return dict(model.counted_linears())
    found = {name: list(model.linears_named(name)) for name in dict.fromkeys(names)}
    unknown = [name for name, layers in found.items() if not layers]
    if unknown and not model.known:
        said = gettext_noop("Not known: how large layers named %(unknown)s are in this model (%(family)s).")
        raise NotKnown("targets", said, unknown=", ".join(unknown), family=model.family)
    if unknown:
        raise RecipeError(
            "targets",
            gettext_noop("The model has no linear layer named %(unknown)s. Its linear layers are: %(names)s."),
            unknown=", ".join(unknown),
            names=", ".join(sorted({layer.name.rpartition(".")[2] for layer, _ in model.counted_linears()})),
        )
    places: dict[Linear, set[int]] = {}
    for layer, blocks in (one for layers in found.values() for one in layers):
        places.setdefault(layer, set()).update(blocks)  # what several names name is there once
    return {layer: len(blocks) for layer, blocks in places.items()}


def last_layers(model: Architecture, config: AdapterConfig, task: str) -> int:
    """The last blocks, the final norm, and the head that makes words where it is not the embedding."""
    if config.layers > model.blocks:
        said = gettext_noop("The model has %(count)s layers, fewer than %(wanted)s.")
        raise RecipeError("layers", said, count=model.blocks, wanted=config.layers)
    after = model.final_norm.parameters if model.final_norm else 0
    return model.last_blocks(config.layers) + after + (model.output_head if task == "policy" else 0)


def biases(model: Architecture, _config: AdapterConfig, _task: str) -> int:
    if not model.known:
        said = gettext_noop("Not known: how many biases this model (%(family)s) has.")
        raise NotKnown("adapter", said, family=model.family)
    lacking = model.lacking.biases if model.lacking else 0
    block = sum(part.biases for part in (*model.linears, *model.norms))
    found = model.blocks * block - lacking + sum(part.biases for part in model.outside)
    if found == 0:
        said = gettext_noop("This model (%(family)s) has no biases, so there is nothing for this adapter to train.")
        raise RecipeError("adapter", said, family=model.family)
    return found


def low_rank(model: Architecture, config: AdapterConfig) -> int:
    """Two thin matrices a layer (Hu et al. 2021, section 4.1), and with DoRA a magnitude for each output."""
    if config.adapter == "qlora" and model.transposed:
        said = gettext_noop("The layers of this model (%(family)s) cannot be kept in 4 bits.")
        raise RecipeError("adapter", said, family=model.family)
    layers = targeted(model, config)
    thin = sum(config.rank * (layer.inputs + layer.outputs) * count for layer, count in layers.items())
    magnitudes = sum(layer.outputs * count for layer, count in layers.items()) if config.dora else 0
    return thin + magnitudes + experts(model, config)


def experts(model: Architecture, config: AdapterConfig, *, met: bool = False) -> int:
    """Of a LoRA on all layers the part that stands beside the experts of a mixture; of it what a token meets."""
    adapted = [part for part in model.experts if part.ranks]
    if config.target_names() is not None or not adapted:
        return 0
    if config.dora or config.dropout:
        said = gettext_noop("Beside the experts of a mixture LoRA takes neither DoRA nor dropout: name other targets.")
        raise RecipeError("targets", said)
    each = (part.ranks * (part.met if met else part.count) * (part.inputs + part.outputs) for part in adapted)
    return model.blocks * config.rank * sum(each)


def ia3(model: Architecture, _config: AdapterConfig) -> int:
    """A factor for each key, value and inner activation."""
    outputs = sum(layer.outputs for layer in model.linears if layer.role in KEYS_AND_VALUES)
    inner = sum(layer.inputs for layer in model.linears if layer.role == "inner_output")
    return model.blocks * (outputs + inner)


def houlsby(model: Architecture, config: AdapterConfig) -> int:
    places = [layer for layer in model.linears if layer.role in BOTTLENECKS]
    return model.blocks * sum(
        2 * layer.outputs * config.bottleneck + config.bottleneck + layer.outputs for layer in places
    )


def prefix(model: Architecture, config: AdapterConfig) -> int:
    """Keys and values of every layer from an embedding of their width through a hidden layer."""
    _require_room(model, config)
    hidden, width = config.encoder_hidden, model.keys
    both = model.layers * 2 * width
    return config.virtual_tokens * width + (width + 1) * hidden + (hidden + 1) * both


def p_tuning_v2(model: Architecture, config: AdapterConfig) -> int:
    _require_room(model, config)
    return config.virtual_tokens * model.layers * 2 * model.keys


def p_tuning(model: Architecture, config: AdapterConfig) -> int:
    """An embedding and an MLP of three layers, or an LSTM (two layers, both directions) with an MLP of two."""
    _require_room(model, config)
    width, hidden = model.width, config.encoder_hidden
    table = config.virtual_tokens * width
    if config.encoder == "mlp":
        return table + (width + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * width
    gates = 4 * hidden  # each with two biases
    lstm = 2 * gates * (width + hidden + 2) + 2 * gates * (2 * hidden + hidden + 2)
    return table + lstm + (2 * hidden + 1) * 2 * hidden + (2 * hidden + 1) * width


def prompt_tuning(model: Architecture, config: AdapterConfig) -> int:
    """As many numbers as the words have that it begins as."""
    _require_room(model, config)
    return config.virtual_tokens * model.words


def virtual_tokens(model: Architecture, config: AdapterConfig) -> int:
    """Numbers of the virtual tokens themselves, whatever makes them."""
    width = 2 * model.layers * model.keys if config.adapter in ("prefix", "p_tuning_v2") else model.words
    return config.virtual_tokens * width


def _require_room(model: Architecture, config: AdapterConfig) -> None:
    longest = getattr(config, "max_length", 0)
    known = [size for size in (model.context, model.window) if size]
    if known and config.virtual_tokens + longest > min(known):
        raise RecipeError(
            "virtual_tokens",
            TOO_LONG if min(known) == model.context else BEYOND_THE_WINDOW,
            virtual=config.virtual_tokens,
            longest=longest,
            context=min(known),
        )


_BESIDE: dict[str, Callable[[Architecture, AdapterConfig], int]] = {
    **dict.fromkeys(LOW_RANK, low_rank),
    "ia3": ia3,
    "houlsby": houlsby,
    "prefix": prefix,
    "p_tuning_v2": p_tuning_v2,
    "p_tuning": p_tuning,
    "prompt_tuning": prompt_tuning,
}


def methods_for(recipe: str) -> Sequence[str]:
    """Those that a recipe can train with: the score alone only where there is one."""
    return RECIPES[recipe].__dataclass_fields__["adapter"].metadata["choices"]
