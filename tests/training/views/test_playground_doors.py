"""Who may see and use a playground, what its pages cost, and which pages lead there."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Project, User
from annotate.workflow.projects import create_project
from tests.factories import make_user
from tests.training.playgrounds import begun, models, reply
from tests.training.views.test_playground import PAGES, VERBS, Cast, page_of
from training.models import Playground
from training.workflow.playground import allow_comparisons, mailbox_of
from training.workflow.playground_chat import ask

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast(project: Project) -> Cast:
    return models(project)


@pytest.fixture
def session(project: Project, cast: Cast) -> Playground:
    return begun(project, list(cast[:2]), reward_model=cast[2])


def test_each_role_sees_and_does_what_it_may(
    client: Client, project: Project, session: Playground, ann: User, reviewer: User, stranger: User, lead: User
) -> None:
    reply(session, ask(session, "How?"))
    other = make_user("other")
    create_project(slug="desert", name="Desert", manager=other)
    pages = [PAGES, page_of(session)]
    posts = [PAGES, f"{PAGES}rule/", *(page_of(session, verb) for verb in VERBS)]
    for who, seen, done in ((ann, 403, 403), (reviewer, 200, 403), (stranger, 404, 404)):
        client.force_login(who)
        assert {client.get(page).status_code for page in pages} == {seen}
        assert {client.post(page).status_code for page in posts} == {done}
    client.force_login(reviewer)
    for page in pages:
        text = client.get(page).content.decode()
        posts_to = [post for post in posts if f'action="{post}"' in text]
        assert posts_to == [] and "Start the playground" not in text
    client.force_login(other)
    for verb in ("", *VERBS):
        method = client.post if verb else client.get
        assert method(f"/p/desert/playground/{session.run_id}/{verb + '/' if verb else ''}").status_code == 404
    client.logout()
    assert all("/accounts/login/" in client.get(page).url for page in pages)
    assert mailbox_of(session).numbers() == [1] and Playground.objects.count() == 1


@pytest.mark.parametrize("page", ["", "{run}/"])
def test_the_pages_cost_a_bounded_number_of_queries(
    as_lead: Client, project: Project, cast: Cast, page: str, django_assert_max_num_queries: Any
) -> None:
    allow_comparisons(project, True)
    sessions = [begun(project, list(cast[:2]), reward_model=cast[2]) for _ in range(6)]
    for _ in range(5):
        reply(sessions[0], ask(sessions[0], "How?"))
    with django_assert_max_num_queries(20):
        assert as_lead.get(PAGES + page.format(run=sessions[0].run_id)).status_code == 200


def test_the_pages_of_run_and_model_lead_here(as_lead: Client, session: Playground) -> None:
    run = as_lead.get(reverse("run", args=["garden", session.run_id])).content.decode()
    assert f'href="{page_of(session)}"' in run and "Clone with changes" not in run
    model = as_lead.get(reverse("model", args=["garden", session.run.reward_model_id])).content.decode()
    assert f"{PAGES}?reward_model={session.run.reward_model_id}" in model
