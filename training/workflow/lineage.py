"""Lineage in both directions: from a model to the people who judged, from a judgment to the models trained on it."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from annotate.models import Judgment, Snapshot, SnapshotItem
from training.models import Artifact, Run


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from; `parents` from the nearest to the base, `annotators` with how much they judged."""

    artifact: Artifact
    parents: list[Artifact]
    children: list[Artifact]
    run: Run | None
    recipe: str
    snapshot: Snapshot | None
    judgments: int
    annotators: list[tuple[str, int]]


def lineage_of(artifact: Artifact) -> Lineage:
    """Reads only; who may see the annotators is the caller's matter."""
    annotators = annotators_of(artifact.snapshot) if artifact.snapshot else []
    return Lineage(
        artifact=artifact,
        parents=parents_of(artifact),
        children=list(made_with([artifact])),
        run=artifact.run,
        recipe=artifact.run.recipe if artifact.run else "",
        snapshot=artifact.snapshot,
        judgments=sum(count for _name, count in annotators),
        annotators=annotators,
    )


def parents_of(artifact: Artifact) -> list[Artifact]:
    """From the nearest to the base model."""
    parents: list[Artifact] = []
    while artifact.parent is not None:
        artifact = artifact.parent
        parents.append(artifact)
    return parents


def made_with(models: list[Artifact]) -> QuerySet[Artifact]:
    """What was trained from one of them, or was rewarded by it: a policy learns what its reward model has learned."""
    made = Q(parent__in=models) | Q(run__reward_model__in=models)
    return Artifact.ever.filter(made).order_by("id").distinct()


def annotators_of(snapshot: Snapshot) -> list[tuple[str, int]]:
    """(user name, judgments in the snapshot: those of its pairs, of its ties, and of annotators held out), the most
    first."""
    frozen = {judgment for item in snapshot.items.values_list("judgments", flat=True) for judgment in item}
    rows = Judgment.objects.filter(comparison__snapshot_items__snapshot=snapshot).order_by()
    names = dict(rows.values_list("id", "annotator__username"))
    counts = Counter(name for judgment, name in names.items() if judgment in frozen)
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def snapshots_of_judgment(judgment: Judgment) -> list[Snapshot]:
    """The snapshots with a row that counted it, be it a pair or a tie. A later revision or a retraction does not take
    it out of those already frozen."""
    items = SnapshotItem.objects.filter(comparison=judgment.comparison_id).select_related("snapshot")
    # A test comparison may be an item twice: by everybody, and by those held out.
    found = {item.snapshot_id: item.snapshot for item in items if judgment.pk in item.judgments}
    return sorted(found.values(), key=lambda snapshot: snapshot.number)


def artifacts_of_judgment(judgment: Judgment) -> list[Artifact]:
    """The models trained on a snapshot with it, and all that were made from those."""
    found: dict[int, Artifact] = {}
    layer = list(Artifact.ever.filter(snapshot__in=snapshots_of_judgment(judgment)))
    while layer:
        found |= {artifact.pk: artifact for artifact in layer}
        layer = list(made_with(layer).exclude(pk__in=found))
    return [found[key] for key in sorted(found)]
