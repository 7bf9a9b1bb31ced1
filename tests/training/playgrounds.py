"""Playgrounds without a training process: started, claimed, and answered as the process would."""

from typing import Any

from annotate.models import Project
from tests.training.views.conftest import write_progress
from training.models import Artifact, Playground, RunState, Task
from training.workflow import runs
from training.workflow.playground import mailbox_of, start_playground

TEXTS = {"first": "Water it.", "second": "It grows by itself."}


def models(project: Project) -> tuple[Artifact, Artifact, Artifact]:
    """Two policies and a reward model."""
    one, two = (Artifact.objects.create(project=project, name=n, location=f"owner/{n}") for n in ("alpha", "beta"))
    judge = Artifact.objects.create(project=project, name="judge", task=Task.REWARD, location="owner/judge")
    return one, two, judge


def begun(project: Project, asked: list[Artifact], **more: Any) -> Playground:
    """One whose process has loaded everything."""
    session = start_playground(project, asked, **more)
    assert runs.claim(session.run, f"host:{session.run_id}", "host:1")
    write_progress(session.run, [{"time": 1.0, "kind": "status", "stage": "serving"}])
    session.run.refresh_from_db()
    return session


def over(session: Playground, state: RunState = RunState.SUCCEEDED, **more: Any) -> Playground:
    assert runs.finish(session.run, state, **more)
    return session


def reply(session: Playground, number: int, texts: dict[str, str] | None = None, **facts: Any) -> None:
    """What each model says; `facts` differ from those of an answer that has ended by itself."""
    mailbox = mailbox_of(session)
    for part in mailbox.request(number)["order"]:
        text = (texts or TEXTS)[part]
        told = {"text": text, "tokens": len(text.split()), "finished": True, "done": True, "seed": 7, **facts}
        mailbox.write_answer(number, part, told)


def reply_score(session: Playground, number: int, response: str, scores: list[float], ends: list[int]) -> None:
    rows = [{"end": end, "score": score} for end, score in zip(ends, scores, strict=True)]
    told = {"total": scores[-1], "tokens": 9, "sentences": rows, "done": True}
    mailbox_of(session).write_answer(number, "score", told)
