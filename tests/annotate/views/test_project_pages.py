"""Projects, members and settings on their pages, and what stands there when something is wrong."""

import re
import uuid

import pytest
from django.test import Client

from annotate.models import Choice, Comparison, Membership, Project, Role, User
from annotate.workflow.agreement_summary import summary_for
from annotate.workflow.judging import submit_judgment, undo_last
from annotate.workflow.projects import set_member
from tests.factories import judge, judge_all, make_comparisons, make_user, run_out, take


@pytest.fixture
def manager(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


def test_home_lists_my_projects_only_with_what_is_left(
    client: Client, ann: User, stranger: User, comparisons: list[Comparison]
) -> None:
    client.force_login(ann)
    assert "Judge: 5 left for you" in client.get("/").content.decode()
    client.force_login(stranger)
    html = client.get("/").content.decode()
    assert "Garden" not in html and "No project yet" in html


def test_staff_make_projects_and_become_their_managers(client: Client, db: None) -> None:
    client.force_login(make_user("chief", is_staff=True))
    client.post("/projects/new/", {"name": "Desert", "slug": "Desert", "overlap": "3", "degrees": "2"})
    project = Project.objects.get(slug="desert")
    assert (project.overlap, project.degrees) == (3, 2)
    assert Membership.objects.get(project=project).role == Role.MANAGER


def test_a_short_name_that_is_taken_is_said_at_its_field(client: Client, project: Project) -> None:
    client.force_login(make_user("chief", is_staff=True))
    html = client.post("/projects/new/", {"name": "x", "slug": "Garden", "overlap": "2"}).content.decode()
    assert 'id="id_slug_error"' in html and "already exists" in html


def test_others_cannot_make_projects(client: Client, ann: User) -> None:
    client.force_login(ann)
    assert client.post("/projects/new/", {"name": "x", "slug": "x", "overlap": "1"}).status_code == 403
    # Not a way to the login page, which would send somebody who is signed in back here, and so on for ever.
    assert client.get("/projects/new/").status_code == 403
    assert not Project.objects.filter(slug="x").exists()


def test_a_manager_adds_changes_and_removes_people(manager: Client, project: Project, stranger: User) -> None:
    manager.post("/p/garden/members/", {"username": "stranger", "role": "annotator"})
    assert Membership.objects.get(user=stranger).role == Role.ANNOTATOR
    manager.post(f"/p/garden/members/{stranger.pk}/", {"action": "change", "role": "reviewer"})
    assert Membership.objects.get(user=stranger).role == Role.REVIEWER
    manager.post(f"/p/garden/members/{stranger.pk}/", {"action": "remove", "role": "reviewer"})
    assert not Membership.objects.filter(user=stranger).exists()


def test_a_user_name_that_does_not_exist_is_said_at_the_field(manager: Client) -> None:
    answer = manager.post("/p/garden/members/", {"username": "nobody", "role": "annotator"})
    assert answer.status_code == 400
    assert "There is no account “nobody”" in answer.content.decode()


def test_members_are_shown_with_the_judgments_that_stand(
    manager: Client, project: Project, comparisons: list[Comparison], ann: User, ben: User
) -> None:
    judge_all(project, ann, ["a", "b", "tie"])
    judge_all(project, ben, ["a"])
    for person in (ann, ann, ben):
        undo_last(project=project, annotator=person)
    page = manager.get("/p/garden/members/")
    assert {row.user.username: row.judged for row in page.context["members"]} == {"ann": 1, "ben": 0, "lead": 0}


def test_surplus_is_counted_beside_the_judgments(
    manager: Client, project: Project, reviewer: User, ann: User, ben: User
) -> None:
    make_comparisons(project, 1)
    late = take(project, ann)
    run_out()
    for person in (ben, reviewer):
        judge(project, person, "a")
    submit_judgment(assignment_id=late.pk, annotator=ann, client_key=uuid.uuid4(), choice=Choice.A)
    overview = manager.get("/p/garden/")
    assert '<td>ann</td><td class="num">0 <span class="muted small">+ 1 surplus</span></td>' in overview.text
    assert sum(day["count"] for day in overview.context["days"]) == 2
    judged = {row.user.username: row.judged for row in manager.get("/p/garden/members/").context["members"]}
    assert judged == {"ann": 0, "ben": 1, "rev": 1, "lead": 0}


def test_an_answer_given_anew_is_no_fast_one(manager: Client, project: Project, ann: User, ben: User) -> None:
    make_comparisons(project, 1)
    for person in (ann, ben):
        said = {"annotator": person, "choice": Choice.A, "client_key": uuid.uuid4(), "seconds": 45.0}
        submit_judgment(assignment_id=take(project, person).pk, **said)
    card = undo_last(project=project, annotator=ann)
    again = {"annotator": ann, "choice": Choice.B, "client_key": uuid.uuid4(), "seconds": 1.4}
    submit_judgment(assignment_id=card.pk, **again)
    assert summary_for(project, "annotator").body["filtered"]["removed"]["fast"] == 0
    people = manager.get("/p/garden/").context["people"]
    assert {row["name"]: row["mean_seconds"] for row in people} == {"ann": None, "ben": 45.0}


def test_managers_cannot_leave_a_project_without_a_manager(manager: Client, lead: User) -> None:
    manager.post(f"/p/garden/members/{lead.pk}/", {"action": "remove"})
    manager.post(f"/p/garden/members/{lead.pk}/", {"action": "change", "role": "annotator"})
    manager.post("/p/garden/members/", {"username": "lead", "role": "annotator"})
    assert Membership.objects.get(user=lead).role == Role.MANAGER


def test_a_new_overlap_reaches_the_comparisons_in_the_queue(
    manager: Client, project: Project, comparisons: list[Comparison], ann: User, ben: User
) -> None:
    judge_all(project, ann, ["a"])
    judge_all(project, ben, ["a"])
    form = {"name": "Garden", "description": "", "lease_minutes": "30", "degrees": "3"}
    page = manager.post("/p/garden/settings/", {**form, "overlap": "1"}, follow=True)
    assert "The overlap of 4 comparisons was changed" in page.content.decode()
    assert sorted(project.comparisons.values_list("overlap", flat=True)) == [1, 1, 1, 1, 2]
    again = manager.post("/p/garden/settings/", {**form, "overlap": "1"}, follow=True).content.decode()
    assert "Saved." in again and "The overlap of" not in again
    assert manager.post("/p/garden/settings/", {**form, "overlap": "0"}).status_code == 400
    project.refresh_from_db()
    assert (project.overlap, project.lease_minutes, project.degrees) == (1, 30, 3)


def test_the_overview_shows_a_manager_what_comes_next(
    manager: Client, project: Project, comparisons: list[Comparison], ann: User
) -> None:
    judge_all(project, ann, ["a", "b"])
    html = manager.get("/p/garden/").content.decode()
    assert "Next steps" in html and "Freeze a snapshot" in html
    assert '<td>ann</td><td class="num">2</td>' in html


def test_the_overview_lists_ten_people_and_folds_the_others_below_agreement(
    manager: Client, project: Project, comparisons: list[Comparison]
) -> None:
    project.comparisons.update(overlap=12)
    for number in range(12):
        person = make_user(f"w{number:02}")
        set_member(project=project, user=person, role=Role.ANNOTATOR)
        judge(project, person, "a")
    html = manager.get("/p/garden/").content.decode()
    shown, _summary, folded = html.partition("<summary>2 more</summary>")
    assert (shown.count("<td>w"), folded.count("<td>w")) == (10, 2)
    assert shown.index("<h2>Agreement</h2>") < shown.index("<td>w00</td>")


@pytest.mark.parametrize(
    ("path", "entry"), [("comparisons/upload/", "Comparisons"), ("runs/compare/", "Runs"), ("prompts/", "Prompts")]
)
def test_a_page_marks_its_entry_of_the_navigation(manager: Client, path: str, entry: str) -> None:
    html = manager.get(f"/p/garden/{path}").content.decode()
    assert set(re.findall(r'aria-current="page">([^<]+)</a>', html)) == {entry}


def test_the_overview_of_an_annotator_is_about_judging(
    client: Client, ann: User, comparisons: list[Comparison]
) -> None:
    client.force_login(ann)
    html = client.get("/p/garden/").content.decode()
    assert "Judge (5 left)" in html
    assert "Next steps" not in html and "Judgments per day" not in html


def test_a_page_that_is_not_there_says_what_to_do(client: Client, ann: User) -> None:
    client.force_login(ann)
    answer = client.get("/p/nowhere/")
    assert answer.status_code == 404
    assert "To the projects" in answer.content.decode()


def test_a_page_beyond_the_role_says_which_role_it_needs(client: Client, ann: User) -> None:
    client.force_login(ann)
    answer = client.get("/p/garden/members/")
    assert answer.status_code == 403
    assert "Manager" in answer.content.decode()


def test_a_message_never_leads_to_a_page_of_somebody_else(manager: Client) -> None:
    answer = manager.post("/p/garden/judge/undo/", headers={"Referer": "https://evil.example/x"})
    assert answer.status_code == 409
    assert "There is no answer to take back" in answer.content.decode()


def test_the_pages_speak_chinese_when_asked(manager: Client) -> None:
    manager.post("/i18n/setlang/", {"language": "zh-hans", "next": "/"})
    assert '<html lang="zh-hans">' in manager.get("/").content.decode()
