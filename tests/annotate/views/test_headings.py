"""Each page has one heading of the first rank: it is what a reader who cannot see the page asks for first."""

import re

import pytest
from django.test import Client

from annotate.models import Project, User
from annotate.workflow.projects import create_project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/p/garden/runs/999/", "/p/garden/members/", "/p/fresh/judge/", "/p/garden/judge/"])
def test_a_page_that_says_why_there_is_nothing_has_its_heading(
    client: Client, lead: User, reviewer: User, project: Project, path: str
) -> None:
    create_project(slug="fresh", name="Fresh", manager=lead)
    client.force_login(lead if "fresh" in path else reviewer)
    assert len(re.findall("<h1[ >]", client.get(path).content.decode())) == 1
