"""A tiny real model, judged pairs in which naming the steps wins, and runs in a worker of their own."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

from annotate.models import Project, Prompt, Snapshot, User
from annotate.workflow.intake import content_hash, open_batch
from annotate.workflow.snapshots import freeze
from tests.factories import compare_all, judge_all, make_responses
from tests.training.fixture_model import build_fixture_model
from tests.training.forked import ForkedChild
from tests.training.planted import planted_rows
from tests.training.small_model import SPEED
from training.models import Artifact
from training.workflow import children, device, runner
from training.workflow.artifacts import register_base

PAIRS = 24


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("fixture") / "model")


@pytest.fixture
def speed_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring takes seconds, and its result is another every time."""
    monkeypatch.setattr(device, "measured_speed", lambda: SPEED)


@pytest.fixture
def policy(project: Project, model_folder: Path) -> Artifact:
    return register_base(project, "fixture", str(model_folder))


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    """Four prompts that nobody has seen."""
    turns = [[{"role": "user", "content": f"How do I mend bicycle number {i}?"}] for i in range(4)]
    rows = [
        Prompt(project=project, key=f"fresh{i}", messages=t, content_hash=content_hash(t)) for i, t in enumerate(turns)
    ]
    return Prompt.objects.bulk_create(rows)


@pytest.fixture
def snapshot(project: Project, ann: User) -> Snapshot:
    """PAIRS judged comparisons; the response that names its steps is A in every second one."""
    project.overlap = 1
    project.save()
    batch, rows = open_batch(project=project, name="First samples"), planted_rows(PAIRS)
    prompts = Prompt.objects.bulk_create(
        Prompt(project=project, key=f"p{i}", messages=row["prompt"], content_hash=content_hash(row["prompt"]))
        for i, row in enumerate(rows)
    )
    chosen, rejected = (
        make_responses(
            ((prompt, row[name][0]["content"]) for prompt, row in zip(prompts, rows, strict=True)),
            key=key,
            source="somebody",
        )
        for key, name in (("0", "chosen"), ("1", "rejected"))
    )
    sides = [pair if i % 2 else pair[::-1] for i, pair in enumerate(zip(chosen, rejected, strict=True))]
    compare_all(batch, [a for a, _b in sides], [b for _a, b in sides])
    judge_all(project, ann, ["a" if i % 2 else "b" for i in range(PAIRS)])
    return freeze(project=project, test_share=0.3)[0]


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervisors of this process fork their training processes."""
    names = {name: getattr(subprocess, name) for name in ("DEVNULL", "STDOUT", "TimeoutExpired")}
    monkeypatch.setattr(children, "subprocess", SimpleNamespace(Popen=ForkedChild, **names))


@pytest.fixture(autouse=True)
def no_stop_left_over() -> Iterator[None]:
    runner.stopping.clear()
    yield
    runner.stopping.clear()
