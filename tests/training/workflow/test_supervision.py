"""A supervisor's heart beats whatever it does, and a run is never in two hands."""

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from annotate.models import Project, Prompt
from tests.training.workflow.products import end, write_product
from training.models import Artifact, Run, RunState, Sample
from training.workflow import artifacts, children, jobs, outcomes, runner, runs, sampling, tails
from training.workflow.folders import artifact_folder, folder_of, progress_of
from training.workflow.manifests import verified_manifest

pytestmark = [pytest.mark.django_db, pytest.mark.not_db]


@pytest.fixture
def sampled(policy: Artifact, project: Project, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A claimed run whose process has written more than a look takes in at a time."""
    monkeypatch.setattr(sampling, "CHUNK", 2)
    monkeypatch.setattr(runner, "BEAT_SECONDS", 0.0)
    run = sampling.start_sampling(project, policy, {}, prompts)
    assert runs.claim(run, "host:local", "host:1")
    path = sampling.samples_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"model": "new", "tokens": 3, "finished": True, "seed": 1}
    lines = [{"prompt": p.pk, "index": i, "text": f"text {i}", **told} for p in prompts for i in range(2)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What every beat has told, in order."""
    heard: list[str | None] = []
    beat = runs.beat

    def counted(*given: Any) -> str | None:
        heard.append(beat(*given))
        return heard[-1]

    monkeypatch.setattr(runs, "beat", counted)
    return heard


def test_the_heart_beats_between_chunks_of_samples(sampled: Run, beats: list[str | None]) -> None:
    runner._Supervision(sampled)._look_at_files()
    assert Sample.objects.count() == 8
    assert len(beats) >= 4, "eight lines are four chunks"


def test_a_spoilt_line_ends_nothing_and_is_told_of_once(sampled: Run) -> None:
    """A disk that was full for a moment leaves a line that is half of one, or zeros."""
    path, whole = sampling.samples_of(sampled), sampling.samples_of(sampled).read_bytes()
    jobs.prepare(sampled)
    path.write_bytes(b'{"prompt": 1, "mo\n' + b"\0" * 40 + b"\n[1]\n" + whole)
    progress_of(sampled).write_text('half\n{"kind": "step", "stage": "sampling", "step": 4}\n')
    (folder_of(sampled) / "result.json").write_text("{}")
    assert runner.supervise(sampled) == RunState.SUCCEEDED
    assert Sample.objects.count() == 8 and Run.objects.get().progress["step"] == 4
    said = [str(event) for event in sampled.events.values_list("detail", flat=True) if "could not be read" in event]
    assert said == [
        "Lines of progress.jsonl that could not be read, and were left out: 1.",
        "Lines of samples.jsonl that could not be read, and were left out: 3.",
    ]


def test_nothing_more_is_taken_in_of_a_run_that_somebody_else_has(
    sampled: Run, beats: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = sampling._take_in

    def taken_over(run: Run, lines: list[dict[str, Any]]) -> int:
        Run.objects.update(attempt=9)
        return take_in(run, lines)

    monkeypatch.setattr(sampling, "_take_in", taken_over)
    supervised = runner._Supervision(sampled)
    supervised._look_at_files()
    assert Sample.objects.count() == 2
    assert supervised._left() == 0.0, "its process is not waited for"


def test_the_heart_beats_while_weights_are_hashed(
    sampled: Run, beats: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    supervised = runner._Supervision(sampled)

    def until_it_has_beaten() -> str:
        while len(beats) < 3:
            time.sleep(0.005)
        return "hash"

    assert supervised._while_beating(until_it_has_beaten) == "hash"

    def broken() -> str:
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        supervised._while_beating(broken)


def test_a_beat_that_the_database_refuses_is_not_the_last_one_while_weights_are_hashed(
    sampled: Run, beats: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing is heard of the supervisor until the hash is done, and another one begins beside it."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    beat, refused = runs.beat, [OperationalError("database is locked")]

    def beat_but_for_once(*given: Any) -> str | None:
        if refused:
            raise refused.pop()
        return beat(*given)

    monkeypatch.setattr(runs, "beat", beat_but_for_once)
    supervised = runner._Supervision(sampled)
    monkeypatch.setattr(supervised, "_sits_out", lambda error: True)

    def until_it_has_beaten() -> str:
        deadline = time.monotonic() + 2
        while not beats and time.monotonic() < deadline:
            time.sleep(0.005)
        return "hash"

    assert supervised._while_beating(until_it_has_beaten) == "hash"
    assert beats and not refused


@pytest.mark.parametrize("verb", [(jobs, "prepare"), (children, "start")])
def test_a_database_that_is_away_for_a_moment_does_not_fail_a_run_that_begins(
    sampled: Run, verb: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.prepare(sampled)
    (folder_of(sampled) / "result.json").write_text("{}")
    do, refused = getattr(*verb), [OperationalError("database is locked")]

    def do_but_for_once(*given: Any) -> Any:
        if refused:
            raise refused.pop()
        return do(*given)

    monkeypatch.setattr(*verb, do_but_for_once)
    monkeypatch.setattr(children, "_command", lambda folder, processes: [sys.executable, "-c", ""])
    monkeypatch.setattr(runner._Supervision, "_sits_out", lambda supervised, error: True)
    monkeypatch.setattr(outcomes, "is_complete", lambda run: False)
    assert runner.supervise(sampled) == RunState.SUCCEEDED and not refused


def test_without_a_database_a_run_is_given_up_while_there_is_time_to_end_its_process(sampled: Run) -> None:
    supervised = runner._Supervision(sampled)
    away = OperationalError("gone")
    assert supervised._sits_out(away)
    supervised.beaten_at -= 0.6 * settings.HEARTBEAT_TIMEOUT
    assert not supervised._sits_out(away)
    assert 0 < supervised._left() < settings.HEARTBEAT_TIMEOUT / 2


def test_samples_that_the_database_did_not_take_are_offered_again(
    sampled: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It restarts, or another writer has it for longer than SQLite waits, in the middle of a chunk."""
    take_in, refused = sampling._take_in, [OperationalError("database is locked")]

    def take_in_but_for_once(run: Run, lines: list[dict[str, Any]]) -> int:
        met = take_in(run, lines)
        if refused and Sample.objects.count() > 2:
            raise refused.pop()
        return met

    monkeypatch.setattr(sampling, "_take_in", take_in_but_for_once)
    supervised = runner._Supervision(sampled)
    monkeypatch.setattr(supervised, "_sits_out", lambda error: True)
    supervised._patiently(supervised._look_at_files)
    assert Sample.objects.count() == 8 and not refused


def test_files_that_cannot_be_read_for_a_moment_end_no_training(sampled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared disk is away, and the process that works there waits for it as well: the next look reads them."""
    supervised, parse = runner._Supervision(sampled), tails.parsed
    for good in (0, 1):
        read = iter([parse] * good)

        def stale(line: bytes, read: Any = read) -> Any:
            if (one := next(read, None)) is None:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return one(line)

        monkeypatch.setattr(tails, "parsed", stale)
        assert supervised._look(), "the run is still ours"
    monkeypatch.setattr(tails, "parsed", parse)
    assert supervised._look() and Sample.objects.count() == 8


def finished_run(project: Project, policy: Artifact) -> tuple[Run, dict[str, Any]]:
    run = runs.create_run(project, "dpo", {}, "a policy", model=policy)
    end(run)
    write_product(artifact_folder(run), "dpo", {**run.config})
    return run, verified_manifest(artifact_folder(run))


def test_a_product_that_the_disk_does_not_give_just_then_is_not_called_broken(
    project: Project, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """“Start the run anew” would throw away what the next look finds whole."""
    run = runs.create_run(project, "dpo", {}, "a policy", model=policy)
    assert runs.claim(run, "host:local", "host:1")
    jobs.prepare(run)
    write_product(artifact_folder(run), "dpo", {**run.config})

    def stale(path: Path, *given: Any, **more: Any) -> str:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as away:
        away.setattr(jobs, "prepare", lambda run: None)
        away.setattr(Path, "read_text", stale)
        assert runner.supervise(run) == RunState.FAILED
    assert "resume" in run.hint and "anew" not in run.hint
    assert runs.claim(runs.resume(run), "host:local", "host:1")
    assert runner.supervise(run) == RunState.SUCCEEDED and Artifact.objects.filter(run=run).exists()


def test_two_supervisors_list_a_product_once(
    project: Project, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, manifest = finished_run(project, policy)
    name, others = artifacts._free_name, []

    def meanwhile(*given: Any) -> str:
        monkeypatch.setattr(artifacts, "_free_name", name)
        others.append(artifacts.import_product(run, manifest))
        return name(*given)

    monkeypatch.setattr(artifacts, "_free_name", meanwhile)
    assert artifacts.import_product(run, manifest) == others[0]
    assert Artifact.objects.filter(run=run).count() == 1


def test_three_runs_of_one_name_that_end_at_once_are_all_listed(
    project: Project, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, manifest), (second, _), (third, _) = (finished_run(project, policy) for _ in range(3))
    name, others = artifacts._free_name, [third, second]

    def taken_meanwhile(*given: Any) -> str:
        free = name(*given)
        if others:
            other = others.pop()
            with monkeypatch.context() as patch:
                patch.setattr(artifacts, "_free_name", name)
                artifacts.import_product(other, manifest)
        return free

    monkeypatch.setattr(artifacts, "_free_name", taken_meanwhile)
    assert artifacts.import_product(first, manifest).name == "a policy (3)"
    assert [Artifact.objects.get(run=run).name for run in (second, third)] == ["a policy", "a policy (2)"]
