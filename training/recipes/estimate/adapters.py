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
    refuses: a method without a place in this model, targets that it does not have, layers that it does not have."""
    if model.encoder and config.adapter not in ON_ENCODERS:
        said = gettext_noop("The adapter %(name)s is not offered on an encoder, which %(model)s is.")
        raise RecipeError("adapter", said, name=config.adapter, model=model.family)
    head = model.score_head(getattr(config, "members", 1)) if task == "reward" else 0
    base = (model.policy if task == "policy" else model.body) + head
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


def separate(config: Any) -> int:
    """How many adapters stand beside the model: of an ensemble of adapters one for each member."""
    return getattr(config, "separate_adapters", 1)


def targeted(model: Architecture, config: AdapterConfig) -> list[Linear]:
    """The linear layers that LoRA stands beside, one entry for each. Raises RecipeError("targets")."""
    everything = list(model.named_linears())
    names = config.target_names()
    if names is None:
        return [layer for _, layer in everything]
    found = {name: [part for full, part in everything if f".{full}".endswith(f".{name}")] for name in names}
    unknown = [name for name, layers in found.items() if not layers]
    if unknown:
        raise RecipeError(
            "targets",
            gettext_noop("The model has no linear layer named %(unknown)s. Its linear layers are: %(names)s."),
            unknown=", ".join(unknown),
            names=", ".join(sorted({full.rpartition(".")[2] for full, _ in everything})),
        )
    return [part for full, part in everything if any(f".{full}".endswith(f".{name}") for name in names)]


def last_layers(model: Architecture, config: AdapterConfig, task: str) -> int:
    """The last blocks, the final norm, and the head that makes words where it is not the embedding."""
    if config.layers > model.layers:
        said = gettext_noop("The model has %(count)s layers, fewer than %(wanted)s.")
        raise RecipeError("layers", said, count=model.layers, wanted=config.layers)
    after = model.final_norm.parameters if model.final_norm else 0
    return config.layers * model.block + after + (model.output_head if task == "policy" else 0)


def biases(model: Architecture, _config: AdapterConfig, _task: str) -> int:
    block = sum(part.biases for part in (*model.linears, *model.norms))
    around = sum(part.biases for part in (model.first_norm, model.final_norm) if part)
    if block + around == 0:
        said = gettext_noop("This model (%(family)s) has no biases, so there is nothing for this adapter to train.")
        raise RecipeError("adapter", said, family=model.family)
    return model.layers * block + around


def low_rank(model: Architecture, config: AdapterConfig) -> int:
    """Two thin matrices a layer (Hu et al. 2021, section 4.1), and with DoRA a magnitude for each output."""
    if config.adapter == "qlora" and model.transposed:
        said = gettext_noop("The layers of this model (%(family)s) cannot be kept in 4 bits.")
        raise RecipeError("adapter", said, family=model.family)
    layers = targeted(model, config)
    thin = sum(config.rank * (layer.inputs + layer.outputs) for layer in layers)
    return thin + (sum(layer.outputs for layer in layers) if config.dora else 0)


def ia3(model: Architecture, _config: AdapterConfig) -> int:
    """A factor for each key, value and inner activation."""
    outputs = sum(layer.outputs for layer in model.linears if layer.role in KEYS_AND_VALUES)
    return model.layers * (outputs + model.inner)


def houlsby(model: Architecture, config: AdapterConfig) -> int:
    places = [layer for layer in model.linears if layer.role in BOTTLENECKS]
    return model.layers * sum(
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
    _require_room(model, config)
    return config.virtual_tokens * model.width


def virtual_tokens(model: Architecture, config: AdapterConfig) -> int:
    """Numbers of the virtual tokens themselves, whatever makes them."""
    width = 2 * model.layers * model.keys if config.adapter in ("prefix", "p_tuning_v2") else model.width
    return config.virtual_tokens * width


def _require_room(model: Architecture, config: AdapterConfig) -> None:
    longest = getattr(config, "max_length", 0)
    if model.context and config.virtual_tokens + longest > model.context:
        raise RecipeError(
            "virtual_tokens",
            gettext_noop(
                "%(virtual)s virtual tokens and examples of up to %(longest)s tokens do not fit into the model's "
                "context of %(context)s."
            ),
            virtual=config.virtual_tokens,
            longest=longest,
            context=model.context,
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
