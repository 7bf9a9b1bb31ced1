"""A tiny real model, judged pairs in which naming the steps wins, and runs in a worker of their own."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

from annotate.models import Project, Prompt, Snapshot, User
from annotate.workflow.assignment import lease_next
from annotate.workflow.intake import compare, content_hash, open_batch, store_response
from annotate.workflow.judging import submit_judgment
from annotate.workflow.snapshots import freeze
from tests.training.fixture_model import build_fixture_model
from tests.training.planted import planted_rows
from tests.training.small_model import SPEED
from training.models import Artifact
from training.workflow import device, runner
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
    batch = open_batch(project=project, name="First samples")
    for number, row in enumerate(planted_rows(PAIRS)):
        texts = [row["chosen"][0]["content"], row["rejected"][0]["content"]]
        prompt = Prompt.objects.create(
            project=project, key=f"p{number}", messages=row["prompt"], content_hash=content_hash(row["prompt"])
        )
        made = [
            store_response(prompt=prompt, text=text, source="somebody", key=str(i), metadata={})
            for i, text in enumerate(texts)
        ]
        sides = made if number % 2 else made[::-1]
        compare(batch=batch, prompt=prompt, response_a=sides[0], response_b=sides[1], key=f"c{number}")
    while lease := lease_next(project=project, annotator=ann):
        choice = "a" if lease.comparison.response_a.key == "0" else "b"
        submit_judgment(assignment_id=lease.pk, annotator=ann, choice=choice, client_key=uuid.uuid4())
    return freeze(project=project, test_share=0.3)[0]


@pytest.fixture(autouse=True)
def no_stop_left_over() -> Iterator[None]:
    runner.stopping.clear()
    yield
    runner.stopping.clear()
