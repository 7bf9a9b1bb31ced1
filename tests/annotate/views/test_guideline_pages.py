"""The guideline on its pages: draft, preview, publication, history, difference."""

import pytest
from django.test import Client

from annotate.models import GuidelineDraft, Project, User
from annotate.views.difference import is_changed, passages
from annotate.workflow.guidelines import current_version, difference, mark_read, publish, save_draft

PAGE = "/p/garden/guideline/"


@pytest.fixture
def manager(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


def test_a_preview_shows_the_text_rendered_and_saves_nothing(manager: Client) -> None:
    answer = manager.post(
        PAGE + "draft/", {"body": "Be **brief**.", "action": "preview"}, headers={"HX-Request": "true"}
    )
    html = answer.content.decode()
    assert "<strong>brief</strong>" in html and "<html" not in html
    assert GuidelineDraft.objects.get().body == "Prefer the response that helps."


def test_a_preview_without_javascript_keeps_what_was_typed(manager: Client) -> None:
    html = manager.post(PAGE + "draft/", {"body": "Be **brief**.", "action": "preview"}).content.decode()
    assert "<strong>brief</strong>" in html and "Be **brief**.</textarea>" in html


def test_a_saved_draft_is_shown_to_managers_only(manager: Client, client: Client, ann: User) -> None:
    page = manager.post(PAGE + "draft/", {"body": "Be brief.", "action": "save"}, follow=True)
    assert "Be brief." in page.content.decode() and "The draft is saved" in page.content.decode()
    client.force_login(ann)
    assert "Be brief." not in client.get(PAGE).content.decode()


def test_publishing_takes_what_stands_in_the_editor(manager: Client, project: Project) -> None:
    page = manager.post(PAGE + "publish/", {"body": "Be brief.", "summary": "Brevity"}, follow=True)
    assert page.redirect_chain == [(PAGE, 302)]
    assert [v.body for v in project.guideline_versions.all()] == ["Be brief.", "Prefer the response that helps."]
    html = page.content.decode()
    assert "Brevity" in html and f'href="{PAGE}v1..v2/"' in html


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"body": "Be brief.", "summary": " "}, "needs a summary"),
        ({"body": "Prefer the response that helps.", "summary": "x"}, "the same as version 1"),
        ({"body": "  ", "summary": "x"}, "is empty"),
    ],
)
def test_what_cannot_be_published_is_said_and_the_text_is_kept(
    manager: Client, project: Project, form: dict[str, str], said: str
) -> None:
    answer = manager.post(PAGE + "publish/", form)
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert form["body"] in answer.content.decode()
    assert project.guideline_versions.count() == 1


def test_the_difference_of_two_versions_names_what_was_added_and_removed(
    manager: Client, client: Client, ann: User
) -> None:
    manager.post(PAGE + "publish/", {"body": "Prefer the response that is true.", "summary": "Truth"})
    client.force_login(ann)
    html = client.get(PAGE + "v1..v2/").content.decode()
    assert '<div class="removed">' in html and '<div class="added">' in html and "Truth" in html
    assert client.get(PAGE + "v1..v7/").status_code == 404


def test_unchanged_passages_are_folded_and_nothing_is_left_out() -> None:
    older = [f"line {n}" for n in range(40)]
    newer = [*older[:20], "new", *older[20:]]
    parts = passages("\n".join(older), "\n".join(newer))
    assert [part.folded for part in parts] == [True, False, True]
    assert [line.text for part in parts for line in part.lines] == newer
    assert [line.text for line in parts[1].lines] == [*older[17:20], "new", *older[20:23]]


def test_lines_that_are_reworded_are_not_compared_word_by_word() -> None:
    older = [f"{n} The annotator prefers the response that helps." for n in range(30)]
    newer = [line.replace("prefers", "chooses") for line in older]
    lines = difference("\n".join(older), "\n".join(newer))
    assert [(line.kind, line.text) for line in lines] == [
        *(("removed", line) for line in older), *(("added", line) for line in newer)
    ]  # fmt: skip


def test_a_passage_moved_or_inserted_between_blank_lines_is_found() -> None:
    older, newer = "# A\n\none\n\ntwo\n\nthree", "# A\n\none\n\nnew\n\ntwo\n\nthree"
    lines = difference(older, newer)
    assert "\n".join(line.text for line in lines) == newer
    assert [line.text for line in lines if line.kind != "same"] == ["new", ""]


@pytest.mark.parametrize("line", ["a", "- {n}", ""])
def test_texts_that_would_take_long_to_compare_are_not_compared(line: str) -> None:
    older, newer = ("\n".join([first, *(line.format(n=n) for n in range(7000))]) for first in ("x", "y"))
    assert difference(older, newer) is None and passages(older, newer) is None
    assert not is_changed(passages(older, older))


def test_one_comparison_of_two_versions_serves_every_annotator() -> None:
    assert difference("one\ntwo", "one\n2") is difference("one\n" + "two", "one\n" + "2")


def test_a_version_that_is_not_compared_is_shown_whole_and_said_to_be(
    manager: Client, client: Client, ann: User, project: Project
) -> None:
    mark_read(version=current_version(project), user=ann)
    body = "\n".join(["Be **brief**.", *["a"] * 2_000])
    manager.post(PAGE + "publish/", {"body": body, "summary": "Rules"})
    save_draft(project=project, body=body.replace("brief", "short"), actor=None)
    publish(project=project, summary="Rules again", actor=None)
    said = "too long and too different to be compared"
    assert said in manager.post(PAGE + "draft/", {"body": body, "action": "preview"}).content.decode()
    client.force_login(ann)
    mark_read(version=project.guideline_versions.get(number=2), user=ann)
    for address in ("/p/garden/judge/", PAGE + "v2..v3/"):
        html = client.get(address).content.decode()
        assert said in html and "<strong>short</strong>" in html and '<div class="diff">' not in html


def test_the_drawer_gets_the_text_alone(client: Client, ann: User) -> None:
    client.force_login(ann)
    html = client.get(PAGE, headers={"HX-Request": "true", "HX-Target": "guideline-text"}).content.decode()
    assert "Prefer the response that helps." in html and "<html" not in html
