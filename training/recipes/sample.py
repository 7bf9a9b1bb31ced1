"""Settings of a sampling run: how many responses a prompt, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.words import gettext_noop

# Which responses to a prompt become comparisons: all pairs, or by the scores of a reward model one or none.
ALL, CLOSEST, BEST_AND_WORST, BEST_TWO, NONE = "all", "closest", "best_and_worst", "best_two", "none"
PAIRS = (ALL, CLOSEST, BEST_AND_WORST, BEST_TWO, NONE)


@dataclass(frozen=True)
class SampleConfig:
    """The seed is the job's; every response has its own, derived from it."""

    samples_per_prompt: int = field(
        default=2,
        metadata={
            "label": gettext_noop("Responses per prompt"),
            "help": gettext_noop("How many responses each model writes to a prompt; two make one comparison."),
            "min": 1,
            "max": 16,
            "source": "a comparison shows two responses",
        },
    )
    pairs: str = field(
        default=ALL,
        metadata={
            "label": gettext_noop("Pairs to compare"),
            "help": gettext_noop(
                "Which responses to a prompt people compare. A pair chosen by score: the closest two teach the reward "
                "model most, best and worst test what it is sure of, the best two decide what would be delivered. "
                "None: responses are scored and ranked, and nobody is asked."
            ),
            "choices": PAIRS,
            "source": "closest: Lewis & Gale 1994, A Sequential Algorithm for Training Text Classifiers (uncertainty "
            "sampling; under Bradley-Terry a judgment's information p(1 - p) is largest at 1/2). best_and_worst: Yuan "
            "et al. 2024, Self-Rewarding Language Models. best_two: our choice, the contest that best-of-n decides",
        },
    )
    temperature: float = field(
        default=0.7,
        metadata={
            "label": gettext_noop("Temperature"),
            "help": gettext_noop(
                "How adventurous the drawing is; 0 always takes the likeliest token, so all responses are equal."
            ),
            "min": 0.0,
            "max": 2.0,
            "source": "measured: greedy decoding of the demo model loops on many prompts, 0.7 does not",
        },
    )
    top_p: float = field(
        default=0.9,
        metadata={
            "label": gettext_noop("Top-p"),
            "help": gettext_noop("Only the likeliest tokens that together reach this probability are drawn from."),
            "min": 0.01,
            "max": 1.0,
            "source": "Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1",
        },
    )
    max_new_tokens: int = field(
        default=160,
        metadata={
            "label": gettext_noop("Longest response (tokens)"),
            "help": gettext_noop("A response that has not ended by then is cut, and marked as unfinished."),
            "min": 1,
            "max": 8192,
            "source": "our choice: some 120 English words, short enough to compare two of them; not tuned",
        },
    )
    batch_size: int = field(
        default=16,
        metadata={
            "label": gettext_noop("Prompts at once"),
            "help": gettext_noop("Prompts sampled side by side. More is faster and takes more memory."),
            "min": 1,
            "max": 512,
            "source": "measured: on two cores the demo is sampled in 90 s with these 32 rows, and was in 158 s with 8",
        },
    )
