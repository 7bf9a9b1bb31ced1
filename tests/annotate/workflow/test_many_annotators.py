"""Two processes, sixteen annotators at once, 500 comparisons with overlap 3 (invariants 1 and 2)."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Count

from annotate.models import Assignment, Comparison, Judgment, Project
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import set_member
from tests.factories import make_comparisons, make_user

OVERLAP, COMPARISONS = 3, 500


def _database_url() -> str:
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    login = values["USER"] + (f":{values['PASSWORD']}" if values["PASSWORD"] else "")
    return f"postgres://{login}@{values['HOST'] or 'localhost'}:{values['PORT'] or 5432}/{values['NAME']}"


def _processes(slug: str, names: list[str]) -> list["subprocess.Popen[str]"]:
    environment = {**os.environ, "DATABASE_URL": _database_url(), "DJANGO_SETTINGS_MODULE": "workbench.settings"}
    command = [sys.executable, "-m", "tests.annotate.workflow.annotators", slug]
    halves = names[:8], names[8:]
    return [
        subprocess.Popen([*command, *half], cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, text=True)
        for half in halves
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_sixteen_annotators_in_two_processes(project: Project) -> None:
    Project.objects.update(overlap=OVERLAP)
    project.refresh_from_db()
    make_comparisons(project, COMPARISONS)
    names = [f"annotator{i:02}" for i in range(16)]
    for name in names:
        user = make_user(name)
        set_member(project=project, user=user, role="annotator")
        mark_read(version=current_version(project), user=user)

    processes = _processes(project.slug, names)
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]

    acknowledged = [key for output in outputs for key in output.split()]
    stored = {str(key) for key in Judgment.objects.values_list("client_key", flat=True)}
    assert len(acknowledged) == len(set(acknowledged)) == COMPARISONS * OVERLAP
    assert stored == set(acknowledged)
    assert set(Comparison.objects.values_list("taken", "judged")) == {(OVERLAP, OVERLAP)}
    per_comparison = Assignment.objects.values("comparison").annotate(
        people=Count("annotator", distinct=True), n=Count("id")
    )
    assert {(row["people"], row["n"]) for row in per_comparison} == {(OVERLAP, OVERLAP)}
