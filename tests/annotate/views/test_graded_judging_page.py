"""The judging page of a project that asks for degrees: one button and one key an answer, and nothing new elsewhere."""

import re
import uuid

import pytest
from django.test import Client

from annotate.models import Assignment, Comparison, Judgment, Project, User
from annotate.workflow.assignment import lease_next
from annotate.workflow.guidelines import current_version, mark_read

JUDGE = "/p/garden/judge/"
HTMX = {"HX-Request": "true", "HX-Target": "card"}


@pytest.fixture
def page(client: Client, ann: User) -> Client:
    client.force_login(ann)
    return client


def _lease(project: Project, ann: User, degrees: int) -> Assignment:
    Project.objects.filter(pk=project.pk).update(degrees=degrees)
    project.refresh_from_db()
    leased = lease_next(project=project, annotator=ann)
    assert leased is not None
    return leased


def _buttons(html: str) -> list[tuple[str, str]]:
    """(value, key) in the order of the page."""
    return re.findall(r'name="side" value="([^"]+)"(?: data-answer="(\d)")?', html)


@pytest.mark.parametrize(
    ("degrees", "values"),
    [
        (2, "left-3 left-1 tie right-1 right-3"),
        (3, "left-3 left-2 left-1 tie right-1 right-2 right-3"),
    ],
)
def test_keys_run_along_the_row_from_left_much_better_to_right_much_better(
    page: Client, project: Project, ann: User, comparisons: list[Comparison], degrees: int, values: str
) -> None:
    _lease(project, ann, degrees)
    html = page.get(JUDGE).content.decode()
    assert _buttons(html) == [(value, str(key)) for key, value in enumerate(values.split(), start=1)]
    assert 'class="judge asks-degrees"' in html


def test_without_degrees_the_card_is_what_it_was(
    page: Client, project: Project, ann: User, comparisons: list[Comparison]
) -> None:
    _lease(project, ann, 1)
    html = page.get(JUDGE).content.decode()
    assert _buttons(html) == [("left", ""), ("tie", ""), ("right", "")]
    assert "asks-degrees" not in html and "Slightly better" not in html


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_a_button_stores_a_side_with_its_degree_and_the_tie_none(
    page: Client, project: Project, ann: User, comparisons: list[Comparison], headers: dict[str, str]
) -> None:
    for value, degree in (("left-2", 2), ("right-3", 3), ("tie", None)):
        lease = _lease(project, ann, 3)
        answer = {"assignment": lease.pk, "side": value, "client_key": uuid.uuid4()}
        for _twice in range(2):
            assert page.post(JUDGE + "submit/", answer, headers=headers).status_code in (200, 302)
        judgment = Judgment.objects.latest("id")
        side = {"left": "ab", "right": "ba"}.get(value[:-2])
        assert judgment.degree == degree
        assert judgment.choice == (side[bool(lease.flipped)] if side else "tie")
    assert Judgment.objects.count() == 3


@pytest.mark.parametrize(("degrees", "value"), [(3, "left"), (2, "left-2"), (1, "left-1"), (3, "left-4"), (3, "tie-1")])
def test_another_answer_than_the_card_asks_for_is_refused(
    page: Client, project: Project, ann: User, comparisons: list[Comparison], degrees: int, value: str
) -> None:
    lease = _lease(project, ann, degrees)
    answer = {"assignment": lease.pk, "side": value, "client_key": uuid.uuid4()}
    refused = page.post(JUDGE + "submit/", answer, headers=HTMX)
    assert refused.status_code == 400 and "data-problem" in refused.content.decode()
    assert "X-Judgment-Stored" not in refused.headers and not Judgment.objects.exists()


def test_the_comparisons_page_and_its_adjudication_show_the_degree(
    client: Client, lead: User, project: Project, ann: User, comparisons: list[Comparison]
) -> None:
    lease = _lease(project, ann, 3)
    client.force_login(ann)
    client.post(JUDGE + "submit/", {"assignment": lease.pk, "side": "left-1", "client_key": uuid.uuid4()})
    client.force_login(lead)
    mark_read(version=current_version(project), user=lead)
    for address in (f"comparisons/{lease.comparison_id}/", f"adjudication/{lease.comparison_id}/?votes=1"):
        assert "Slightly better" in client.get(f"/p/garden/{address}", follow=True).content.decode()
