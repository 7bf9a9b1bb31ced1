"""Rows for tests, made through the same verbs as in life."""

import uuid

from annotate.models import Choice, Comparison, Judgment, Project, Prompt, User
from annotate.workflow.assignment import lease_next
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.intake import compare, content_hash, open_batch, store_response
from annotate.workflow.judging import submit_judgment

PASSWORD = "correct horse battery"


def make_user(name: str, **fields: object) -> User:
    return User.objects.create_user(name, password=PASSWORD, **fields)


def make_prompts(project: Project, n: int, start: int = 0) -> list[Prompt]:
    prompts = []
    for i in range(start, start + n):
        messages = [{"role": "user", "content": f"How do I grow plant number {i}?"}]
        prompts.append(Prompt(project=project, key=f"p{i}", messages=messages, content_hash=content_hash(messages)))
    return Prompt.objects.bulk_create(prompts)


def make_comparisons(project: Project, n: int, *, batch: str = "First samples", start: int = 0) -> list[Comparison]:
    opened = open_batch(project=project, name=batch)
    return [_comparison(opened, prompt) for prompt in make_prompts(project, n, start)]


def _comparison(batch: object, prompt: Prompt) -> Comparison:
    one = store_response(prompt=prompt, text=f"First, water it. ({prompt.key})", source="model", key="0")
    two = store_response(prompt=prompt, text=f"It grows by itself. ({prompt.key})", source="model", key="1")
    made = compare(batch=batch, prompt=prompt, response_a=one, response_b=two, key=f"c-{prompt.key}")
    assert made is not None
    return made


def judge(project: Project, annotator: User, choice: Choice | str, degree: int | None = None) -> Judgment:
    """Take the next card and answer it."""
    mark_read(version=current_version(project), user=annotator)
    assignment = lease_next(project=project, annotator=annotator)
    assert assignment is not None, "nothing left to judge"
    return submit_judgment(
        assignment_id=assignment.pk,
        annotator=annotator,
        choice=Choice(choice),
        degree=degree,
        client_key=uuid.uuid4(),
    )


def judge_all(project: Project, annotator: User, choices: list[str]) -> list[Judgment]:
    return [judge(project, annotator, choice) for choice in choices]
