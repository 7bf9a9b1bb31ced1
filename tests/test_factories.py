"""What the factories make at once is what the verbs of life leave, row for row."""

from typing import Any

from django.db.models import Model

from annotate.models import Assignment, Comparison, Judgment, Project, Response, Role, User
from annotate.workflow.intake import compare, open_batch, store_response
from annotate.workflow.projects import create_project, set_member
from tests.factories import judge, judge_all, make_comparisons, make_prompts

# Drawn, or of the moment.
OWN = {"id", "client_key", "flipped", "leased_at", "expires_at", "updated_at", "created_at"}
CHOICES = ["a", "tie", "b", "a"]


def _rows(model: type[Model], **of: Any) -> list[dict[str, Any]]:
    """What is referred to is told by the first row that does so: two projects number their rows apart."""
    first: dict[tuple[str, Any], int] = {}
    return [
        {
            field.name: first.setdefault((field.name, value), number) if field.is_relation and value else value
            for field in model._meta.fields
            if field.name not in OWN
            for value in [getattr(row, field.attname)]
        }
        for number, row in enumerate(model.objects.filter(**of).order_by("pk"))
    ]


def _project(slug: str, lead: User, people: list[User]) -> Project:
    project = create_project(slug=slug, name=slug, manager=lead, overlap=2, guideline="Help.", summary="First")
    for user in people:
        set_member(project=project, user=user, role=Role.ANNOTATOR)
    return project


def test_many_rows_are_those_that_the_verbs_leave_one_by_one(lead: User, ann: User, ben: User) -> None:
    slow, fast = (_project(slug, lead, [ann, ben]) for slug in ("slow", "fast"))
    batch = open_batch(project=slow, name="First samples")
    for prompt in make_prompts(slow, 5):
        texts = (f"First, water it. ({prompt.key})", f"It grows by itself. ({prompt.key})")
        one, two = (
            store_response(prompt=prompt, text=text, source="model", key=str(i)) for i, text in enumerate(texts)
        )
        compare(batch=batch, prompt=prompt, response_a=one, response_b=two, key=f"c-{prompt.key}")
    make_comparisons(fast, 5)
    for user in (ann, ben):
        for choice in CHOICES:
            judge(slow, user, choice)
        judge_all(fast, user, CHOICES)
    assert _rows(Comparison, project=slow) == _rows(Comparison, project=fast)
    assert _rows(Response, prompt__project=slow, key="0") == _rows(Response, prompt__project=fast, key="0")
    assert _rows(Response, prompt__project=slow, key="1") == _rows(Response, prompt__project=fast, key="1")
    assert _rows(Assignment, comparison__project=slow) == _rows(Assignment, comparison__project=fast)
    assert _rows(Judgment, comparison__project=slow) == _rows(Judgment, comparison__project=fast)
    assert len(_rows(Judgment, comparison__project=fast)) == 2 * len(CHOICES)
