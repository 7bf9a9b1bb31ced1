"""Bad items: what a reviewer has taken out, asked of nobody any more, and no matter for ratings."""

import numpy as np
from django.db.models import Case, Exists, F, OuterRef, Q, When
from numpy.typing import NDArray

from annotate.models import Adjudication, Project

# Of comparisons. The column first: where nothing is decided, no final word is looked for.
IS_BAD = Q(is_adjudicated=True) & Q(Exists(Adjudication.objects.bad().filter(comparison=OuterRef("pk"))))
WANTED = Case(When(IS_BAD, then=F("judged")), default=F("overlap"))
"""Judgments wanted of a comparison: of a bad item those that it has."""


def ids_of_bad_items(project: Project) -> NDArray[np.int64]:
    """Of the comparisons, ascending."""
    rows = Adjudication.objects.bad().filter(comparison__project=project).order_by("comparison_id")
    return np.fromiter(rows.values_list("comparison_id", flat=True), np.int64)
