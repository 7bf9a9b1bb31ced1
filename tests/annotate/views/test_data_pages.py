"""Prompts, comparisons, agreement and snapshots on their pages."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from annotate.models import Comparison, Project, Prompt, Snapshot, User
from annotate.workflow.projects import create_project
from tests.factories import judge_all, make_comparisons, make_prompts

GARDEN = "/p/garden/"


@pytest.fixture
def manager(client: Client, lead: User, project: Project) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def judged(project: Project, comparisons: list[Comparison], ann: User, ben: User) -> list[Comparison]:
    """Two decided, one split, one tie, one judged by one person only."""
    judge_all(project, ann, ["a", "b", "a", "tie", "a"])
    judge_all(project, ben, ["a", "b", "b", "tie"])
    return comparisons


def _upload(client: Client, name: str, content: bytes) -> str:
    answer = client.post(GARDEN + "prompts/upload/", {"file": SimpleUploadedFile(name, content)}, follow=True)
    return answer.content.decode()


def test_a_good_file_is_imported_and_counted(manager: Client) -> None:
    line = json.dumps({"prompt": "怎么种番茄？", "tags": ["garden"], "language": "zh-hans"}, ensure_ascii=False)
    assert "1 prompt added, 0 were there already" in _upload(manager, "p.jsonl", line.encode())
    assert "0 prompts added, 1 were there already" in _upload(manager, "p.jsonl", line.encode())
    assert Prompt.objects.get().last_turn == "怎么种番茄？"


def test_csv_is_known_by_its_name_and_may_have_line_breaks_in_a_field(manager: Client) -> None:
    _upload(manager, "p.CSV", b'\xef\xbb\xbfprompt,tags\r\n"one\r\ntwo",a;b\r\n')
    assert Prompt.objects.get().tags == ["a", "b"]


def test_a_bad_file_changes_nothing_and_every_mistake_is_listed_with_its_line(manager: Client) -> None:
    html = _upload(manager, "p.jsonl", b'{"prompt": "good"}\n{"prompt": 3}\nnot json\n')
    assert "2 problems" in html
    assert '<td class="num">2</td>' in html and '<td class="num">3</td>' in html
    assert not Prompt.objects.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe\x00", "not UTF-8"), (b"", "submitted file is empty"), (b"\n\n", "no prompt in the file")],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(manager: Client, content: bytes, said: str) -> None:
    assert said in _upload(manager, "p.jsonl", content)


def test_prompts_are_filtered_by_tag_and_language_even_with_strange_names(manager: Client) -> None:
    rows = [
        {"prompt": "tomatoes", "tags": ["a&b", "c"], "language": "en"},
        {"prompt": "cucumbers", "tags": ["a"], "language": "en"},
        {"prompt": "番茄", "tags": ["a&b"], "language": "zh-hans"},
    ]
    _upload(manager, "p.jsonl", "\n".join(map(json.dumps, rows)).encode())
    html = manager.get(GARDEN + "prompts/", {"tag": "a&b", "language": "en"}).content.decode()
    assert "tomatoes" in html and "cucumbers" not in html and "番茄" not in html


def test_the_list_of_prompts_counts_tags_and_languages(manager: Client, project: Project) -> None:
    rows = [
        {"prompt": "one", "tags": ["z"], "language": "zh-hans"},
        {"prompt": "two", "tags": ["b"], "language": "en"},
        {"prompt": "three", "tags": ["b", "a"], "language": "en"},
        {"prompt": "four", "tags": ["1"]},
        {"prompt": "five", "tags": ["é\"'"]},
    ]
    _upload(manager, "p.jsonl", "\n".join(map(json.dumps, rows)).encode())
    make_prompts(create_project(slug="other", name="Other", manager=User.objects.get(username="lead")), 1)
    Prompt.objects.filter(project__slug="other").update(tags=["elsewhere"], language="eo")
    page = manager.get(GARDEN + "prompts/", {"tag": "1"})
    assert page.context["tags"] == [("b", 2), ("z", 1), ("a", 1), ("1", 1), ("é\"'", 1)]
    assert page.context["languages"] == [("en", 2), ("zh-hans", 1)]
    assert page.context["total"] == 5 and [row.last_turn for row in page.context["prompts"]] == ["four"]
    for nothing in ({"tag": "é"}, {"tag": "\x00"}, {"language": "\x00"}, {"tag": "b", "language": "zh-hans"}):
        assert "No prompt has this tag" in manager.get(GARDEN + "prompts/", nothing).content.decode()


def test_a_page_of_prompts_reads_no_more_of_them_than_it_shows(manager: Client, project: Project) -> None:
    make_prompts(project, 120)
    Prompt.objects.update(tags=["x"])
    with CaptureQueriesContext(connection) as asked:
        page = manager.get(GARDEN + "prompts/", {"page": "3"})
    assert [row.key for row in page.context["prompts"]] == [f"p{i}" for i in range(100, 120)]
    of_prompts = [query["sql"] for query in asked if 'FROM "annotate_prompt"' in query["sql"]]
    assert of_prompts and all("COUNT" in sql or "LIMIT 20" in sql or " IN (" in sql for sql in of_prompts), of_prompts


def test_comparisons_are_found_by_their_state(manager: Client, judged: list[Comparison]) -> None:
    found = {}
    for status in ("waiting", "partly", "complete", "disputed"):
        html = manager.get(GARDEN + "comparisons/", {"status": status}).content.decode()
        found[status] = [n for n, row in enumerate(judged) if f"/comparisons/{row.pk}/" in html]
    assert found == {"waiting": [], "partly": [4], "complete": [0, 1, 2, 3], "disputed": [2]}


def test_a_comparison_shows_who_said_what_under_which_version(manager: Client, judged: list[Comparison]) -> None:
    html = manager.get(f"{GARDEN}comparisons/{judged[2].pk}/").content.decode()
    assert "ann" in html and "ben" in html
    assert "A is better" in html and "B is better" in html and "guideline/v1/" in html


def test_a_comparison_names_the_snapshots_it_went_into(manager: Client, judged: list[Comparison]) -> None:
    manager.post(GARDEN + "snapshots/new/", {"aggregation": "majority", "test_share": "0.5", "seed": "0"})
    decided, split = (manager.get(f"{GARDEN}comparisons/{judged[n].pk}/").content.decode() for n in (0, 2))
    assert "/snapshots/1/" in decided
    assert "/snapshots/1/" not in split and "Into no snapshot yet" in split


def test_agreement_comes_with_n_and_interval(manager: Client, judged: list[Comparison]) -> None:
    html = manager.get(GARDEN + "agreement/").content.decode()
    assert "75 %" in html and "n = 4" in html and "95 % interval" in html
    assert '<tr data-name="ann">' in html


def test_agreement_without_judgments_says_why_there_is_no_number(manager: Client) -> None:
    html = manager.get(GARDEN + "agreement/").content.decode()
    assert "There are no judgments yet." in html and "not yet" in html


def test_the_overview_asks_for_the_figures_alone(manager: Client, judged: list[Comparison]) -> None:
    html = manager.get(GARDEN + "agreement/", headers={"HX-Request": "true"}).content.decode()
    assert "75 %" in html and "<html" not in html


def test_the_form_counts_beforehand_what_a_snapshot_holds_and_drops(manager: Client, judged: list[Comparison]) -> None:
    html = manager.get(GARDEN + "snapshots/new/", {"test_share": "0", "seed": "0"}).content.decode()
    assert "of 5 judged comparisons" in html and "3 / 0" in html
    assert not Snapshot.objects.exists()


def test_freezing_twice_leads_to_the_same_snapshot(manager: Client, judged: list[Comparison]) -> None:
    form = {"aggregation": "majority", "test_share": "0.5", "seed": "1"}
    pages = [manager.post(GARDEN + "snapshots/new/", form, follow=True) for _ in range(2)]
    assert [page.redirect_chain[-1][0] for page in pages] == [GARDEN + "snapshots/1/"] * 2
    assert "is frozen" in pages[0].content.decode() and "Nothing has changed" in pages[1].content.decode()


def test_an_empty_snapshot_is_refused_with_what_to_do(manager: Client) -> None:
    page = manager.post(GARDEN + "snapshots/new/", {"aggregation": "majority", "test_share": "0.35", "seed": "0"})
    assert page.status_code == 400
    said = page.content.decode()
    assert "There is nothing to freeze" in said and "Judge more comparisons" in said
    assert 'value="0.35"' in said, "what was asked for is still there"


def test_a_draw_that_holds_nobody_out_is_said_at_its_field(
    manager: Client, project: Project, ann: User, ben: User
) -> None:
    make_comparisons(project, 4)
    for person in (ann, ben):
        judge_all(project, person, ["a"] * 4)
    query = {"aggregation": "majority", "test_share": "0.2", "seed": "0", "annotator_share": "0.001"}
    page = manager.post(GARDEN + "snapshots/new/", query)
    assert page.status_code == 400 and "Take a larger share, or another seed." in page.content.decode()
    assert page.context["form"].has_error("annotator_share")
    assert not project.snapshots.exists()


@pytest.mark.parametrize("form", [{"test_share": "1"}, {"test_share": "x"}, {"test_share": "0.2", "seed": "-1"}])
def test_a_query_that_makes_no_sense_is_said_at_the_field(manager: Client, form: dict[str, str]) -> None:
    answer = manager.post(GARDEN + "snapshots/new/", {"aggregation": "majority", "seed": "0", **form})
    assert answer.status_code == 400
    assert "errorlist" in answer.content.decode()


def test_a_snapshot_is_downloaded_as_jsonl_and_parquet(manager: Client, judged: list[Comparison]) -> None:
    manager.post(GARDEN + "snapshots/new/", {"aggregation": "majority", "test_share": "0.5", "seed": "0"})
    rows = {}
    for split in ("train", "test", "all"):
        answer = manager.get(f"{GARDEN}snapshots/1/{split}.jsonl")
        assert f"garden-snapshot-1-{split}.jsonl" in answer.headers["Content-Disposition"]
        rows[split] = [json.loads(line) for line in answer.getvalue().decode().splitlines()]
    assert rows["all"] == rows["train"] + rows["test"] and len(rows["all"]) == 3
    assert all(set(row) == {"prompt", "chosen", "rejected"} for row in rows["all"])
    table = pq.read_table(BytesIO(manager.get(GARDEN + "snapshots/1/train.parquet").getvalue()))
    assert table.num_rows == len(rows["train"])
    for wrong in ("all.parquet", "other.jsonl", "train.exe"):
        assert manager.get(GARDEN + "snapshots/1/" + wrong).status_code == 404


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"half of it")])
def test_files_of_a_snapshot_that_are_gone_are_told_before_the_answer_begins(
    manager: Client, judged: list[Comparison], spoil: Callable[[Path], object]
) -> None:
    manager.post(GARDEN + "snapshots/new/", {"aggregation": "majority", "test_share": "0.5", "seed": "0"})
    spoil(Path(Snapshot.objects.get().folder) / "test.parquet")
    for file in ("all.jsonl", "test.parquet"):
        response = manager.get(f"{GARDEN}snapshots/1/{file}")
        assert response.status_code == 409 and "Freeze the same state" in response.content.decode()
    assert manager.get("/api/v1/projects/garden/snapshots/1/export/").json()["code"] == "SnapshotFilesGone"


def test_hostile_texts_are_shown_as_text_on_every_page_that_shows_them(
    manager: Client, judged: list[Comparison]
) -> None:
    attack = "<script>alert(1)</script>"
    first = judged[0]
    type(first.response_a).objects.filter(pk=first.response_a_id).update(text=attack)
    Prompt.objects.filter(pk=first.prompt_id).update(messages=[{"role": "user", "content": attack}], tags=[attack])
    manager.post(GARDEN + "snapshots/new/", {"aggregation": "majority", "test_share": "0.5", "seed": "0"})
    for page in ("prompts/", "comparisons/", f"comparisons/{first.pk}/", "snapshots/1/"):
        html = manager.get(GARDEN + page).content.decode()
        assert attack not in html and escape(attack) in html
