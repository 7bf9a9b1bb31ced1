"""A form that starts something, sent twice: by a double click, from the history, or after an answer that was lost."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from annotate.models import FirstAnswer, Project, Role, Snapshot, User
from annotate.workflow.projects import set_member
from tests.factories import make_user
from tests.meanwhile import meanwhile
from tests.training.views.test_artifact_pages import address
from tests.training.views.test_benches import sent
from tests.training.views.test_forms import sent_back
from tests.training.views.test_rounds import filled
from tests.training.workflow.products import finished
from training.models import Artifact, Bench, Playground, Round, Run

pytestmark = pytest.mark.django_db
# A page with a form on it, where that is sent to, and its fields.
Form = tuple[str, str, dict[str, Any]]
FORMS = ("project", "round", "run", "clone", "bench", "sampling", "export", "merge", "model", "playground")
SAID = "nothing was started twice"


def form_of(what: str, project: Project, snapshot: Snapshot, base: Artifact) -> Form:
    if what == "project":
        page, fields = "/projects/new/", {"name": "Desert", "slug": "desert", "overlap": "2", "degrees": "1"}
    elif what == "round":
        page, fields = address("round_create"), filled(snapshot, base)
    elif what in ("run", "clone"):
        page, fields = f"{address('run_create')}?recipe=dpo", run_fields(snapshot, base)
        if what == "clone":
            page += f"&from={finished(project, base, snapshot=snapshot).run_id}"
    elif what == "bench":
        page, fields = address("bench_create"), sent(snapshot, base)
    elif what == "sampling":
        page, fields = address("sampling_create"), {"model": base.pk, "prompts": 2, "seed": 5, "batch_name": "First"}
        fields |= sent_back("sample")
    elif what == "export":
        page = address("model_export", base.pk)
        fields = {"export-folder": "mine", "export-form": "merged", "export-dtype": "float32"}
    elif what == "merge":
        adapter = finished(project, base, snapshot=snapshot, name="tuned")
        return address("model", adapter.pk), address("model_merge", adapter.pk), {}
    elif what == "model":
        page, fields = address("model_register"), {"name": "small", "location": "owner/small"}
    else:
        page, fields = address("playgrounds"), {"model": base.pk, "idle_minutes": 20, "anyway": "on"}
    return page, page, fields


def run_fields(snapshot: Snapshot, base: Artifact, **changed: Any) -> dict[str, Any]:
    return {**sent_back("dpo"), "model": base.pk, "snapshot": snapshot.pk, "seed": 3, **changed}


def token_in(client: Client, page: str) -> str:
    [token] = re.findall(r'<input type="hidden" name="once" value="([\w-]{20,})">', client.get(page).content.decode())
    return token


def everything() -> list[int]:
    return [kind.objects.count() for kind in (Project, Run, Round, Bench, Artifact, Playground)]


@pytest.mark.parametrize("what", FORMS)
def test_it_starts_once_and_leads_there_again(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact, lead: User, what: str
) -> None:
    User.objects.filter(pk=lead.pk).update(is_staff=True)
    page, target, fields = form_of(what, project, snapshot, base)
    before, form = everything(), {**fields, "once": token_in(as_lead, page)}
    first = as_lead.post(target, form)
    assert first.status_code == 302, first.context and first.context["form"].errors
    after = everything()
    assert after != before
    assert SAID not in as_lead.get(first.url).content.decode()
    again = as_lead.post(target, form)
    assert (again.status_code, again.url, everything()) == (302, first.url, after)
    assert SAID in as_lead.get(again.url).content.decode()


@pytest.fixture
def url() -> str:
    return f"{address('run_create')}?recipe=dpo"


def test_the_form_opened_anew_starts_another_one(as_lead: Client, snapshot: Snapshot, base: Artifact, url: str) -> None:
    fields = run_fields(snapshot, base)
    for _ in range(2):
        as_lead.post(url, {**fields, "once": token_in(as_lead, url)})
    assert Run.objects.count() == 2


def test_whoever_goes_back_and_changes_a_setting_starts_another_one(
    as_lead: Client, snapshot: Snapshot, base: Artifact, url: str
) -> None:
    token = token_in(as_lead, url)
    for seed in (3, 4, 3):
        as_lead.post(url, {**run_fields(snapshot, base, seed=seed), "once": token})
    assert sorted(Run.objects.values_list("seed", flat=True)) == [3, 4]


def test_a_form_that_comes_back_has_not_used_its_token_up(
    as_lead: Client, snapshot: Snapshot, base: Artifact, url: str
) -> None:
    """Nor has one that a verb refuses, and which is sent again when what it lacked is there."""
    form = {**run_fields(snapshot, base), "once": token_in(as_lead, url)}
    wrong = as_lead.post(url, {**form, "seed": "x"})
    assert wrong.status_code == 200 and form["once"] not in wrong.content.decode()
    Artifact.objects.filter(pk=base.pk).update(task="reward")
    assert as_lead.post(url, form).status_code == 200
    assert not FirstAnswer.objects.exists() and not Run.objects.exists()
    Artifact.objects.filter(pk=base.pk).update(task="policy")
    assert as_lead.post(url, form).status_code == 302 and Run.objects.count() == 1


def test_an_estimate_is_no_start_and_holds_nobody_up(
    as_lead: Client, snapshot: Snapshot, base: Artifact, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotate.views.sent_once.together", None)
    form = {**run_fields(snapshot, base), "once": token_in(as_lead, url), "estimate": "1"}
    for headers in ({}, {"HX-Request": "true"}):
        assert as_lead.post(url, form, headers=headers).status_code == 200


def test_a_refused_form_is_drawn_when_the_database_is_free_again(
    as_lead: Client, snapshot: Snapshot, base: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a round reads every judgment."""
    depths: list[int] = []
    outside = len(connection.savepoint_ids)

    def select(**_given: Any) -> Any:
        depths.append(len(connection.savepoint_ids) - outside)
        raise RuntimeError

    page = address("round_create")
    form = {**filled(snapshot, base, **{"reward-epochs": "0"}), "once": token_in(as_lead, page)}
    monkeypatch.setattr("annotate.workflow.snapshots.select", select)
    with pytest.raises(RuntimeError):
        as_lead.post(page, form)
    assert depths == [0]


def test_another_ones_form_is_not_mine(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact, url: str
) -> None:
    second = make_user("second")
    set_member(project=project, user=second, role=Role.MANAGER)
    form = {**run_fields(snapshot, base), "once": token_in(as_lead, url)}
    as_lead.post(url, form)
    as_lead.force_login(second)
    as_lead.post(url, form)
    assert Run.objects.count() == 2


def test_a_form_without_a_token_is_taken_as_it_is(
    as_lead: Client, snapshot: Snapshot, base: Artifact, url: str
) -> None:
    for _ in range(2):
        assert as_lead.post(url, run_fields(snapshot, base)).status_code == 302
    assert Run.objects.count() == 2 and not FirstAnswer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_clicks_the_second_waits_and_is_led_to_what_the_first_has_started(
    as_lead: Client, lead: User, snapshot: Snapshot, base: Artifact, url: str
) -> None:
    other = Client()
    other.force_login(lead)
    form = {**run_fields(snapshot, base), "once": token_in(as_lead, url)}
    send: Callable[[], HttpResponse] = lambda: other.post(url, form)  # noqa: E731
    with meanwhile('INSERT INTO "annotate_firstanswer"', send) as answered:
        first = as_lead.post(url, form)
    assert first.url == answered[0].result().url == address("run", Run.objects.get().pk)
