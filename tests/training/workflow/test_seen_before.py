"""Held-out prompts that a model of the lineage was trained on: counted, and said wherever the figures stand."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from annotate.models import DemonstrationSet, Project, Snapshot, SnapshotItem, Split, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.intake import content_hash
from annotate.workflow.snapshots import freeze, split_of
from tests.training.workflow.products import finished
from training.models import Artifact, Run
from training.workflow import jobs, runs
from training.workflow.card_facts import card_for
from training.workflow.notes import notes_on_product
from training.workflow.run_result import result_with_figures
from training.workflow.seen_before import seen_before

pytestmark = pytest.mark.django_db
SAID = "4 of 9 held-out prompts had been trained on before, by “SFT”, “Policy”: the figures flatter this model."


@pytest.fixture
def manners(project: Project, snapshot: Snapshot) -> DemonstrationSet:
    """A response to every prompt that the snapshot has, as the best of several samples would be."""
    rows = [{"messages": prompt.messages, "response": "So."} for prompt in project.prompts.all()]
    lines = [json.dumps(row) for row in rows]
    return import_demonstrations(project=project, name="manners", lines=lines, test_share=0.2).set


@pytest.fixture
def tuned(project: Project, policy: Artifact, manners: DemonstrationSet) -> Artifact:
    return finished(project, policy, "sft", demonstrations=manners, name="SFT")


def _run(project: Project, recipe: str, model: Artifact, snapshot: Snapshot, **more: Any) -> Run:
    return runs.create_run(project, recipe, {}, "new", model=model, snapshot=snapshot, **more)


def _held_out(snapshot: Snapshot) -> set[str]:
    rows = SnapshotItem.objects.filter(snapshot=snapshot, split=Split.TEST)
    return set(rows.values_list("comparison__prompt__content_hash", flat=True))


@pytest.mark.parametrize(("share", "seed"), [(0.3, 0), (0.3, 1), (0.6, 4)])
def test_prompts_held_out_here_and_trained_on_there_are_counted(
    project: Project, tuned: Artifact, share: float, seed: int
) -> None:
    other = freeze(project=project, test_share=share, seed=seed)[0]
    held_out = _held_out(other)
    learned = {content_hash(row.messages) for row in tuned.run.demonstrations.demonstrations.filter(split="train")}
    assert learned == {prompt for prompt in learned | held_out if split_of(prompt, 0.2, 0) == Split.TRAIN}
    expected = {"prompts": len(held_out), "seen": len(held_out & learned), "by": ["SFT"]}
    assert expected["seen"], "another seed, or a larger share, holds out what was trained on"
    assert seen_before(_run(project, "dpo", tuned, other)) == expected


def test_of_one_seed_and_share_nothing_is_said(
    project: Project, policy: Artifact, tuned: Artifact, snapshot: Snapshot
) -> None:
    same = freeze(project=project, test_share=0.2)[0]
    assert _held_out(same)
    assert seen_before(_run(project, "dpo", tuned, same)) is None
    first = finished(project, policy, "dpo", snapshot=snapshot, name="Round 1")
    assert seen_before(_run(project, "dpo", first, snapshot)) is None, "successive rounds"
    assert seen_before(_run(project, "dpo", policy, snapshot)) is None, "nothing came before"
    assert seen_before(_run(project, "sample", tuned, snapshot)) is None, "nothing is trained"


def test_it_is_counted_through_merges_and_reward_models(
    project: Project, policy: Artifact, tuned: Artifact, snapshot: Snapshot
) -> None:
    other = freeze(project=project, test_share=0.3, seed=1)[0]
    merge = runs.create_run(project, "merge", {}, "whole", model=tuned)
    merged = Artifact.objects.create(project=project, name="Whole", location="/whole", parent=tuned, run=merge)
    judge = finished(project, policy, "reward", snapshot=snapshot, name="Judge")
    found = seen_before(_run(project, "ppo", merged, other, reward_model=judge))
    assert found is not None and set(found["by"]) == {"Judge", "SFT"}
    alone = seen_before(_run(project, "ppo", policy, other, reward_model=judge))
    assert alone is not None and alone["by"] == ["Judge"] and alone["seen"] <= found["seen"] <= found["prompts"]


def test_ties_are_trained_on_where_they_are_learned(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    other = freeze(project=project, test_share=0.3, seed=1)[0]
    SnapshotItem.objects.filter(snapshot=snapshot, split=Split.TRAIN).update(kind="tie")
    judge = finished(project, policy, "reward", snapshot=snapshot, name="Judge")
    run = _run(project, "ppo", policy, other, reward_model=judge)
    assert seen_before(run) is None
    Run.objects.filter(pk=judge.run_id).update(config={"ties": "davidson"})
    assert seen_before(Run.objects.get(pk=run.pk)) is not None


def test_the_job_the_page_the_api_and_the_card_tell_it(
    project: Project, tuned: Artifact, lead: User, client: Client, tmp_path: Path
) -> None:
    other = freeze(project=project, test_share=0.3, seed=1)[0]
    run = _run(project, "dpo", tuned, other)
    assert jobs.job_of(run, tmp_path)["lineage"]["seen_before"] == seen_before(run)
    seen = {"prompts": 9, "seen": 4, "by": ["SFT", "Policy"]}
    made = finished(project, tuned, "dpo", snapshot=other, lineage={"seen_before": seen})
    assert SAID in [note.text for note in notes_on_product(made.manifest) if note.warns]
    assert result_with_figures(Run.objects.get(pk=made.run_id))["seen_before"] == seen
    card = card_for(made).replace("\\", "")
    assert "The numbers flatter it: 4 of 9 held-out prompts had been trained on before, by SFT, Policy." in card
    client.force_login(lead)
    for address in (f"runs/{made.run_id}/", f"models/{made.pk}/"):
        assert SAID in client.get(f"/p/garden/{address}").content.decode()


def test_manifests_of_an_earlier_version_say_nothing_of_it(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    made = finished(project, policy, "dpo", snapshot=snapshot, lineage={"run": 1})
    assert not [note for note in notes_on_product(made.manifest) if "trained on before" in note.text]
    assert "seen_before" not in result_with_figures(Run.objects.get(pk=made.run_id))
    assert "flatter" not in card_for(made)
