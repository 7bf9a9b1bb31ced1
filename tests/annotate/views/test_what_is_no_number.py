"""Addresses and forms in which something stands where a number should: never a server error."""

import pytest
from django.test import Client

from annotate.models import Comparison, Project, User

pytestmark = pytest.mark.django_db
NUMBERS = ["9" * 40, "9" * 5000, "²", "٣", "-1", "x", ""]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_list_takes_it_for_nothing(
    client: Client, project: Project, comparisons: list[Comparison], reviewer: User, number: str
) -> None:
    client.force_login(reviewer)
    answer = client.get("/p/garden/comparisons/", {"batch": number})
    assert len(answer.context["comparisons"]) == len(comparisons)
    for address in ("", "next/"):
        assert client.get(f"/p/garden/adjudication/{address}", {"after": number}).status_code in (200, 302)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_version_that_was_read_is_refused(
    client: Client, project: Project, comparisons: list[Comparison], reviewer: User, number: str
) -> None:
    client.force_login(reviewer)
    for address in ("judge/read-guideline/", f"adjudication/{comparisons[0].pk}/read/"):
        answer = client.post(f"/p/garden/{address}", {"version": number}, headers={"HX-Request": "true"})
        assert answer.status_code == 400


def test_a_version_that_there_is_not_is_404(client: Client, project: Project, ann: User) -> None:
    client.force_login(ann)
    assert client.post("/p/garden/judge/read-guideline/", {"version": "9" * 15}).status_code == 404
