"""Names of runs tell one from the next, and are the same whoever starts them in whatever language."""

import pytest
from django.utils import translation

from annotate.models import Project, Snapshot
from training.models import Artifact
from training.workflow import benches, naming, starting

pytestmark = pytest.mark.django_db


def test_method_model_snapshot_and_a_chosen_seed_tell_runs_apart(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    made = [
        starting.start_training(project, "reward", snapshot, policy, config, seed=seed).name
        for config, seed in (({}, 0), ({"adapter": "head"}, 0), ({}, 3))
    ]
    end = f"{policy} · s{snapshot.number}"
    assert made == [f"reward · lora · {end}", f"reward · head · {end}", f"reward · lora · {end} · seed 3"]


def test_the_language_of_whoever_starts_it_is_not_in_the_name(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    with translation.override("en"):
        english = starting.start_training(project, "dpo", snapshot, policy, {}).name
    with translation.override("zh-hans"):
        assert starting.start_training(project, "dpo", snapshot, policy, {}).name == english


def test_the_runs_of_a_bench_have_the_short_names_of_their_methods(
    project: Project, snapshot: Snapshot, policy: Artifact
) -> None:
    bench = benches.start_bench(project, "reward", snapshot, policy, methods=("head", "lora"))
    end = f"{policy} · s{snapshot.number}"
    names = {f"Bench {bench.number} · reward · {method} · {end}" for method in ("head", "lora")}
    assert {run.name for run in bench.runs.all()} == names


def test_long_names_of_models_and_runs_are_cut(project: Project) -> None:
    model = Artifact(project=project, name="m" * 120)
    assert naming.name_of("dpo", {}, model=model) == f"dpo · {'m' * 59}…"
