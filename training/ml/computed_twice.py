"""Gradient checkpointing of models that draw what they learn from: on for as long as they learn, and no longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


@contextmanager
def computed_twice(models: Sequence[nn.Module]) -> Iterator[None]:
    """What `models` read inside, with gradient, keeps of every layer its input alone. Backpropagate with the same
    adapter at work: a layer that is computed again is as it is then.

    Layers are computed twice in training mode alone, and lose a cache of keys and values there: whoever draws does so
    outside. The models' dropout must be off, or old and new probabilities were of two functions.
    """
    bodies = [model.get_base_model() if hasattr(model, "get_base_model") else model for model in models]
    modes = [body.training for body in bodies]
    for body in bodies:
        body.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        body.disable_input_require_grads()  # for re-entering autograd only; below the first trained layer it costs
        body.train()
    try:
        yield
    finally:
        for body, mode in zip(bodies, modes, strict=True):
            body.activation_checkpointing_disable()
            body.train(mode)
