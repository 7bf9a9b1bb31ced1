"""The judging page: a GET only reads, a POST stores and answers with the next card, and nothing gives a source away."""

import re
import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotate.models import Assignment, Choice, Comparison, Judgment, Project, User
from annotate.workflow.assignment import lease_next
from annotate.workflow.guidelines import publish, save_draft

JUDGE = "/p/garden/judge/"
HTMX = {"HX-Request": "true", "HX-Target": "card"}
# The bar of the product, transaction control aside.
MOST_QUERIES = 12


@pytest.fixture
def page_of_ann(client: Client, ann: User) -> Client:
    client.force_login(ann)
    return client


@pytest.fixture
def lease(project: Project, ann: User, comparisons: list[Comparison]) -> Assignment:
    leased = lease_next(project=project, annotator=ann)
    assert leased is not None
    return leased


def _answer(lease: Assignment, side: str = "left", **fields: object) -> dict[str, object]:
    return {"assignment": lease.pk, "side": side, "client_key": uuid.uuid4(), "note": "", "seconds": "", **fields}


def test_a_get_leases_nothing_and_offers_to_start(page_of_ann: Client, comparisons: list[Comparison]) -> None:
    page = page_of_ann.get(JUDGE)
    assert 'data-kind="start"' in page.content.decode()
    assert "5 comparisons are waiting for you" in page.content.decode()
    assert not Assignment.objects.exists()


def test_starting_without_javascript_leads_back_to_a_page_with_the_card(
    page_of_ann: Client, comparisons: list[Comparison]
) -> None:
    page = page_of_ann.post(JUDGE + "next/", follow=True)
    assert page.redirect_chain == [(JUDGE, 302)]
    assert 'data-kind="card"' in page.content.decode()


def test_reloading_shows_the_same_card_again(page_of_ann: Client, lease: Assignment) -> None:
    for _ in range(2):
        assert f'data-assignment="{lease.pk}"' in page_of_ann.get(JUDGE).content.decode()
    assert Assignment.objects.count() == 1


@pytest.mark.parametrize(
    ("side", "flipped", "meant"),
    [
        ("left", False, Choice.A),
        ("left", True, Choice.B),
        ("right", False, Choice.B),
        ("right", True, Choice.A),
        ("tie", True, Choice.TIE),
    ],
)
def test_the_side_on_the_screen_becomes_the_response_that_stood_there(
    page_of_ann: Client, lease: Assignment, side: str, flipped: bool, meant: Choice
) -> None:
    Assignment.objects.filter(pk=lease.pk).update(flipped=flipped)
    texts = [lease.comparison.response_a.text, lease.comparison.response_b.text]
    left = texts[1] if flipped else texts[0]
    html = page_of_ann.get(JUDGE).content.decode()
    assert html.index(left[:12]) == min(html.index(text[:12]) for text in texts)
    page_of_ann.post(JUDGE + "submit/", _answer(lease, side), headers=HTMX)
    assert Judgment.objects.get().choice == meant


def test_one_post_stores_the_judgment_and_brings_the_next_card(page_of_ann: Client, lease: Assignment) -> None:
    answer = _answer(lease, note="B waters it", seconds="12.5")
    response = page_of_ann.post(JUDGE + "submit/", answer, headers=HTMX)
    judgment = Judgment.objects.get()
    assert (judgment.note, judgment.seconds) == ("B waters it", 12.5)
    assert response.headers["X-Judgment-Stored"] == str(answer["client_key"])
    html = response.content.decode()
    assert "<html" not in html
    assert 'id="card"' in html and 'data-kind="card"' in html
    assert f'data-assignment="{lease.pk}"' not in html


def test_without_javascript_the_same_post_leads_to_the_next_card(page_of_ann: Client, lease: Assignment) -> None:
    page = page_of_ann.post(JUDGE + "submit/", _answer(lease), follow=True)
    assert page.redirect_chain == [(JUDGE, 302)]
    assert 'data-kind="card"' in page.content.decode()
    assert Judgment.objects.count() == 1


def test_the_same_answer_sent_twice_is_stored_once_and_confirmed_twice(page_of_ann: Client, lease: Assignment) -> None:
    answer = _answer(lease)
    receipts = [page_of_ann.post(JUDGE + "submit/", answer, headers=HTMX) for _ in range(2)]
    assert [r.headers["X-Judgment-Stored"] for r in receipts] == [str(answer["client_key"])] * 2
    assert Judgment.objects.count() == 1


def test_another_answer_to_an_answered_card_is_refused_with_a_reason(page_of_ann: Client, lease: Assignment) -> None:
    page_of_ann.post(JUDGE + "submit/", _answer(lease), headers=HTMX)
    refused = page_of_ann.post(JUDGE + "submit/", _answer(lease, "right"), headers=HTMX)
    assert refused.status_code == 409
    assert "data-problem" in refused.content.decode() and "answered already" in refused.content.decode()
    assert "X-Judgment-Stored" not in refused.headers
    assert Judgment.objects.count() == 1


def test_an_answer_for_somebody_elses_card_is_refused(client: Client, ben: User, lease: Assignment) -> None:
    client.force_login(ben)
    assert client.post(JUDGE + "submit/", _answer(lease), headers=HTMX).status_code == 404
    assert not Judgment.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"side": "above"}, {"client_key": "1"}, {"assignment": "x"}, {"seconds": "-1"}, {"note": "x" * 5001}],
)
def test_an_answer_that_is_none_is_refused(page_of_ann: Client, lease: Assignment, wrong: dict[str, str]) -> None:
    refused = page_of_ann.post(JUDGE + "submit/", {**_answer(lease), **wrong}, headers=HTMX)
    assert refused.status_code == 400
    assert "data-problem" in refused.content.decode()
    assert not Judgment.objects.exists()


def test_an_expired_session_answers_with_a_redirect_that_the_outbox_can_tell_from_a_receipt(
    client: Client, lease: Assignment
) -> None:
    response = client.post(JUDGE + "submit/", _answer(lease), headers=HTMX)
    assert response.status_code == 302
    assert "X-Judgment-Stored" not in response.headers


@pytest.mark.parametrize("verb", ["next/", "submit/", "skip/", "undo/", "read-guideline/"])
def test_a_get_of_a_verb_leads_to_the_page(page_of_ann: Client, verb: str) -> None:
    assert page_of_ann.get(JUDGE + verb).headers["Location"] == JUDGE


def test_skipping_needs_a_reason_and_the_other_reason_a_note(page_of_ann: Client, lease: Assignment) -> None:
    for wrong in ({}, {"reason": "lazy"}, {"reason": "other"}):
        assert page_of_ann.post(JUDGE + "skip/", {"assignment": lease.pk, **wrong}, headers=HTMX).status_code == 400
    response = page_of_ann.post(JUDGE + "skip/", {"assignment": lease.pk, "reason": "language"}, headers=HTMX)
    assert 'data-kind="card"' in response.content.decode()
    lease.refresh_from_db()
    assert (lease.state, lease.skip_reason) == ("skipped", "language")


def test_undo_brings_the_last_card_back(page_of_ann: Client, lease: Assignment) -> None:
    page_of_ann.post(JUDGE + "submit/", _answer(lease), headers=HTMX)
    response = page_of_ann.post(JUDGE + "undo/", headers=HTMX)
    assert f'data-assignment="{lease.pk}"' in response.content.decode()
    assert not Judgment.objects.current().exists()


def test_undo_without_an_answer_says_so_on_the_page_when_there_is_no_javascript(page_of_ann: Client) -> None:
    page = page_of_ann.post(JUDGE + "undo/", headers={"Referer": "http://testserver" + JUDGE}, follow=True)
    assert "There is no answer to take back" in page.content.decode()


def test_a_new_version_of_the_guideline_comes_before_the_next_card(
    page_of_ann: Client, lease: Assignment, project: Project, lead: User
) -> None:
    save_draft(project=project, body="Prefer the response that is true.", actor=lead)
    publish(project=project, summary="Truth comes first", actor=lead)
    shown = page_of_ann.post(JUDGE + "submit/", _answer(lease), headers=HTMX).content.decode()
    assert 'data-kind="guideline"' in shown
    assert "Truth comes first" in shown and "that helps" in shown and "that is true" in shown
    assert Judgment.objects.count() == 1, "the answer given before is kept"
    assert 'data-kind="guideline"' in page_of_ann.get(JUDGE).content.decode()
    card = page_of_ann.post(JUDGE + "read-guideline/", {"version": 2}, headers=HTMX).content.decode()
    assert 'data-kind="card"' in card and "v2" in card


def test_reading_an_unknown_version_is_refused(page_of_ann: Client) -> None:
    assert page_of_ann.post(JUDGE + "read-guideline/", {"version": "x"}, headers=HTMX).status_code == 400
    assert page_of_ann.post(JUDGE + "read-guideline/", {"version": 9}, headers=HTMX).status_code == 404


def test_somebody_new_reads_the_whole_guideline_first(client: Client, lead: User, project: Project) -> None:
    client.force_login(lead)
    page = client.get(JUDGE).content.decode()
    assert "Read the guideline first" in page and "Prefer the response that helps." in page


def test_when_nothing_is_left_the_page_says_so(page_of_ann: Client, project: Project) -> None:
    assert 'data-kind="done"' in page_of_ann.get(JUDGE).content.decode()


def test_the_card_names_no_source(page_of_ann: Client, lease: Assignment) -> None:
    for response in (lease.comparison.response_a, lease.comparison.response_b):
        type(response).objects.filter(pk=response.pk).update(source="secret-policy-7b", metadata={"score": 0.77123})
    page = page_of_ann.get(JUDGE).content.decode()
    assert "secret-policy" not in page and "0.77123" not in page and lease.comparison.batch.name not in page


def test_a_hostile_response_is_shown_and_not_executed(page_of_ann: Client, lease: Assignment) -> None:
    response = lease.comparison.response_a
    type(response).objects.filter(pk=response.pk).update(text="<script>alert(1)</script><img src=x onerror=alert(1)>")
    page = page_of_ann.get(JUDGE).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<img src=x" not in page and "<script>alert" not in page


def test_the_page_runs_under_its_policy_without_inline_scripts(page_of_ann: Client, lease: Assignment) -> None:
    page = page_of_ann.get(JUDGE)
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    html = page.content.decode()
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert not re.search(r"\son\w+=|hx-on|javascript:", html)


def test_the_page_is_never_taken_from_a_cache(page_of_ann: Client, lease: Assignment) -> None:
    assert "no-store" in page_of_ann.get(JUDGE).headers["Cache-Control"]


def _statements(captured: CaptureQueriesContext) -> list[str]:
    control = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(control)]


def test_showing_the_card_costs_a_bounded_number_of_queries(page_of_ann: Client, lease: Assignment) -> None:
    with CaptureQueriesContext(connection) as captured:
        page_of_ann.get(JUDGE)
    assert len(_statements(captured)) <= MOST_QUERIES


def test_submit_and_next_costs_the_same_few_queries_however_many_comparisons_there_are(
    page_of_ann: Client, project: Project, ann: User, lease: Assignment
) -> None:
    costs = []
    for _ in range(3):
        current = lease_next(project=project, annotator=ann)
        with CaptureQueriesContext(connection) as captured:
            page_of_ann.post(JUDGE + "submit/", _answer(current), headers=HTMX)
        costs.append(len(_statements(captured)))
    assert len(set(costs)) == 1
    assert costs[0] <= MOST_QUERIES, "\n".join(_statements(captured))
