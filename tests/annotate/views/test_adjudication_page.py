"""The pages of adjudication: blind at first, votes on request, a decision answered with the next comparison."""

import re
import uuid

import pytest
from django.test import Client

from annotate.models import Adjudication, Comparison, Project, SkipReason, User
from annotate.workflow.adjudication import draw_flipped
from annotate.workflow.guidelines import publish, save_draft
from annotate.workflow.judging import skip
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_comparisons, take

pytestmark = pytest.mark.django_db
QUEUE = "/p/garden/adjudication/"


@pytest.fixture
def split(project: Project, ann: User, ben: User) -> list[Comparison]:
    made = make_comparisons(project, 4)
    judge_all(project, ann, ["a", "a", "tie", "a"])
    judge_all(project, ben, ["b", "tie", "b", "a"])
    made[0].judgments.filter(annotator=ben).update(note="B names the month.")
    return made


@pytest.fixture
def page(client: Client, reviewer: User) -> Client:
    client.force_login(reviewer)
    return client


def _answer(html: str, side: str, **given: str) -> dict[str, str]:
    """What the form of a card sends."""
    names = ("client_key", "after")
    found = {name: re.search(rf'name="{name}" value="([^"]*)"', html)[1] for name in names}
    seen = re.search(r'name="votes_seen" value="(1?)"', html)[1]
    return {**found, "votes_seen": seen, "side": side, **given}


def _card(page: Client, comparison: Comparison, query: str = "") -> str:
    return page.get(f"{QUEUE}{comparison.pk}/{query}").content.decode()


def test_the_queue_tells_how_far_people_differ_and_not_which_way(page: Client, split: list[Comparison]) -> None:
    html = page.get(QUEUE).content.decode()
    assert html.count("plant number") == 3 and "100 %" in html
    assert "plant number 3?" not in html, "all agree on it"
    assert not re.search(r"\d · \d · \d", html)


def test_a_card_is_blind_until_the_votes_are_asked_for(page: Client, split: list[Comparison]) -> None:
    split[0].response_a.source = "secret-model"
    split[0].response_a.save()
    blind, seen = _card(page, split[0]), _card(page, split[0], "?votes=1")
    for text in (r"\bben\b", r"B names the month\."):
        assert not re.search(text, blind) and re.search(text, seen)
    assert "secret-model" not in blind + seen
    assert (_answer(blind, "left")["votes_seen"], _answer(seen, "left")["votes_seen"]) == ("", "1")
    assert not Adjudication.objects.exists(), "looking writes nothing"


def test_the_responses_and_the_answers_stand_in_the_drawn_order(
    page: Client, split: list[Comparison], reviewer: User
) -> None:
    drawn = set()
    for comparison in split[:3]:
        html, flipped = _card(page, comparison, "?votes=1"), draw_flipped(comparison, reviewer)
        first, second = html.index("First, water it."), html.index("It grows by itself.")
        assert (first > second) == flipped
        drawn.add(flipped)
    comparison = split[0]
    row = re.search(r'<tr><td>ann</td><td class="answer">(.*?)</td>', _card(page, comparison, "?votes=1"))[1]
    words = ("Right better", "Lower better") if draw_flipped(comparison, reviewer) else ("Left better", "Upper better")
    assert re.findall(r">([A-Z][a-z ]+)<", row) == list(words), "side by side, and one above the other"


def test_a_decision_is_stored_in_the_comparisons_terms_and_the_next_one_comes(
    page: Client, split: list[Comparison], reviewer: User
) -> None:
    answer = _answer(_card(page, split[0]), "left", note="clearer")
    address = f"{QUEUE}{split[0].pk}/submit/"
    for _ in range(2):
        response = page.post(address, answer, headers={"HX-Request": "true"})
    word = Adjudication.objects.get()
    assert word.verdict == ("b" if draw_flipped(split[0], reviewer) else "a")
    assert (word.votes_seen, word.note, word.flipped) == (False, "clearer", draw_flipped(split[0], reviewer))
    html = response.content.decode()
    assert html.lstrip().startswith("<section") and f'data-comparison="{split[1].pk}"' in html
    assert response["HX-Push-Url"] == f"{QUEUE}{split[1].pk}/"


def test_without_javascript_a_form_leads_through_the_queue_to_its_end(page: Client, split: list[Comparison]) -> None:
    response = page.get(f"{QUEUE}next/", follow=True)
    for _ in range(3):
        comparison = response.context["comparison"]
        answer = _answer(response.content.decode(), "tie")
        response = page.post(f"{QUEUE}{comparison.pk}/submit/", answer, follow=True)
    assert response.redirect_chain[-1][0] == QUEUE
    assert "Everything that is disputed here is decided." in response.content.decode()
    assert Adjudication.objects.filter(verdict="tie").count() == 3


def test_passing_over_leads_on_and_round_and_decides_nothing(page: Client, split: list[Comparison]) -> None:
    led = [page.get(f"{QUEUE}next/?after={each.pk}")["Location"] for each in split[:3]]
    assert led == [f"{QUEUE}{each.pk}/" for each in (split[1], split[2], split[0])]


def test_filters_travel_along(page: Client, split: list[Comparison]) -> None:
    split[1].prompt.tags = ["h&m"]
    split[1].prompt.save()
    assert page.get(f"{QUEUE}?tag=h%26m").content.decode().count("plant number") == 1
    assert page.get(f"{QUEUE}next/?tag=h%26m")["Location"] == f"{QUEUE}{split[1].pk}/?tag=h%26m"
    html = _card(page, split[1], "?tag=h%26m")
    address = f"{QUEUE}{split[1].pk}/submit/?tag=h%26m"
    assert f'action="{address}"' in html
    after = page.post(address, _answer(html, "left"), headers={"HX-Request": "true"}).content.decode()
    assert "No comparison is left with these filters." in after
    assert page.get(f"{QUEUE}?state=nonsense").status_code == 400


def test_a_decision_is_shown_changed_withdrawn_and_undone(
    page: Client, split: list[Comparison], reviewer: User
) -> None:
    decide(split[0], reviewer, "tie", note="Both are fine.")
    html = _card(page, split[0])
    assert "Decided by rev" in html and "Both are fine." in html and "before seeing the votes" in html
    address = f"{QUEUE}{split[0].pk}/submit/"
    page.post(address, _answer(html, "bad", reason="same"))
    page.post(address, _answer(_card(page, split[0]), "withdrawn"))
    assert list(split[0].adjudications.values_list("verdict", flat=True)) == ["tie", "bad", "withdrawn"]
    decide(split[1], reviewer, "a")
    back = page.post(f"{QUEUE}undo/", headers={"HX-Request": "true"}).content.decode()
    assert f'data-comparison="{split[1].pk}"' in back and "Withdrawn" in back
    assert not Adjudication.objects.current().exists()


def test_a_word_spoken_meanwhile_is_not_overwritten(page: Client, split: list[Comparison], reviewer: User) -> None:
    answer = _answer(_card(page, split[0]), "left")
    decide(split[0], reviewer, "b")
    response = page.post(f"{QUEUE}{split[0].pk}/submit/", answer, headers={"HX-Request": "true"})
    assert response.status_code == 409 and "meanwhile" in response.content.decode()
    assert Adjudication.objects.current().get().verdict == "b"


def test_what_is_wrong_with_a_decision_is_said(page: Client, split: list[Comparison]) -> None:
    card = _card(page, split[0])
    for given, status, said in (
        ({"reason": ""}, 400, "Say why the item is bad."),
        ({"reason": "other"}, 400, "Say in the note"),
        ({"client_key": "x"}, 400, "could not be read"),
        ({"note": "x" * 5001}, 400, "could not be read"),
    ):
        answer = {**_answer(card, "bad", reason="same"), **given}
        response = page.post(f"{QUEUE}{split[0].pk}/submit/", answer, headers={"HX-Request": "true"})
        assert response.status_code == status and said in response.content.decode(), given
    assert not Adjudication.objects.exists()


def test_whoever_judged_it_too_is_told(client: Client, split: list[Comparison], project: Project, ann: User) -> None:
    project.memberships.filter(user=ann).update(role="reviewer")
    client.force_login(ann)
    assert "You have judged this comparison yourself" in _card(client, split[0])
    decide(split[0], ann, "a")
    assert Adjudication.objects.get().adjudicator == ann


def test_a_new_guideline_is_read_before_anything_is_decided(
    page: Client, split: list[Comparison], project: Project, lead: User
) -> None:
    save_draft(project=project, body="Be brief.", actor=lead)
    publish(project=project, summary="Shorter wins.", actor=lead)
    html = _card(page, split[0])
    assert "Shorter wins." in html and "First, water it." not in html
    address = f"{QUEUE}{split[0].pk}/"
    response = page.post(f"{address}read/", {"version": "2"}, headers={"HX-Request": "true"})
    assert "First, water it." in response.content.decode()
    assert page.post(f"{address}read/", {"version": "x"}).status_code == 400


def test_the_page_of_the_comparison_and_the_agreement_page_lead_here(page: Client, split: list[Comparison]) -> None:
    address = f"{QUEUE}{split[0].pk}/"
    assert f'href="{address}?votes=1"' in page.get(f"/p/garden/comparisons/{split[0].pk}/").content.decode()
    assert f'href="{address}"' in page.get("/p/garden/agreement/").content.decode()


def test_a_verb_fetched_by_a_sign_in_leads_back(page: Client, split: list[Comparison]) -> None:
    card = f"{QUEUE}{split[0].pk}/"
    for verb, back in ((f"{card}submit/", card), (f"{card}read/", card), (f"{QUEUE}undo/", QUEUE)):
        assert page.get(verb)["Location"] == back


def test_a_long_queue_is_walked_page_by_page(page: Client, project: Project) -> None:
    made = make_comparisons(project, 120)
    Comparison.objects.filter(pk__in=[each.pk for each in made]).update(taken=2, judged=2, votes_a=1, votes_b=1)
    seen, address = [], QUEUE
    while address:
        html = page.get(address).content.decode()
        seen += re.findall(rf'href="{QUEUE}(\d+)/"', html)
        later = re.search(r'rel="next" href="([^"]+)"', html)
        address = f"{QUEUE}{later[1].replace('&amp;', '&')}" if later else ""
    assert seen == [str(each.pk) for each in made]
    assert page.get(f"{QUEUE}?after={uuid.uuid4().int}").status_code == 200


def test_what_all_have_skipped_is_found_and_can_only_be_a_bad_item(page: Client, project: Project, ann: User) -> None:
    [only] = make_comparisons(project, 1)
    assert "Nothing is disputed" in page.get(QUEUE).text
    reason = {"reason": SkipReason.BROKEN, "note": "Cut off."}
    skip(assignment_id=take(project, ann).pk, annotator=ann, **reason)
    assert '<span class="badge warn">Skipped by all</span>' in page.get(QUEUE, {"state": "skipped"}).text
    card = _card(page, only)
    assert "ann: A response is broken or not readable (Cut off.)" in card and 'value="left"' not in card
    page.post(f"{QUEUE}{only.pk}/submit/", _answer(card, "bad", reason="broken"))
    assert Adjudication.objects.get().verdict == "bad"
    assert "Skipped by all</span>" not in page.get(QUEUE, {"state": "skipped"}).text
