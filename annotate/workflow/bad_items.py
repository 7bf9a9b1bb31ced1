"""Bad items: what a reviewer has taken out, asked of nobody any more and used for nothing."""

from django.db.models import Case, Exists, F, OuterRef, Q, When

from annotate.models import Adjudication

# Of comparisons. The column first: where nothing is decided, no final word is looked for.
IS_BAD = Q(is_adjudicated=True) & Q(Exists(Adjudication.objects.bad().filter(comparison=OuterRef("pk"))))
WANTED = Case(When(IS_BAD, then=F("judged")), default=F("overlap"))
"""Judgments wanted of a comparison: of a bad item those that it has."""
