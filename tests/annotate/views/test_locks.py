"""Two managers at the same form at the same moment, and one who sends it twice."""

import pytest
from django.test import Client

from annotate.models import Comparison, Project, Role, User
from annotate.workflow.guidelines import save_draft
from annotate.workflow.projects import set_member
from tests.factories import make_user
from tests.meanwhile import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_project_that_is_sent_twice_is_made_once_and_the_second_is_told(db: None) -> None:
    chief = make_user("chief", is_staff=True)
    one, other = signed_in(chief), signed_in(chief)
    sent = {"name": "Desert", "slug": "desert", "overlap": "2", "degrees": "1"}
    with meanwhile('FROM "annotate_project"', lambda: other.post("/projects/new/", sent)) as answered:
        mine = one.post("/projects/new/", sent)
    assert sorted([mine.status_code, answered[0].result().status_code]) == [200, 302]
    late = max(mine, answered[0].result(), key=lambda answer: answer.status_code == 200)
    assert "already exists" in late.content.decode() and Project.objects.count() == 1


def test_the_overlap_of_a_project_is_that_of_its_comparisons_whoever_changes_it(
    project: Project, lead: User, comparisons: list[Comparison]
) -> None:
    """One manager changes the overlap while another one, whose page is older, changes the name."""
    second = make_user("second")
    set_member(project=project, user=second, role=Role.MANAGER)
    one, other = signed_in(lead), signed_in(second)
    sent = {"name": "Garden", "overlap": "2", "lease_minutes": "60", "degrees": "1"}
    change = {**sent, "overlap": "3"}
    with meanwhile('"annotate_membership"', lambda: other.post("/p/garden/settings/", change)) as answered:
        assert one.post("/p/garden/settings/", {**sent, "name": "Park"}).status_code == 302
    assert answered[0].result().status_code == 302
    project.refresh_from_db()
    assert (project.name, project.overlap) == ("Park", 3)
    assert set(project.comparisons.values_list("overlap", flat=True)) == {project.overlap}


def test_who_publishes_publishes_what_stood_in_their_editor(project: Project, lead: User) -> None:
    """Another manager saves the draft just then."""
    save_draft(project=project, body="Prefer what is true.", actor=lead)

    def save() -> object:
        return save_draft(project=project, body="Not finished yet", actor=None)

    with meanwhile('FROM "annotate_project"', save):
        signed_in(lead).post("/p/garden/guideline/publish/", {"body": "Prefer what is short.", "summary": "Shorter"})
    assert project.guideline_versions.get(number=2).body == "Prefer what is short."
