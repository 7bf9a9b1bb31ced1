"""The agreement page: parts, pairs, filtered beside raw, before and after, and large projects from what is kept."""

import csv
import io
import json
from typing import Any

import pytest
from celery import current_app
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client

from annotate.models import AgreementSummary, Comparison, Project, User
from annotate.tasks import refresh_agreement
from annotate.workflow import agreement_summary
from annotate.workflow.agreement_groups import BREAKDOWNS
from annotate.workflow.comparison_import import import_comparisons
from annotate.workflow.guidelines import current_version, mark_read, publish, save_draft
from tests.annotate.workflow.test_adjudication import decide
from tests.factories import judge_all, make_comparisons

pytestmark = pytest.mark.django_db
PAGE = "/p/garden/agreement/"


@pytest.fixture
def leading(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def judged(project: Project, ann: User, ben: User) -> list[Comparison]:
    made = make_comparisons(project, 12)
    judge_all(project, ann, ["a", "b", "a", "tie"] * 3)
    judge_all(project, ben, ["a", "b", "b", "tie"] * 3)
    return made


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every project is too large to be computed by a page; collects the projects that a worker is asked for."""
    monkeypatch.setattr(agreement_summary, "LIVE", 3)
    asked: list[int] = []
    monkeypatch.setattr("annotate.views.agreement.ask_for_agreement", lambda project: asked.append(project.pk))
    return asked


@pytest.mark.parametrize("is_large", [False, True])
def test_degrees_have_a_coefficient_of_their_own_where_there_are_any(
    leading: Client, project: Project, judged: list[Comparison], large: list[int], is_large: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not is_large:
        monkeypatch.setattr(agreement_summary, "LIVE", 20_000)
    refresh_agreement(project.pk)
    assert "Alpha of the degrees" not in leading.get(PAGE).content.decode()
    records = [
        {**_record(n), "annotations": [{"annotator": name, "choice": "a", "degree": 1 + n % 3} for name in ("x", "y")]}
        for n in range(6)
    ]
    _import(project, records)
    refresh_agreement(project.pk)
    assert "Alpha of the degrees" in leading.get(PAGE).content.decode()
    assert leading.get("/api/v1/projects/garden/agreement/").json()["alpha_of_degrees"]["n"] == 6


def _record(n: int) -> dict[str, Any]:
    return {"id": f"c{n}", "prompt": f"P{n}", "response_a": "A", "response_b": "B", "tags": ["hard"] if n % 2 else []}


def _import(project: Project, records: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(record) + "\n" for record in records)
    import_comparisons(project=project, stream=io.BytesIO(text.encode()), name="crowd.jsonl")


def _crowd(project: Project, people: int) -> None:
    """Of three judgments of a comparison, one is fast; in every second comparison another one differs."""
    voters = [[f"w{(n + k) % people}" for k in range(3)] for n in range(40)]
    annotations = [
        [{"annotator": name, "choice": "ab"[(n * k) % 2], "seconds": 1 + k} for k, name in enumerate(names)]
        for n, names in enumerate(voters)
    ]
    _import(project, [{**_record(n), "annotations": said} for n, said in enumerate(annotations)])


@pytest.mark.parametrize("by", BREAKDOWNS)
def test_every_breakdown_has_a_page(leading: Client, judged: list[Comparison], by: str) -> None:
    html = leading.get(PAGE, {"by": by}).content.decode()
    shown = {"guideline": "<td>v1</td>", "criterion": "Overall choice", "annotator": "<td>ann</td>", "week": "-W"}
    assert shown.get(by, "none") in html


def test_two_annotators_are_a_matrix_and_the_split_comparisons_are_links(
    leading: Client, judged: list[Comparison]
) -> None:
    html = leading.get(PAGE).content.decode()
    assert '<tr data-name="ann">' in html and "75 % · 12" in html
    assert f"/comparisons/{judged[2].pk}/" in html and f"/comparisons/{judged[0].pk}/" not in html


def _between(text: str, start: str, end: str) -> str:
    return text.split(start)[1].split(end)[0]


def test_many_annotators_are_a_list_that_can_be_sorted(leading: Client, project: Project) -> None:
    _crowd(project, 35)
    orders = {}
    for sort in ("", "raw", "-raw"):
        html = leading.get(PAGE, {"sort": sort}).content.decode()
        orders[sort] = [
            row.split("<")[0] for row in _between(html, '<h2 id="pairs">', "</table>").split("<tr><td>")[1:]
        ]
    assert len(orders[""]) > 30 and 'tr data-name="w1"' not in html
    assert orders["raw"] != orders["-raw"] and sorted(orders["raw"]) == sorted(orders["-raw"])


def test_filtered_stands_beside_raw_and_says_what_was_taken_out(leading: Client, project: Project) -> None:
    _crowd(project, 4)
    assert "without answers faster than 2 seconds (40)" in leading.get(PAGE).content.decode()
    body = agreement_summary.summary_for(project, "tag").body
    assert (body["overall"]["n_judgments"], body["filtered"]["n_judgments"]) == (120, 80)
    assert [group["group"] for group in body["breakdowns"]["tag"]] == ["hard", None]


def test_somebody_who_contradicts_all_others_is_filtered_out_and_counted(project: Project) -> None:
    votes = [("w1", "a"), ("w2", "a"), ("z", "b")]
    annotations = [{"annotator": name, "choice": choice} for name, choice in votes]
    _import(project, [{**_record(n), "annotations": annotations} for n in range(12)])
    filtered = agreement_summary.summary_for(project, "tag").body["filtered"]
    assert filtered["removed"] == {"fast": 0, "people": 1, "theirs": 12}
    assert filtered["raw"]["value"] == 1 and filtered["alpha"]["value"] is None


def test_weeks_begin_where_the_days_of_the_overview_do(project: Project, settings: LazySettings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    said = [{"annotator": name, "choice": "a", "submitted_at": "2026-03-29T18:00:00"} for name in ("w1", "w2")]
    _import(project, [{**_record(0), "annotations": said}])
    weeks = agreement_summary.summary_for(project, "week").body["breakdowns"]["week"]
    assert [week["group"] for week in weeks] == ["2026-W14"], "a Monday in Tokyo, a Sunday in UTC"


def test_a_new_version_is_compared_with_the_one_before(
    leading: Client, project: Project, lead: User, judged: list[Comparison], ann: User, ben: User
) -> None:
    save_draft(project=project, body="Prefer what is true.", actor=lead)
    publish(project=project, summary="Truth first", actor=lead)
    make_comparisons(project, 12, start=50, batch="Second")
    judge_all(project, ann, ["a", "b"] * 6)
    judge_all(project, ben, ["a", "b"] * 6)
    html = leading.get(PAGE).content.decode()
    assert "v1 → v2" in html and "<td>v2</td>" in html
    [change] = agreement_summary.summary_for(project, "guideline").body["differences"]
    assert change["raw"]["value"] == pytest.approx(0.25) and change["raw"]["low"] < 0.25 < change["raw"]["high"]


def test_degenerate_states_are_told_in_the_readers_language(leading: Client, project: Project) -> None:
    assert "There are no judgments yet." in leading.get(PAGE).content.decode()
    leading.cookies["django_language"] = "zh-hans"
    html = leading.get(PAGE).content.decode()
    assert 'lang="zh-hans"' in html and "There are no judgments yet." not in html


def test_a_large_project_is_never_computed_by_looking(
    leading: Client, project: Project, judged: list[Comparison], large: list[int]
) -> None:
    html = leading.get(PAGE).content.decode()
    assert "being computed" in html and large == [project.pk] and not AgreementSummary.objects.exists()
    assert refresh_agreement(project.pk) is True
    html = leading.get(PAGE, {"by": "week"}).content.decode()
    assert "75 %" in html and large == [project.pk]
    assert refresh_agreement(project.pk) is False


def test_new_judgments_make_the_kept_numbers_old_and_a_button_makes_them_new(
    leading: Client, project: Project, judged: list[Comparison], large: list[int], ann: User
) -> None:
    refresh_agreement(project.pk)
    make_comparisons(project, 1, start=90, batch="Second")
    judge_all(project, ann, ["a"])
    html = leading.get(PAGE).content.decode()
    assert "judgments have come since" in html and "24 judgments of 12" in html and large == [project.pk]
    html = leading.post(PAGE + "refresh/", follow=True).content.decode()
    assert "25 judgments of 13" in html and "judgments have come since" not in html


def test_an_undone_answer_makes_them_old_too(
    leading: Client, project: Project, judged: list[Comparison], large: list[int], ann: User
) -> None:
    refresh_agreement(project.pk)
    leading.force_login(ann)
    leading.post("/p/garden/judge/undo/")
    assert agreement_summary.summary_for(project, "week").is_stale


def test_a_broker_that_is_away_costs_nothing_but_freshness(
    leading: Client, judged: list[Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement_summary, "LIVE", 3)
    away = current_app.connection("redis://127.0.0.1:1/0")
    monkeypatch.setattr(current_app, "connection_for_write", lambda: away)
    assert leading.get(PAGE).status_code == 200


def test_the_page_and_the_command_say_the_same(project: Project, judged: list[Comparison], capsys) -> None:
    call_command("agreement", "garden", "--json")
    said = json.loads(capsys.readouterr().out)
    body = agreement_summary.summary_for(project, "guideline").body
    for name in ("raw_agreement", "krippendorff_alpha", "fleiss_kappa", "gwet_ac1", "leave_one_out"):
        assert body["overall"][name] == said[name]


def _csv(client: Client, address: str) -> list[dict[str, str]]:
    answer = client.get(address)
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_the_parts_are_downloaded_as_they_are_shown(leading: Client, judged: list[Comparison]) -> None:
    (row,) = _csv(leading, f"{PAGE}parts.csv?by=guideline")
    assert (row["guideline"], row["judgments"], row["raw_n"]) == ("v1", "24", "12")
    assert float(row["raw"]) == 0.75
    assert float(row["raw_low"]) < 0.75 < float(row["raw_high"])


def test_an_undefined_number_is_an_empty_cell_with_its_reason(leading: Client, project: Project, ann: User) -> None:
    make_comparisons(project, 2)
    judge_all(project, ann, ["a", "b"])
    (row,) = _csv(leading, f"{PAGE}parts.csv?by=guideline")
    assert row["raw"] == row["raw_low"] == "" and row["raw_undefined_because"]


def test_a_name_that_a_spreadsheet_would_compute_is_text(leading: Client, project: Project) -> None:
    names = ["=1+1", "ben"]
    records = [
        _record(n) | {"annotations": [{"annotator": name, "choice": "ab"[n % 2]} for name in names]} for n in (1, 2)
    ]
    _import(project, records)
    (row,) = _csv(leading, f"{PAGE}pairs.csv")
    assert {row["annotator"], row["other_annotator"]} == {"'=1+1", "ben"}
    assert (row["raw"], row["kappa"]) == ("1.0", "1.0")


@pytest.mark.parametrize("address", ["other.csv", "parts.csv?by=nothing"])
def test_a_table_that_does_not_exist_is_not_found(leading: Client, judged: list[Comparison], address: str) -> None:
    assert leading.get(f"{PAGE}{address}").status_code == 404


def test_an_annotator_downloads_no_numbers(client: Client, ann: User, project: Project) -> None:
    client.force_login(ann)
    assert client.get(f"{PAGE}parts.csv").status_code in (403, 404)


def test_what_is_not_computed_yet_is_said(leading: Client, judged: list[Comparison], large: list[int]) -> None:
    assert leading.get(f"{PAGE}parts.csv").status_code == 503


def test_what_is_not_shown_is_counted_and_the_csv_has_everybody(leading: Client, project: Project) -> None:
    records = []
    for n in range(140):
        said = [{"annotator": f"w{n}", "choice": "a"}, {"annotator": f"w{(n + 1) % 140}", "choice": "b"}]
        # Seventy tags, the first ten of them on one comparison less.
        records.append({**_record(n), "tags": [f"t{n % 70:02}"] if n >= 10 else [], "annotations": said})
    _import(project, records)
    html = leading.get(PAGE, {"by": "annotator"}).text
    assert html.count('<tr data-name="w') == 100 and "The CSV has 40 people more" in html
    assert len(_csv(leading, f"{PAGE}parts.csv?by=annotator")) == 140
    by_tag = leading.get(PAGE, {"by": "tag"})
    assert len(by_tag.context["groups"]) == 61 and "10 smaller groups are left out" in by_tag.text


def test_one_adjudicated_comparison_is_one_too_few(
    leading: Client, project: Project, judged: list[Comparison], lead: User
) -> None:
    mark_read(version=current_version(project), user=lead)
    decide(judged[0], lead, "a")
    assert "Only one comparison in common; at least two are needed." in leading.get(PAGE).text
