"""Whatever stands in a snapshot leads back to who said it: pairs, ties, and what annotators held out said."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from annotate.models import Comparison, Judgment, Project, Snapshot, SnapshotItem, User
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project
from annotate.workflow.snapshots import freeze
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_comparisons, make_user
from training.models import Artifact
from training.workflow import lineage
from training.workflow.card_facts import card_for

pytestmark = pytest.mark.django_db
MIGRATION = importlib.import_module("annotate.migrations.0010_ties_in_lineage")


@pytest.fixture
def said(project: Project, ann: User, ben: User) -> dict[str, Judgment]:
    """Of two comparisons ben alone says who is better, of the third ann alone says that it is a tie."""
    Project.objects.update(overlap=1)
    make_comparisons(project, 3)
    judge_all(project, ben, ["a", "b"])
    judge_all(project, ann, ["tie"])
    return {each.choice: each for each in Judgment.objects.all()}


def _scorer(project: Project, snapshot: Snapshot) -> Artifact:
    """What a run of `reward` with ties=davidson leaves: it has learned from ties_train.parquet."""
    manifest = {"recipe": "reward", "config": {"ties": "davidson"}}
    return Artifact.objects.create(
        project=project, name="Scorer", task="reward", location="/s", snapshot=snapshot, manifest=manifest
    )


def test_a_tie_leads_to_the_models_and_the_models_to_who_said_it(project: Project, said: dict[str, Judgment]) -> None:
    snapshot, _created = freeze(project=project, test_share=0)
    scorer = _scorer(project, snapshot)
    assert lineage.snapshots_of_judgment(said["tie"]) == [snapshot]
    assert lineage.artifacts_of_judgment(said["tie"]) == [scorer]
    assert lineage.annotators_of(snapshot) == [("ben", 2), ("ann", 1)]
    assert lineage.lineage_of(scorer).judgments == 3
    assert "3 judgments by 2 annotators," in card_for(scorer)


def test_pages_and_counts_of_pairs_know_no_ties(project: Project, said: dict[str, Judgment], lead: User) -> None:
    said["tie"].comparison.prompt.language = "eo"
    said["tie"].comparison.prompt.save()
    snapshot, _created = freeze(project=project, test_share=0)
    assert snapshot.counts["pairs"] == snapshot.items.pairs().count() == 2
    assert "Language of the prompts: not recorded (2)" in card_for(_scorer(project, snapshot)).replace("\\", "")
    page = Client()
    page.force_login(lead)
    shown = page.get("/p/garden/snapshots/1/").content.decode()
    assert "plant number 0?" in shown and "plant number 2?" not in shown
    shown = page.get(f"/p/garden/comparisons/{said['tie'].comparison_id}/").content.decode()
    assert '<span class="badge plain">Tie</span>' in shown and "Into no snapshot yet." not in shown


@pytest.fixture
def crowd(lead: User) -> Project:
    """Four people, of whom some are held out; comparisons are decided, tied and split by all of them."""
    project = create_project(slug="orchard", name="Orchard", manager=lead, overlap=4, guideline="Help.")
    make_comparisons(project, 24)
    for number, choices in enumerate((["a", "b", "tie"], ["a", "a", "tie"], ["tie", "b", "b"], ["a", "b", "tie", "a"])):
        person = make_user(f"person{number}")
        project.memberships.create(user=person)
        judge_all(project, person, [choices[(i * i + number * (i % 5)) % len(choices)] for i in range(24)])
    return project


def _held_out(project: Project, **asked: Any) -> Snapshot:
    return freeze(project=project, **{"test_share": 0.5, "seed": 1, "annotator_share": 0.5} | asked)[0]


def test_what_somebody_held_out_said_of_a_split_comparison_leads_to_what_was_measured_on_it(crowd: Project) -> None:
    snapshot = _held_out(crowd)
    apart = snapshot.items.filter(kind="held_out")
    assert apart.count() == snapshot.counts["test_annotators"] > 0
    alone = apart.exclude(comparison__in=snapshot.items.exclude(kind="held_out").values("comparison"))
    assert alone.exists(), "else these lead to the snapshot by their pair or tie"
    for item in apart:
        for judgment in Judgment.objects.filter(pk__in=item.judgments):
            assert lineage.snapshots_of_judgment(judgment) == [snapshot]


def _rows(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    columns = ("comparison", "chosen", "rejected", "kind", "split", "soft_label", "judgments", "adjudication")
    return sorted(snapshot.items.values_list(*columns), key=str)


@pytest.fixture
def before(crowd: Project, lead: User) -> Snapshot:
    """With a tie by a final word, too."""
    mark_read(version=current_version(crowd), user=lead)
    decide(crowd.comparisons.first(), lead, "tie")
    return _held_out(crowd, adjudicated_first=True, test_share=0.4)


def test_snapshots_of_before_get_their_ties_out_of_their_files(before: Snapshot, crowd: Project, ann: User) -> None:
    expected = _rows(before)
    kinds = dict.fromkeys(row[3] for row in expected)
    assert sorted(kinds) == ["held_out", "pair", "tie"]
    SnapshotItem.objects.exclude(kind="pair").delete()
    # People have gone on since, and one has changed their mind.
    crowd.comparisons.update(overlap=5)
    crowd.memberships.create(user=ann)
    judge_all(crowd, ann, ["a"] * 24)
    later = Judgment.objects.filter(annotator__username="person0").first()
    Judgment.objects.filter(pk=later.pk).update(is_current=False)
    Judgment.objects.create(
        assignment=later.assignment, comparison=later.comparison, annotator=later.annotator, revision=2, choice="b"
    )
    MIGRATION.fill(apps, None)
    assert _rows(before) == expected


def test_what_cannot_be_told_for_sure_is_left_out_and_said(before: Snapshot, caplog: pytest.LogCaptureFixture) -> None:
    expected = _rows(before)
    tie = before.items.filter(kind="tie", adjudication=None).first()
    SnapshotItem.objects.exclude(kind="pair").delete()
    Judgment.objects.filter(pk=tie.judgments[0]).update(is_surplus=True)
    MIGRATION.fill(apps, None)
    assert [row for row in expected if row not in _rows(before)] == [
        row for row in expected if row[0] == tie.comparison_id and row[3] != "pair"
    ]
    assert "1 of" in caplog.text and "out of the lineage" in caplog.text


def test_a_folder_that_is_not_there_or_cannot_be_read_stops_no_upgrade(
    before: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    SnapshotItem.objects.exclude(kind="pair").delete()
    for path in Path(before.folder).glob("t*s_t*.parquet"):
        path.write_bytes(b"torn")
    MIGRATION.fill(apps, None)
    shutil.rmtree(before.folder)
    MIGRATION.fill(apps, None)
    assert not SnapshotItem.objects.filter(kind="tie").exists()
    assert "cannot be read" in caplog.text and "is not there" in caplog.text


def test_the_way_back_leaves_the_pairs(before: Snapshot) -> None:
    pairs = before.items.filter(kind="pair").count()
    MIGRATION.leave_pairs(apps, None)
    assert before.items.count() == pairs == before.counts["pairs"]
    assert Comparison.objects.exists()
