"""The responses of a scored sampling run, the best of each prompt first, for page, files and API; and the best ones as
demonstrations."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from annotate.models import DemonstrationSet, Prompt, User
from annotate.workflow.demonstrations import import_demonstrations
from training.models import Run, Sample
from training.workflow.exceptions import NotScored
from training.workflow.sample_scores import name_of_best

CHUNK = 500  # rows read at once
COLUMNS = ("prompt", "rank", "score", "tokens", "finished", "response")


@dataclass(frozen=True)
class Ranked:
    """Who wrote which is not said: of two models that is told once a comparison is judged."""

    prompt: Prompt
    samples: list[Sample]


@dataclass(frozen=True)
class Demonstrated:
    """`left_out`: prompts none of whose responses could be shown to anybody as a model of one."""

    set: DemonstrationSet
    created: bool
    left_out: int


def ranked_prompts(run: Run) -> QuerySet[Prompt]:
    """Those with scored responses, in order."""
    scored = Sample.objects.filter(run=run, score__isnull=False)
    return Prompt.objects.filter(pk__in=scored.values("response__prompt")).order_by("pk")


def ranked(run: Run, prompts: Iterable[Prompt] | None = None) -> Iterator[Ranked]:
    """Of these prompts, or of all that have scored responses."""
    rows = Sample.objects.filter(run=run, score__isnull=False).select_related("response__prompt")
    if prompts is not None:
        rows = rows.filter(response__prompt__in=list(prompts))
    # Of equals by their text: the order of writing would tell which of two models wrote which.
    rows = rows.order_by("response__prompt_id", "-score", "response__text", "pk")
    for _key, group in groupby(rows.iterator(CHUNK), key=lambda sample: sample.response.prompt_id):
        samples = list(group)
        yield Ranked(samples[0].response.prompt, samples)


def as_json(one: Ranked) -> dict[str, Any]:
    """A line of the JSONL file, which best-of-n and rejection sampling begin with."""
    return {
        "id": one.prompt.key,
        "prompt": one.prompt.messages,
        "responses": [sample.response.text for sample in one.samples],
        "scores": [sample.score for sample in one.samples],
        "finished": [sample.finished for sample in one.samples],
    }


def as_rows(one: Ranked) -> Iterator[list[Any]]:
    """Lines of the CSV file, by COLUMNS."""
    for rank, sample in enumerate(one.samples, start=1):
        yield [one.prompt.key, rank, sample.score, sample.tokens, sample.finished, sample.response.text]


def demonstrate_best(run: Run, *, name: str = "", actor: User | None = None) -> Demonstrated:
    """The best response to each prompt as a set of demonstrations: rejection sampling, to be fine-tuned on.

    Touvron et al. 2023 (Llama 2), section 3.2.3; Stiennon et al. 2020 call it best-of-n. A response that was cut would
    teach to stop in the middle, and an empty one nothing: of each prompt the best other one is taken.
    Raises NotScored, and NameTaken as the import of demonstrations does.
    """
    if not run.is_over:
        raise NotScored(_("The run has not ended yet."), _("Wait until all responses are written."))
    # One prompt at a time: ten thousand of them with all their responses are half a gigabyte.
    best = [_line(one.prompt, _best(one)) for one in ranked(run)]
    lines = [line for line in best if line]
    if not lines:
        raise NotScored(
            _("No response was scored and ended by itself."),
            _("Sample again, with a reward model to score with and a longer response."),
        )
    named = name or name_of_best(run)
    brought = import_demonstrations(project=run.project, name=named, lines=lines, actor=actor)
    return Demonstrated(brought.set, brought.created, left_out=len(best) - len(lines))


def _best(one: Ranked) -> Sample | None:
    return next((sample for sample in one.samples if sample.finished and sample.response.text.strip()), None)


def _line(prompt: Prompt, sample: Sample | None) -> str:
    if sample is None:
        return ""
    row = {"messages": prompt.messages, "response": sample.response.text}
    return json.dumps(row, ensure_ascii=False)
