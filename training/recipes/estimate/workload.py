"""What a recipe computes at once: rows, tokens, and the copies of the logits that its loss needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.recipes.shared_rows import DRAWN_AT_ONCE

PAIRS = ("reward", "dpo", "orpo", "simpo")
DRAWN = ("ppo", "rloo", "grpo")
BESIDE_THEIR_START = ("kto",)  # asks its frozen start at every step, of responses that no one could know beforehand
OWN_DROPOUT = ("sft",)  # leaves the model's own dropout on (training/ml/policy_run.py)
# Copies of the fp32 logits alive at once, the deepest moment of the backward pass. -log p by gather and logsumexp: the
# logits, and three for the gradient of logsumexp; one more where gather is done after it, whose gradient waits.
LOGIT_COPIES = {"sft": 5, "ppo": 5, "rloo": 5, "grpo": 5, "reward": 0}
COPIES_OF_PAIRS = 4
EVALUATED = 4  # sequences at once when the divergence from the start is measured (training/ml/policy_figures.py)
# Copies of a piece of logits while it is measured (training/ml/predictions.py): of both models, and what is made of
# them. Where the logits are made at once, those of both models, and the second ones once more while they are cut.
PIECE_COPIES, WHOLE_COPIES = 5, 3


@dataclass(frozen=True)
class Workload:
    """`rows` sequences of up to `length` tokens at once, `kept` tokens of them responses (for which there are logits),
    `head_rows` positions given to the output layer; `drawn` rows are drawn side by side. `together` of
    the rows answer one prompt; `prompts_once`: it is computed once for all of them."""

    recipe: str
    rows: int
    length: int
    response: int
    kept: int
    drawn: int
    prompts_once: bool = False
    together: int = 1

    @property
    def copies(self) -> int:
        return LOGIT_COPIES.get(self.recipe, COPIES_OF_PAIRS)

    @property
    def task(self) -> str:
        return "reward" if self.recipe == "reward" else "policy"


def workload(recipe: str, config: Any, response: int | None = None, context: int = 0, responses: int = 0) -> Workload:
    """Of the longest examples that are let through: by the settings, and by the model's `context` where it is known.
    `response` is how many of their tokens are the response: half of them where nothing is known, and what is drawn at
    most where the recipe draws. `responses` is how many a prompt has at most, where all of its pairs are one example;
    two where that is not known."""
    longest = min(config.max_length, context) if context else config.max_length
    together = 2 if recipe in PAIRS else 1
    if getattr(config, "group_by_prompt", False):
        together = max(responses, together)
    rows = config.batch_size * together
    drawn = 0
    if recipe in DRAWN:
        response = min(config.max_new_tokens, longest - 1)
        everything = getattr(config, "rollouts", config.batch_size * config.gradient_accumulation)
        drawn = min(DRAWN_AT_ONCE, everything)
    response = min(response or longest // 2, longest - 1)
    kept = rows * response
    if recipe == "orpo":  # the chosen side is imitated with its prompt
        kept = config.batch_size * (longest - 1 + response)
    if recipe == "reward":
        kept = 0
    return Workload(recipe, rows, longest, response, kept, drawn, together=together)
