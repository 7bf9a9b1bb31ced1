"""What a policy has unlearned: probes and held-out texts before and after its training (Ouyang et al. 2022, 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.batching import grouped_batches
from training.ml.evaluate import Figures
from training.ml.intervals import ENOUGH, exponential, proportion, ratio, undefined, unless_too_few
from training.ml.job import Job
from training.ml.probes import Documents, Probes, Question, Text, read_material, room_of
from training.ml.progress import Progress
from training.ml.reference import Reference, Start, frozen_logps, model_key
from training.ml.token_logps import Tokens
from training.recipes.paired import credit, difference
from training.recipes.words import gettext_noop

CHOICES_AT_ONCE = 32
TEXTS_AT_ONCE = 2  # they may be long
# Which choice is the likeliest: by its sum, by its mean over tokens, by its mean over bytes.
MEASURES = ("sum", "per_token", "per_byte")
# Of groups by tag one measure is told: longer choices are not held against a model, nor its vocabulary.
OF_TAGS = "per_byte"
FEW_PROBES = gettext_noop("Only %(n)s probe(s): at least %(enough)s are needed to say anything.")
FEW_TEXTS = gettext_noop("Only %(n)s text(s): at least %(enough)s are needed to say anything.")


class AlignmentTax:
    """Of one job. Made while the model is as it was loaded: the start's log-probabilities are kept under the hash of
    its weights, and computed once for a model and a text, whatever is trained on it."""

    def __init__(
        self, job: Job, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, key: str | None = None
    ) -> None:
        self._material = read_material(job.probes, tokenizer, room_of(model, job.config))
        wanted = bool(self._material.probes or self._material.documents)
        self._before = Reference(job.cache, key or model_key(model, tokenizer, job.config)) if wanted else None

    def figures(self, policy: nn.Module, start: Start, progress: Progress) -> Figures:
        """{"tax": {"probes", "documents", "reference"}}; empty where the job names nothing to measure it on."""
        if self._before is None:
            return {}
        computed, reused = 0, 0
        with start() as frozen:
            for texts, size in self._batched():
                self._before.prepare(frozen, texts, size, progress)
                computed += self._before.counts["computed"]
                reused += self._before.counts["reused"]
        progress.status("evaluating", what="alignment tax")
        after = {}
        for texts, size in self._batched():
            after |= dict(zip(map(_key, texts), logps_of(policy, texts, size), strict=True))
        return {
            "tax": {
                "probes": [self._of_probes(one, after) for one in self._material.probes],
                "documents": [self._of_documents(one, after) for one in self._material.documents],
                "reference": {"computed": computed, "reused": reused},
            }
        }

    def _batched(self) -> list[tuple[list[Text], int]]:
        every = ((self._material.choices, CHOICES_AT_ONCE), (self._material.texts, TEXTS_AT_ONCE))
        return [(texts, size) for texts, size in every if texts]

    def _of_probes(self, probes: Probes, after: dict[Any, torch.Tensor]) -> Figures:
        old = [self._scores(question, None) for question in probes.questions]
        new = [self._scores(question, after) for question in probes.questions]
        tags = list(dict.fromkeys(question.tag for question in probes.questions if question.tag))
        of_tag = {tag: [n for n, one in enumerate(probes.questions) if one.tag == tag] for tag in tags}
        return {
            "name": probes.name,
            "hash": probes.hash,
            "left_out": probes.left_out,
            **{measure: _change(probes.questions, old, new, measure) for measure in MEASURES},
            "by_tag": [
                {
                    "name": tag,
                    **_change(*(_picked(rows, of_tag[tag]) for rows in (probes.questions, old, new)), OF_TAGS),
                }
                for tag in tags
            ],
        }

    def _scores(self, question: Question, after: dict[Any, torch.Tensor] | None) -> dict[str, list[float]]:
        """Of every choice, by measure."""
        logps = self._of(question.choices) if after is None else [after[_key(text)] for text in question.choices]
        sums = [one.sum().item() for one in logps]
        return {
            "sum": sums,
            "per_token": [total / len(one) for total, one in zip(sums, logps, strict=True)],
            "per_byte": [total / size for total, size in zip(sums, question.sizes, strict=True)],
        }

    def _of_documents(self, documents: Documents, after: dict[Any, torch.Tensor]) -> Figures:
        """Perplexity per token; texts, or the prompts that they answer, not tokens, are the independent units."""
        old = [-one.sum().item() for one in self._of(documents.texts)]
        new = [-after[_key(text)].sum().item() for text in documents.texts]
        tokens = [len(text) for _, text in documents.texts]
        rose = [b - a for a, b in zip(old, new, strict=True)]
        rows = {"before": old, "after": new, "ratio": rose}
        figures = {name: ratio(sums, tokens, documents.clusters) for name, sums in rows.items()}
        return {
            "name": documents.name,
            "hash": documents.hash,
            "left_out": documents.left_out,
            "tokens": sum(tokens),
            **{name: unless_too_few(exponential(figure), FEW_TEXTS) for name, figure in figures.items()},
        }

    def _of(self, texts: Sequence[Text]) -> Tokens:
        return self._before.of(texts, torch.device("cpu"))


def logps_of(model: nn.Module, texts: Sequence[Text], size: int) -> Tokens:
    """Token by token, in the order of the texts, on the CPU. Raises Cancelled between two batches."""
    found: dict[int, torch.Tensor] = {}
    lengths, prompts = [len(before) + len(text) for before, text in texts], [tuple(before) for before, _ in texts]
    for positions in grouped_batches(lengths, prompts, size):
        cancel.check()
        batch = frozen_logps(model, [texts[position] for position in positions])
        found |= {position: one.cpu() for position, one in zip(positions, batch, strict=True)}
    return [found[position] for position in range(len(texts))]


def _change(
    questions: Sequence[Question], old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], measure: str
) -> Figures:
    """Accuracy before and after, and the difference, question by question."""
    n = len(questions)
    before, after = (
        [credit(scores[measure], question.answer) for scores, question in zip(rows, questions, strict=True)]
        for rows in (old, new)
    )
    enough = n >= ENOUGH
    return {
        "before": unless_too_few(proportion(sum(before), n), FEW_PROBES),
        "after": unless_too_few(proportion(sum(after), n), FEW_PROBES),
        "difference": {**difference(before, after), "n": n} if enough else undefined(n, FEW_PROBES, enough=ENOUGH),
    }


def _picked(rows: Sequence[Any], positions: Sequence[int]) -> list[Any]:
    return [rows[position] for position in positions]


def _key(text: Text) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(text[0]), tuple(text[1])
