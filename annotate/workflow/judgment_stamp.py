"""How many judgments a project has, and whether any have come or gone: all that a kept summary asks."""

from django.db.models import Exists, Max, OuterRef, Sum

from annotate.models import Adjudication, Comparison, Judgment, Project


def counted_judgments(project: Project) -> int:
    return project.comparisons.aggregate(n=Sum("judged"))["n"] or 0


def judgment_stamp(project: Project, judgments: int) -> str:
    """A word that changes with every submit, undo and import; `judgments` are the counted ones."""
    # As EXISTS and not as a join: the walk from the newest judgment down ends at the first one of this project.
    own = Comparison.objects.filter(pk=OuterRef("comparison_id"), project=project)
    last = Judgment.objects.filter(Exists(own)).order_by("-pk").values_list("pk", flat=True).first()
    return f"{judgments}-{last}"


def last_word(project: Project) -> int | None:
    """What changes with every final word and withdrawal."""
    return Adjudication.objects.filter(comparison__project=project).aggregate(last=Max("pk"))["last"]
