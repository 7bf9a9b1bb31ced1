"""The judgments of two models' responses as columns: who wrote each response, on which side it stood, what was said."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import Case, QuerySet, When
from numpy.typing import NDArray

from annotate.models import Judgment, Project
from annotate.workflow.bad_items import IS_BAD
from annotate.workflow.judgment_columns import CODES, ROWS_AT_ONCE
from training.models import Artifact
from training.workflow.rating_filters import NONE, RatingFilters

# What a response has as its source where an import did not say which model wrote it.
UNNAMED = ("", "import")
UNKNOWN = -1
MOST_TAGS = 200
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Player:
    """A model whose responses were compared; `artifact` is None of one that only an import names."""

    name: str
    artifact: int | None


@dataclass
class _Sources:
    """Codes of models. A response is of the artifact that sampled it; a mere name is that of the one model of the
    project that has it, or stands for itself."""

    names: dict[int, str]
    by_name: dict[str, int]
    codes: dict[int | str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, project: Project) -> "_Sources":
        names = dict(Artifact.ever.filter(project=project).values_list("pk", "name"))
        times = Counter(names.values())
        return cls(names, {name: pk for pk, name in names.items() if times[name] == 1})

    def code(self, source: str, artifact: int | None) -> int:
        if artifact is None and source in UNNAMED:
            return UNKNOWN
        key = artifact if artifact is not None else self.by_name.get(source, source)
        return self.codes.setdefault(key, len(self.codes))

    def players(self) -> list[Player]:
        """By code. Where two have one name the number of the model tells them apart."""
        named = [(self.names.get(key, "?") if isinstance(key, int) else key, key) for key in self.codes]
        times = Counter(name for name, _key in named)
        return [
            Player(f"{name} (#{key})" if times[name] > 1 and isinstance(key, int) else name, _artifact(key))
            for name, key in named
        ]


@dataclass(frozen=True)
class RatedPairs:
    """n judgments, each column (n,); `first` and `second` are the places in `players` of who wrote A and B.

    prompt         of the item: a response may be in several of its prompt's comparisons
    side           +1 where A was shown first, -1 where second, 0 where that is not known
    bad            judgments left out because a reviewer has called the comparison a bad item
    unnamed        those left out because a model is not known
    same_model     those left out because both responses are of one model
    rounds, tags   what the judged comparisons have, whatever the filters take: the most frequent tags
    """

    players: list[Player]
    item: Ints
    prompt: Ints
    annotator: Ints
    label: Ints
    side: Ints
    first: Ints
    second: Ints
    bad: int
    unnamed: int
    same_model: int
    rounds: list[int | None]
    tags: list[str]

    def __len__(self) -> int:
        return self.label.size


@dataclass(frozen=True)
class _Sheet:
    """Comparisons in the order of their ids, (m,) each."""

    item: Ints
    prompt: Ints
    first: Ints
    second: Ints
    is_bad: NDArray[np.bool_]
    rounds: list[int | None]
    tags: list[str]


def read_pairs(project: Project, filters: RatingFilters) -> RatedPairs:
    """Everything that the filters take, retracted judgments and those of bad items left out."""
    sources = _Sources.of(project)
    sheet = _read_comparisons(project, filters, sources)
    item, annotator, label, side = _read_judgments(project, filters)
    place = np.searchsorted(sheet.item, item)
    taken = np.append(sheet.item, UNKNOWN)[place] == item
    bad = taken & np.append(sheet.is_bad, False)[place]
    taken &= ~bad
    place = place[taken]
    first, second = sheet.first[place], sheet.second[place]
    named = (first != UNKNOWN) & (second != UNKNOWN)
    two = named & (first != second)
    return RatedPairs(
        players=sources.players(),
        item=item[taken][two],
        prompt=sheet.prompt[place][two],
        annotator=annotator[taken][two],
        label=label[taken][two],
        side=side[taken][two],
        first=first[two],
        second=second[two],
        bad=int(bad.sum()),
        unnamed=int((~named).sum()),
        same_model=int((named & (first == second)).sum()),
        rounds=sheet.rounds,
        tags=sheet.tags,
    )


def _read_comparisons(project: Project, filters: RatingFilters, sources: _Sources) -> _Sheet:
    # A comparison may have nothing but surplus.
    rows = project.comparisons.all() if filters.surplus else project.comparisons.judged_at_all()
    made = [f"response_{side}__{name}" for side in "ab" for name in ("source", "sample__artifact_id")]
    is_bad = Case(When(IS_BAD, then=True), default=False)
    columns = rows.order_by("pk").values_list("pk", "prompt_id", "batch__round_number", "prompt__tags", is_bad, *made)
    rounds: set[int | None] = set()
    tags: Counter[str] = Counter()
    kept: list[tuple[int, int, int, int, bool]] = []
    for pk, prompt, number, tagged, bad, *sides in columns.iterator(chunk_size=ROWS_AT_ONCE):
        rounds.add(number)
        tags.update(tagged)
        if filters.takes(number, tagged):
            kept.append((pk, prompt, sources.code(*sides[:2]), sources.code(*sides[2:]), bad))
    item, prompt, first, second, left_out = np.array(kept, dtype=np.int64).reshape(-1, 5).T
    most = sorted(tag for tag, _times in tags.most_common(MOST_TAGS))
    in_order = sorted(rounds, key=lambda number: (number is None, number))
    return _Sheet(item, prompt, first, second, left_out.astype(bool), in_order, most)


def _read_judgments(project: Project, filters: RatingFilters) -> tuple[Ints, ...]:
    rows = _judgments(project, filters).order_by()
    found = rows.values_list("comparison_id", "annotator_id", "choice", "flipped").iterator(chunk_size=ROWS_AT_ONCE)
    parts = [np.zeros((0, 4), dtype=np.int64)]
    while chunk := list(islice(_coded(found), ROWS_AT_ONCE)):
        parts.append(np.array(chunk, dtype=np.int64))
    return tuple(np.concatenate(parts).T)


def _judgments(project: Project, filters: RatingFilters) -> "QuerySet[Judgment]":
    spoken = Judgment.objects.current() if filters.surplus else Judgment.objects.counted()
    rows = spoken.filter(comparison__project=project)
    if filters.guideline == NONE:
        return rows.filter(guideline_version__isnull=True)
    return rows.filter(guideline_version__number=int(filters.guideline)) if filters.guideline else rows


def _coded(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, int, int, int]]:
    for comparison, annotator, choice, flipped in rows:
        yield comparison, annotator, CODES[choice], 0 if flipped is None else (-1 if flipped else 1)


def _artifact(key: int | str) -> int | None:
    return key if isinstance(key, int) else None
