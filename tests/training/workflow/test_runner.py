"""The supervisor with a real training process: what it does, and what becomes of a run when things are killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.utils import timezone

from annotate.models import Comparison, Project, Prompt, Snapshot
from tests.factories import make_prompts
from tests.training.background import in_background, until
from tests.training.database import environment
from tests.training.ml.judges import lora_judge
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.scorer import load_scorer
from training.ml.scoring import score
from training.models import Artifact, Run, RunState, Sample
from training.workflow import children, jobs, runner, runs, sampling, starting
from training.workflow.folders import artifact_folder, folder_of, log_of, progress_of
from training.workflow.tails import Tail

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SHORT = {"max_new_tokens": 8}
# So many steps that there is time to disturb it, with a checkpoint after each second.
LONG = {"epochs": 40, "batch_size": 2, "checkpoint_every": 2, "max_length": 256}
QUICK = {"batch_size": 4, "max_length": 256}


def _lines(run: Run) -> list[dict]:
    """What the training process has written about its steps."""
    lines = Tail(progress_of(run)).lines()
    return [line for line in lines if line["kind"] == "step" and line["stage"] == "training"]


def _steps(run: Run) -> list[int]:
    return [line["step"] for line in _lines(run)]


def _child(run: Run) -> psutil.Process:
    return psutil.Process(_pid(run))


def _trained_a_bit(run: Run) -> Callable[[], bool]:
    return lambda: len(_steps(run)) >= 4


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
@pytest.mark.parametrize(("recipe", "task"), [("reward", "reward"), ("dpo", "policy")])
def test_training_ends_with_an_artifact(
    project: Project, policy: Artifact, snapshot: Snapshot, recipe: str, task: str
) -> None:
    run = starting.start_training(project, recipe, snapshot, policy, QUICK)
    assert runner.execute(run.pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    artifact = Artifact.objects.get(run=run)
    assert (artifact.task, artifact.parent, artifact.snapshot) == (task, policy, snapshot)
    assert artifact.manifest["snapshot_hash"] == snapshot.content_hash
    assert artifact.manifest["lineage"]["run"] == run.pk
    assert artifact.manifest["data"]["train"] == snapshot.counts["train"]


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


def test_kill_9_of_the_process_is_told_and_resume_ends_with_an_artifact(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(_trained_a_bit(run))
    _child(run).kill()
    thread.join(30)
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    assert "signal 9" in run.reason
    assert not Artifact.objects.filter(run=run).exists()
    before = _lines(run)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    assert Artifact.objects.filter(run=run).count() == 1
    assert _steps(run) == sorted(set(_steps(run)))
    assert "start 2" in log_of(run).read_text()
    assert _lines(run)[0] == before[0], "it did not begin anew"


def test_cancel_saves_a_checkpoint_and_resume_goes_on_from_it(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "dpo", snapshot, policy, LONG)
    thread = in_background(run)
    until(_trained_a_bit(run))
    runs.request_cancel(run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    position = json.loads((folder_of(run) / "checkpoint" / "position.json").read_text())
    assert position["step"] == _steps(run)[-1]
    before = _lines(run)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    assert _lines(run)[: len(before)] == before
    assert _steps(run) == list(range(1, _steps(run)[-1] + 1))


def test_a_worker_that_is_stopped_gives_its_run_back(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(_trained_a_bit(run))
    runner.stopping.set()
    thread.join(60)
    run.refresh_from_db()
    assert (run.state, run.slot) == (RunState.QUEUED, None)
    assert (folder_of(run) / "checkpoint").exists()
    assert runner.execute(run.pk) == "", "a stopping worker takes nothing"


@pytest.mark.slow
@pytest.mark.long
def test_a_slot_of_several_devices_gives_a_run_as_many_processes(
    project: Project, policy: Artifact, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DEVICE_SLOTS", ["cpu*2"])
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(_trained_a_bit(run))
    workers = _child(run).children()
    assert len(workers) == 2
    runs.request_cancel(run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    assert Artifact.objects.get(run=run).manifest["processes"] == 2
    assert _steps(run) == list(range(1, _steps(run)[-1] + 1))


@pytest.mark.not_db
@pytest.mark.slow
def test_a_killed_run_leaves_none_of_its_processes(
    project: Project, policy: Artifact, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of a launcher have sessions of their own: a kill of its group does not reach them."""
    monkeypatch.setattr(settings, "DEVICE_SLOTS", ["cpu*2"])
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.0)
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(_trained_a_bit(run))
    workers = _child(run).children()
    runs.request_cancel(run)
    thread.join(60)
    assert Run.objects.get(pk=run.pk).state == RunState.CANCELLED
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


SUPERVISOR = """
import sys, django
django.setup()
from training.workflow import runner
runner.execute(int(sys.argv[1]))
"""


def test_kill_9_of_the_worker_leaves_no_second_process_and_the_run_goes_on(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    worker = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(run.pk)], cwd=settings.BASE_DIR, env=environment())
    until(_trained_a_bit(run))
    child = _child(run)
    worker.kill()
    worker.wait()
    later = timezone.now() + timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 1)
    assert [taken.pk for taken in runs.reconcile(later)] == [run.pk]
    run.refresh_from_db()
    thread = in_background(run)
    until(lambda: _pid(run) != child.pid)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    runs.request_cancel(run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert run.attempt == 2
    assert _steps(run) == list(range(1, _steps(run)[-1] + 1))


@pytest.mark.not_db
def test_an_orphan_ends_by_itself(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    command = [sys.executable, "-c", SUPERVISOR, str(run.pk)]
    worker = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment())
    until(_trained_a_bit(run))
    child = _child(run)
    worker.kill()
    worker.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 30)


def test_a_supervisor_that_lost_its_run_ends_its_process(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(_trained_a_bit(run))
    child = _child(run)
    runs.reconcile(timezone.now() + timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 10))
    thread.join(60)
    assert not child.is_running()
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_work_that_was_done_before_the_worker_died_is_not_done_again(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, QUICK)
    jobs.prepare(run)
    done = subprocess.run([sys.executable, "-m", "training.ml.run", str(folder_of(run))], cwd=settings.BASE_DIR)
    assert done.returncode == 0
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
    subprocess.run([sys.executable, "-m", "training.ml.run", str(folder_of(run))], cwd=settings.BASE_DIR, check=True)
    weights = next(artifact_folder(run).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    assert runner.execute(run.pk) == RunState.FAILED
    assert "weights" in Run.objects.get(pk=run.pk).reason
    assert not Artifact.objects.filter(run=run).exists()


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


@pytest.mark.parametrize("deaf", [False, True])
def test_an_old_process_of_the_folder_is_ended_before_a_new_one_starts(tmp_path: Path, deaf: bool) -> None:
    ear = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if deaf else ""
    code = f"import signal, time; {ear} print('up', flush=True); time.sleep(60)"
    old = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    old.stdout.readline()
    (tmp_path / children.PID_FILE).write_text(json.dumps({"pid": old.pid, "host": os.uname().nodename}))
    children.end_old_children(tmp_path, grace=1)
    assert old.poll() is not None


def test_a_process_id_that_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note = {"pid": bystander.pid, "host": os.uname().nodename}
    (tmp_path / children.PID_FILE).write_text(json.dumps(note))
    children.end_old_children(tmp_path)
    assert bystander.poll() is None
    bystander.send_signal(signal.SIGKILL)
    bystander.wait()


def _pid(run: Run) -> int:
    return json.loads((folder_of(run) / children.PID_FILE).read_text())["pid"]


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
