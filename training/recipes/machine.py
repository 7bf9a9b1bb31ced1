"""How a run uses the machine it is on: settings that change its speed and memory, and nothing of what it learns."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.words import gettext_noop

# What decides whether gradient checkpointing is needed, in a run (training/ml/machine.py) and in its estimate.
# Of the free memory; the rest is for what no formula knows: workspaces, fragments, the logits of an evaluation.
ROOM = 0.8
OPTIMIZER_BYTES = 12  # for each trained number: its gradient and two moments, in fp32


@dataclass(frozen=True)
class MemoryConfig:
    """Of every recipe that learns by gradients."""

    gradient_checkpointing: str = field(
        default="auto",
        metadata={
            "label": gettext_noop("Gradient checkpointing"),
            "help": gettext_noop(
                "Computes the inside of every layer twice instead of keeping it: a third more time for a fraction of "
                "the memory. Auto does so on a GPU when a batch would not fit otherwise."
            ),
            "choices": ("auto", "on", "off"),
            "source": "Chen et al. 2016, Training deep nets with sublinear memory cost",
        },
    )


@dataclass(frozen=True)
class MachineConfig(MemoryConfig):
    """Of recipes whose data is settled before they start: those can be computed in several processes."""

    parallel: str = field(
        default="ddp",
        metadata={
            "label": gettext_noop("Several GPUs"),
            "help": gettext_noop(
                "Counts where the worker gives a run several devices. DDP keeps the whole model on each of them; FSDP "
                "shares out weights and optimizer, DeepSpeed the optimizer, for full fine-tuning that does not fit."
            ),
            "choices": ("ddp", "fsdp", "deepspeed"),
            "source": "the fastest where the model fits, and exact with every adapter",
        },
    )

    @property
    def by_item(self) -> bool:
        """Whether an example's loss is its own, whatever shares a batch with it: then a batch can be cut up among
        processes, and nothing changes."""
        return False
