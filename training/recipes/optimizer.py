"""Settings of the training loop, the same in every recipe that trains: how long, how fast, in what batches."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warmup. A step is `batch_size` times `gradient_accumulation` items; the seed is the job's."""

    epochs: int = field(
        default=1,
        metadata={
            "label": gettext_noop("Epochs"),
            "help": gettext_noop(
                "How often every example is seen. Preference data is over-fitted quickly: more than 2 rarely help."
            ),
            "min": 1,
            "max": 100,
            "source": "Ouyang et al. 2022 (InstructGPT), appendix C: reward models are trained for a single epoch",
        },
    )
    # None until AdapterConfig settles it. `of_lora` is the customary rate of LoRA; adapters.RATES has the others'.
    learning_rate: float | None = field(
        default=None,
        metadata={
            "label": gettext_noop("Learning rate"),
            "help": gettext_noop(
                "Peak learning rate, reached after the warmup. Left empty, it is the customary one of the adapter."
            ),
            "of_lora": 1e-4,
            "min": 1e-8,
            "max": 1.0,
            "source": "the usual order of magnitude for low-rank adapters",
        },
    )
    batch_size: int = field(
        default=4,
        metadata={
            "label": gettext_noop("Batch size"),
            "help": gettext_noop("Examples computed at once. More takes more memory."),
            "min": 1,
            "max": 1024,
            "source": "measured: 8 pairs of the demo model, 150 tokens a sequence, take 5 GB",
        },
    )
    gradient_accumulation: int = field(
        default=2,
        metadata={
            "label": gettext_noop("Gradient accumulation (batches per step)"),
            "help": gettext_noop(
                "Gradients of this many batches are added up before a step: a larger batch without its memory."
            ),
            "min": 1,
            "max": 1024,
            "source": "8 examples a step: 60 judgments then make 8 steps",
        },
    )
    max_length: int = field(
        default=512,
        metadata={
            "label": gettext_noop("Longest example (tokens)"),
            "help": gettext_noop(
                "Examples longer than this, prompt and response together, are left out, counted and listed."
            ),
            "min": 8,
            "max": 131072,
            "source": "a page of prompt and a page of response; the time of a batch grows with it",
        },
    )
    warmup_ratio: float = field(
        default=0.1,
        metadata={
            "label": gettext_noop("Warmup"),
            "help": gettext_noop("The share of the steps in which the learning rate rises from zero."),
            "min": 0.0,
            "max": 1.0,
            "source": "Rafailov et al. 2023 (DPO), appendix B, warm up for 150 steps; a tenth is that for short runs",
        },
    )
    schedule: str = field(
        default="linear",
        metadata={
            "label": gettext_noop("Decay"),
            "help": gettext_noop("How the learning rate falls to zero after the warmup."),
            "choices": ("linear", "cosine", "constant"),
            "source": "linear is what TRL does unless told otherwise",
        },
    )
    weight_decay: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Weight decay"),
            "help": gettext_noop(
                "Pulls the trained matrices toward zero; biases, norms and the factors of (IA)³ are left alone."
            ),
            "min": 0.0,
            "max": 1.0,
            "source": "adapters start at zero difference: nothing to decay",
        },
    )
    max_grad_norm: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Largest gradient norm"),
            "help": gettext_noop("A longer gradient is shortened to this."),
            "min": 0.0001,
            "max": 1000.0,
            "source": "Pascanu et al. 2013; 1.0 is what TRL does unless told otherwise",
        },
    )
    checkpoint_every: int = field(
        default=25,
        metadata={
            "label": gettext_noop("Steps between checkpoints"),
            "help": gettext_noop(
                "What is lost when the machine dies. 0 saves only when the run is cancelled and at its end."
            ),
            "min": 0,
            "max": 1000000,
            "source": "a minute or two of the demo model on two CPU cores",
        },
    )
