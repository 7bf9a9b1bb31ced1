"""Reports that cost time: of a small project computed at once, of a large one kept and renewed by a worker."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from annotate.models import Project
from annotate.workflow.agreement_summary import Summary
from annotate.workflow.judgment_stamp import counted_judgments, judgment_stamp, last_word
from training.models import Artifact, KeptReport
from training.workflow.label_value import label_value_of
from training.workflow.rating_filters import RatingFilters
from training.workflow.ratings import ratings_of

# Of one project; every choice of filters is a report of its own.
MOST_KEPT = 40
# Goes up where reports are computed another way: those that are kept are old then.
VERSION = 2
Query = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """`live`: up to so many judgments a page computes it itself, in less than a third of a second."""

    name: str
    live: int
    compute: Callable[[Project, Query], dict[str, Any]]


RATINGS = Kind("ratings", 5_000, lambda project, query: ratings_of(project=project, filters=RatingFilters(**query)))
LABEL_VALUE = Kind("label_value", 1_000, lambda project, _query: label_value_of(project=project))
KINDS = {kind.name: kind for kind in (RATINGS, LABEL_VALUE)}


def report_for(project: Project, kind: Kind, query: Query) -> Summary:
    """Reads only; without a body while nothing has been computed yet."""
    judgments = counted_judgments(project)
    if judgments <= kind.live:
        return Summary(kind.compute(project, query), timezone.now(), is_stale=False)
    kept = KeptReport.objects.filter(project=project, name=_name(kind, query)).first()
    if kept is None:
        return Summary(None, None, is_stale=True)
    return Summary(kept.body, kept.made_at, is_stale=kept.stamp != _stamp(project, judgments))


def refresh_report(project: Project, kind: Kind, query: Query) -> bool:
    """Compute and keep the report of a large project; False where there is nothing new. Safe to run twice."""
    judgments, name = counted_judgments(project), _name(kind, query)
    stamp = _stamp(project, judgments)
    if judgments <= kind.live or KeptReport.objects.filter(project=project, name=name, stamp=stamp).exists():
        return False
    body = kind.compute(project, query)
    KeptReport.objects.update_or_create(
        project=project,
        name=name,
        defaults={"query": query, "stamp": stamp, "body": body, "made_at": timezone.now()},
    )
    forgotten = project.kept_reports.values_list("pk", flat=True)[MOST_KEPT:]
    KeptReport.objects.filter(pk__in=list(forgotten)).delete()
    return True


def _stamp(project: Project, judgments: int) -> str:
    """Changes with judgments, with models (they have names and accuracies), and with final words: they take bad items
    out."""
    last = Artifact.ever.filter(project=project).order_by("-pk").values_list("pk", flat=True).first()
    words = last_word(project)
    stamp = f"{judgment_stamp(project, judgments)}-{last}-{VERSION}"
    return f"{stamp}-{words}" if words else stamp


def _name(kind: Kind, query: Query) -> str:
    digest = hashlib.sha256(json.dumps(query, sort_keys=True).encode()).hexdigest()
    return f"{kind.name}-{digest[:32]}"
