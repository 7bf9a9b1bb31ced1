"""What a run's policy is probed with before and after its training: written into the run's folder beside job.json."""

import hashlib
import json
from functools import cache
from typing import Any

from django.utils.translation import gettext_noop

from annotate.models import DemonstrationSet, Project, Split
from training.models import Run
from training.recipes import UNTRAINED
from training.workflow.probes import PACKAGE, hash_of, shipped_probes

# Held-out demonstrations beyond that would cost more time than they narrow the interval.
MOST_TEXTS = 200
# Names of what is measured where no person has given one; the pages translate them.
SHIPPED_TEXTS = gettext_noop("Plain texts, shipped")
HELD_OUT = gettext_noop("Held-out demonstrations")


def is_probed(run: Run) -> bool:
    """Every run that makes a policy."""
    return run.recipe not in (*UNTRAINED, "reward")


def material_of(run: Run) -> dict[str, Any]:
    """{"probes", "documents"}: the shipped sets, the project's own, and held-out demonstrations where there are any."""
    shipped = shipped_probes()
    probes = [{"name": shipped.name, "hash": shipped.content_hash, "rows": shipped.rows}]
    for one in run.project.probe_sets.order_by("pk"):
        probes.append({"name": one.name, "hash": one.content_hash, "rows": one.rows})
    documents = [shipped_texts()]
    demonstrations = demonstrations_of(run)
    if demonstrations is not None and (rows := held_out_of(demonstrations)):
        documents.append({"name": HELD_OUT, "hash": demonstrations.content_hash, "rows": rows})
    return {"probes": probes, "documents": documents}


def demonstrations_of(run: Run) -> DemonstrationSet | None:
    """What the run itself or its round learns from, or else the newest of the project; its held-out part is read."""
    if run.demonstrations is not None:
        return run.demonstrations
    stage = run.round and run.round.runs.filter(demonstrations__isnull=False).select_related("demonstrations").first()
    return stage.demonstrations if stage else demonstrations_for(run.project)


def demonstrations_for(project: Project) -> DemonstrationSet | None:
    """Those that policies are asked where neither run nor round has its own."""
    return project.demonstration_sets.first()


@cache
def shipped_texts() -> dict[str, Any]:
    lines = (PACKAGE / "texts.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    return {"name": SHIPPED_TEXTS, "hash": hash_of(rows), "rows": rows}


def held_out_of(demonstrations: DemonstrationSet) -> list[dict[str, Any]]:
    """The same ones in every run: those whose hashes come first."""
    rows = demonstrations.demonstrations.filter(split=Split.TEST)
    chosen = sorted(rows, key=lambda row: hashlib.sha256(row.key.encode()).digest())[:MOST_TEXTS]
    return [{"messages": row.messages, "text": row.response} for row in chosen]
