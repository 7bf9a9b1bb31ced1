"""The numbers of a run reach TensorBoard always, and MLflow and W&B where configured; no doubles, no harm."""

import base64
import errno
import json
import os
import struct
import sys
import types
from pathlib import Path

import pytest

from tests.training.ml.jobs import job_of
from tests.training.ml.test_event_file import records
from tests.training.ml.tracking_server import tracking_server
from training.ml import run as door
from training.ml import tracking
from training.ml.cancel import Cancelled
from training.ml.job import Job
from training.ml.progress import Progress


@pytest.fixture(autouse=True)
def nothing_is_configured(monkeypatch):
    for name in ("TRACKING_URI", "EXPERIMENT_NAME", "TRACKING_TOKEN", "TRACKING_USERNAME", "TRACKING_PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    for name in ("WANDB_PROJECT", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tracking, "SECONDS", 0.02)


@pytest.fixture
def job(tmp_path) -> Job:
    data = {"train": "/no", "test": "/no", "snapshot_hash": "abc"}
    return job_of(tmp_path / "job", "dpo", Path("/no"), data, epochs=2)


@pytest.fixture
def server(monkeypatch):
    with tracking_server() as (address, kept):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield kept


def train(job: Job, first: int, last: int, raising: Exception | None = None) -> None:
    """What a recipe writes: from the step after its checkpoint on, and at the end an evaluation."""
    with tracking.tracked(job):
        progress = Progress(job.directory)
        progress.truncate_after(first - 1)
        for number in range(first, last + 1):
            progress.step("training", step=number, steps=9, metrics={"loss": 1 / number}, tokens_per_second=50.0)
        if raising:
            raise raising
        progress.evaluation(metrics={"accuracy": 0.75}, step=last)


def scalars(directory: Path) -> list[tuple[int, str]]:
    """(step, event's data) of the only event file, in its order, without version and session."""
    [file] = (directory / "tensorboard").iterdir()
    found = []
    for data in records(file.read_bytes())[2:]:
        step, at = 0, 10
        for shift in range(0, 64, 7):
            byte = data[at]
            at += 1
            step |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        found.append((step, data))
    return found


def notices(job: Job) -> list[str]:
    path = job.directory / "notices.jsonl"
    return [json.loads(line)["text"] for line in path.read_text().splitlines()] if path.exists() else []


def test_every_step_and_evaluation_is_in_the_event_file(job):
    train(job, 1, 3)
    found = scalars(job.directory)
    assert [step for step, _data in found] == [1, 2, 3, 3]
    assert b"training/loss\x15" + struct.pack("<f", 0.5) in found[1][1]
    assert b"training/memory_bytes" in found[1][1] and b"training/tokens_per_second" in found[1][1]
    assert b"held_out/accuracy\x15" + struct.pack("<f", 0.75) in found[3][1]
    assert notices(job) == []


def test_a_resumed_run_has_one_event_file_without_doubles(job):
    with pytest.raises(Cancelled):
        train(job, 1, 5, Cancelled())
    train(job, 4, 6)
    assert [step for step, _data in scalars(job.directory)] == [1, 2, 3, 4, 5, 6, 6]


def test_a_torn_line_is_left_for_later_and_a_spoilt_one_left_out(job):
    path = job.directory / "progress.jsonl"
    follower = tracking.Follower(job.directory, [], tracking.Notices(job.directory))
    path.write_text('{"kind": "step", "stage": "training", "time": 1, "step": 1, "metrics": {"loss": 1}}\n\0\0\n{"ki')
    assert [point.values for point in follower.points()] == [{"training/loss": 1.0}]
    with path.open("a") as file:
        file.write('nd": "step", "stage": "training", "time": 1, "step": 2, "metrics": {"loss": null, "margin": 2}}\n')
    assert [(point.step, point.values) for point in follower.points()] == [(2, {"training/margin": 2.0})]


def test_mlflow_gets_settings_origin_and_every_number_once(job, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "garden")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    train(job, 1, 3)
    [run] = server.runs.values()
    assert server.experiments == {"garden": run["experiment_id"]}
    assert {"key": "plumbline.snapshot_hash", "value": "abc"} in run["tags"]
    assert {"key": "epochs", "value": "2"} in run["params"]
    assert [(step, value) for key, step, value in server.metrics() if key == "training/loss"] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
    ]
    assert ("held_out/accuracy", 3, 0.75) in server.metrics()
    assert run["status"] == "FINISHED"
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret"}


def test_a_resumed_run_goes_on_with_the_same_run_of_mlflow_and_writes_no_doubles(job, server):
    with pytest.raises(Cancelled):
        train(job, 1, 5, Cancelled())
    assert server.runs["r0"]["status"] == "KILLED"
    train(job, 4, 6)
    assert list(server.runs) == ["r0"]
    assert [step for key, step, _value in server.metrics() if key == "training/loss"] == [1, 2, 3, 4, 5, 6]
    assert server.runs["r0"]["status"] == "FINISHED"


def test_a_server_that_is_away_for_a_while_gets_everything_later_and_the_run_says_so(job, server, monkeypatch):
    server.down = True
    with tracking.tracked(job):
        progress = Progress(job.directory)
        progress.step("training", step=1, steps=2, metrics={"loss": 1.0})
        while not notices(job):
            pass
        server.down = False
        progress.step("training", step=2, steps=2, metrics={"loss": 0.5})
    assert [step for key, step, _value in server.metrics() if key == "training/loss"] == [1, 2]
    assert len(notices(job)) == 1 and "MLflow does not take the numbers" in notices(job)[0]


def test_an_answer_that_comes_too_late_makes_no_second_run(job, server):
    server.too_late = True
    train(job, 1, 2)
    with pytest.raises(Cancelled):
        train(job, 1, 2, Cancelled())
    assert list(server.runs) == ["r0"]
    assert {"key": "epochs", "value": "2"} in server.runs["r0"]["params"]
    assert [step for key, step, _value in server.metrics() if key == "training/loss"] == [1, 2]


def test_a_server_that_is_never_there_ends_no_run(job, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    train(job, 1, 2)
    assert "MLflow does not take the numbers" in notices(job)[0]
    assert [step for step, _data in scalars(job.directory)] == [1, 2, 2]


def with_login(address: str, login: str) -> str:
    return address.replace("://", f"://{login}@")


def test_name_and_password_in_the_address_go_into_the_header(job, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", with_login(os.environ["MLFLOW_TRACKING_URI"], "ann:s3%40cret"))
    train(job, 1, 1)
    assert server.runs["r0"]["status"] == "FINISHED" and notices(job) == []
    assert {base64.b64decode(head["Authorization"].split()[1]) for head in server.headers} == {b"ann:s3@cret"}


def test_a_login_of_its_own_goes_before_that_of_the_address(job, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", with_login(os.environ["MLFLOW_TRACKING_URI"], "ann:s3cret"))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mine")
    train(job, 1, 1)
    assert {head["Authorization"] for head in server.headers} == {"Bearer mine"}


@pytest.mark.parametrize("address", ["http://ann:s3cret@127.0.0.1", "http://ann:s3cret@127.0.0.1:no", "http://[s3cret"])
def test_no_password_of_an_address_reaches_page_or_log(job, monkeypatch, capfd, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    train(job, 1, 1)
    [told] = notices(job)
    output = capfd.readouterr()
    assert "s3cret" not in told + output.out + output.err
    assert "MLflow" in told or "MLFLOW" in told


def test_what_a_trackers_error_quotes_of_a_secret_is_taken_out(job, monkeypatch, capfd):
    """As a package may do it that fails at a proxy, or at a key that it does not know."""
    monkeypatch.setenv("WANDB_API_KEY", "k3y-of-ours")
    package = Package()
    package.init = lambda **given: fail_with("no answer from https://ann:s3cret@proxy.example.org for k3y-of-ours")
    monkeypatch.setitem(sys.modules, "wandb", package)
    train(job, 1, 1)
    output = capfd.readouterr()
    assert "proxy.example.org" in notices(job)[0] and "proxy.example.org" in output.err
    for secret in ("s3cret", "k3y-of-ours"):
        assert secret not in notices(job)[0] + output.err


def fail_with(words: str) -> None:
    raise RuntimeError(words)


def test_a_place_that_is_no_server_is_told(job, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    train(job, 1, 1)
    assert "no http address" in notices(job)[0]


def test_wandb_without_its_package_is_told_and_the_run_goes_on(job, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "garden")
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    train(job, 1, 1)
    assert "package is not installed" in notices(job)[0]


class Package(types.ModuleType):
    """Stands for the package of Weights & Biases: what it was told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace(name="wandb")
        self.begun: list[dict] = []
        self.logged: list[tuple[int, dict]] = []
        self.ended: list[int] = []

    def Settings(self, **given):
        return given

    def init(self, **given):
        self.begun.append(given)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self, exit_code):
        self.ended.append(exit_code)


def test_wandb_goes_on_with_its_run_after_a_resumption(job, monkeypatch):
    package = Package()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    monkeypatch.setitem(sys.modules, "wandb", package)
    with pytest.raises(Cancelled):
        train(job, 1, 3, Cancelled())
    train(job, 3, 4)
    assert [step for step, _values in package.logged] == [1, 2, 3, 4, 4]
    assert len({begun["id"] for begun in package.begun}) == 1 and package.begun[0]["resume"] == "allow"
    assert package.ended == [1, 0]


def test_what_is_kept_for_a_tracker_that_takes_nothing_has_an_end_and_is_counted(job, monkeypatch):
    monkeypatch.setattr(tracking, "MOST_WAITING", 3)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    notes = tracking.Notices(job.directory)
    follower = tracking.Follower(job.directory, tracking.trackers_of(job, notes), notes)
    progress = Progress(job.directory)
    for number in range(1, 9):
        progress.step("training", step=number, steps=9, metrics={"loss": 1 / number})
        follower.look()
    board, mlflow = follower.pending
    assert [point.step for point in follower.pending[mlflow]] == [6, 7, 8] and not follower.pending[board]
    follower.ended.set()
    follower.run()
    [said] = [said for said in notices(job) if "oldest" in said]
    assert "MLflow" in said and "oldest 5 lines" in said


def test_a_disk_that_is_full_or_away_for_a_moment_is_no_end_of_the_mirroring(job, monkeypatch):
    """Neither the tracker nor the notice of that can be written, and then the file that is followed cannot be read."""
    notes = tracking.Notices(job.directory)
    follower = tracking.Follower(job.directory, tracking.trackers_of(job, notes), notes)
    progress, open_file = Progress(job.directory), Path.open
    progress.step("training", step=1, steps=9, metrics={"loss": 1.0})
    for broken in (("ab", "wb", "a"), ("rb",)):

        def away(path: Path, mode: str = "r", *more, broken=broken, **named):
            if mode in broken:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return open_file(path, mode, *more, **named)

        monkeypatch.setattr(Path, "open", away)
        follower.look()
    monkeypatch.setattr(Path, "open", open_file)
    progress.step("training", step=2, steps=9, metrics={"loss": 0.5})
    follower.look()
    assert [step for step, _data in scalars(job.directory)] == [1, 2]


def test_the_door_of_the_room_tracks_whatever_job_it_does(job, server, monkeypatch):
    """Through the real door: a job that fails tells so to whoever keeps its numbers."""

    def fail(job: Job) -> None:
        Progress(job.directory).step("training", step=1, steps=2, metrics={"loss": 1.0})
        raise MemoryError("out of memory")

    monkeypatch.setattr(door, "perform", fail)
    monkeypatch.setattr(door.os, "nice", lambda _: 0)
    assert door.main([str(job.directory)]) == door.FAILED
    assert server.runs["r0"]["status"] == "FAILED"
    assert [step for step, _data in scalars(job.directory)] == [1]


def test_of_several_processes_only_the_first_tells(job, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    train(job, 1, 1)
    assert not (job.directory / "tensorboard").exists()
