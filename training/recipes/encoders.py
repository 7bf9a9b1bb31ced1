"""Which models are encoders, by what their config.json says, and what can be trained in one; no torch, no Django."""

from collections.abc import Sequence

# Those on which tests hold a score to be the same at any padding.
FAMILIES = (
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "albert", "deberta-v2", "distilbert",
    "modernbert",
)  # fmt: skip
# Of these, the ones whose layers transformers never computes twice (it has no gradient checkpointing for them).
NEVER_TWICE = ("mpnet", "albert")
# What a checkpoint's architecture ends with where it is no classifier of something else already.
BARE = ("Model", "ForMaskedLM", "ForPreTraining")
# Keys and values before the text and 4-bit weights are made for decoders; a P-Tuning encoder was never tried here.
ON_ENCODERS = ("lora", "full", "last_layers", "bias", "ia3", "houlsby", "prompt_tuning", "head")


def is_encoder(model_type: str, architectures: Sequence[str]) -> bool:
    """Whether it reads a whole text at once, and so can score texts but not write any."""
    return model_type in FAMILIES and any(name.endswith(BARE) for name in architectures)
