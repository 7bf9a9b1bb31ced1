"""The supervisor with its training process: what it takes in of what that leaves behind, and what it says of it."""

import json
from pathlib import Path

import pytest

from annotate.models import Comparison, Project, Prompt, Snapshot
from tests.factories import make_prompts
from tests.training.background import in_background, until
from tests.training.ml import child
from tests.training.ml.judges import lora_judge
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.scorer import load_scorer
from training.ml.scoring import score
from training.models import Artifact, Run, RunState, Sample
from training.workflow import jobs, runner, runs, sampling, starting
from training.workflow.folders import artifact_folder, folder_of, log_of, progress_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SHORT = {"max_new_tokens": 8}
QUICK = {"batch_size": 4, "max_length": 256}


def test_samples_become_comparisons_and_are_scored(
    project: Project, policy: Artifact, prompts: list[Prompt], tmp_path: Path
) -> None:
    judge = lora_judge(tmp_path, Path(policy.location))
    facts = {"task": "reward", "is_adapter": True, "parent": policy}
    scorer = Artifact.objects.create(project=project, name="judge", location=judge["adapters"][0], **facts)
    run = sampling.start_sampling(project, policy, SHORT, prompts, reward_model=scorer)
    assert runner.execute(run.pk) == RunState.SUCCEEDED
    run.refresh_from_db()
    assert run.slot is None
    assert run.result["samples"] == 8
    assert run.result["comparisons"] + run.result["identical"] == 4
    assert Comparison.objects.filter(batch=run.batch).count() == run.result["comparisons"] > 0
    assert run.progress["kind"] in ("step", "status")
    samples = Sample.objects.filter(run=run).select_related("response__prompt")
    asked = load_scorer(ModelSpec(**judge), cache=tmp_path, device=choose_device(), on_convert=lambda: None)
    texts = [(sample.response.prompt.messages, sample.response.text) for sample in samples]
    assert [sample.score for sample in samples] == pytest.approx(
        score(asked.model, asked.tokenizer, texts, 3), abs=1e-5
    )
    assert run.result["scores"]["prompts"] == 4
    assert list(run.events.values_list("state", flat=True)) == ["queued", "running", "succeeded"]


@pytest.mark.usefixtures("forked")
def test_the_first_comparison_is_there_while_the_rest_is_sampled(project: Project, policy: Artifact) -> None:
    config = {"max_new_tokens": 100, "batch_size": 1}
    run = sampling.start_sampling(project, policy, config, make_prompts(project, 40))
    thread = in_background(run)
    until(lambda: Comparison.objects.filter(batch=run.batch).exists())
    assert Run.objects.get().state == RunState.RUNNING
    assert Comparison.objects.count() < 40
    runs.request_cancel(run)
    thread.join(60)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED
    run.refresh_from_db()
    assert run.result["samples"] == Sample.objects.filter(run=run).count() == 80


@pytest.mark.not_db
@pytest.mark.parametrize(("recipe", "task", "process"), [("reward", "reward", "real"), ("dpo", "policy", "forked")])
def test_training_ends_with_an_artifact(
    project: Project,
    policy: Artifact,
    snapshot: Snapshot,
    recipe: str,
    task: str,
    process: str,
    request: pytest.FixtureRequest,
) -> None:
    if process == "forked":
        request.getfixturevalue(process)
    run = starting.start_training(project, recipe, snapshot, policy, QUICK)
    assert runner.execute(run.pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    artifact = Artifact.objects.get(run=run)
    assert (artifact.task, artifact.parent, artifact.snapshot) == (task, policy, snapshot)
    assert artifact.manifest["snapshot_hash"] == snapshot.content_hash
    assert artifact.manifest["lineage"]["run"] == run.pk
    assert artifact.manifest["data"]["train"] == snapshot.counts["train"]


@pytest.mark.usefixtures("forked")
def test_a_known_failure_says_what_to_do(
    project: Project, policy: Artifact, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy.location = str(tmp_path / "vanished")
    policy.save()
    run = sampling.start_sampling(project, policy, SHORT, prompts)
    assert runner.execute(run.pk) == RunState.FAILED
    run.refresh_from_db()
    assert "vanished" in run.reason
    assert run.hint
    assert "vanished" in run.log_tail


def test_work_that_was_done_before_the_worker_died_is_not_done_again(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, QUICK)
    jobs.prepare(run)
    assert child.finish(child.start(folder_of(run))) == 0
    log_of(run).unlink(missing_ok=True)
    assert runner.execute(run.pk) == RunState.SUCCEEDED
    assert not log_of(run).exists(), "no process was started"
    assert Artifact.objects.filter(run=run).exists()


@pytest.mark.not_db
def test_weights_that_are_not_those_of_the_manifest_are_never_listed(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, QUICK)
    jobs.prepare(run)
    assert child.finish(child.start(folder_of(run))) == 0
    weights = next(artifact_folder(run).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    assert runner.execute(run.pk) == RunState.FAILED
    assert "weights" in Run.objects.get(pk=run.pk).reason
    assert not Artifact.objects.filter(run=run).exists()


@pytest.mark.usefixtures("forked")
def test_the_folder_of_an_earlier_database_is_set_aside(
    project: Project, policy: Artifact, prompts: list[Prompt]
) -> None:
    run = sampling.start_sampling(project, policy, SHORT, prompts)
    stranger = folder_of(run)
    stranger.mkdir(parents=True)
    (stranger / "job.json").write_text('{"lineage": {"created": "long ago"}}')
    (stranger / "result.json").write_text("{}")
    assert runner.execute(run.pk) == RunState.SUCCEEDED
    assert run.samples.count() == 8
    assert list(stranger.parent.glob(f"{run.pk}.aside-*/result.json"))


def test_what_is_told_last_is_how_far_it_is(project: Project, policy: Artifact) -> None:
    """Samples and evaluations are written between two steps: the step stays on the page."""
    run = runs.create_run(project, "dpo", {}, "policy", model=policy)
    assert runs.claim(run, "h:gpu0", "h:1")
    supervised = runner._Supervision(run)
    path = progress_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"kind": "step", "step": 3, "steps": 9}, {"kind": "samples", "step": 3}, {"kind": "eval", "step": 3}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    supervised._look_at_files()
    assert supervised.progress == lines[0]
