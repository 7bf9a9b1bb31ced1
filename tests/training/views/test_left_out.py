"""What a run has not used, on its page and as a file: counted by reason, in the reader's language, none forgotten."""

import csv
import io
import json

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from annotate.models import Project
from tests.training.workflow.products import finished
from training.models import Artifact, Run, RunState
from training.workflow import left_out, runs
from training.workflow.evaluation import results_of
from training.workflow.folders import folder_of

pytestmark = [pytest.mark.django_db, pytest.mark.not_db]
TOO_LONG = "too long: %(tokens)s tokens, at most %(most)s are allowed"


def too_long(number: int) -> dict:
    values = {"tokens": 600 + number, "most": 512}
    return {"id": f"p{number}", "why": TOO_LONG % values, "split": "train", "template": TOO_LONG, "values": values}


EMPTY = {"id": "e", "why": "the prompt is empty", "split": "test", "template": "the prompt is empty", "values": {}}
ROWS = [*map(too_long, range(120)), EMPTY]


def test_reasons_are_counted_and_what_differs_within_one_is_left_open() -> None:
    assert left_out.in_words(ROWS) == "longer than 512 tokens (120), the prompt is empty (1)"
    assert left_out.in_words(ROWS[:2]) == "longer than 512 tokens"
    assert left_out.in_words(ROWS[:1]) == "too long: 600 tokens, at most 512 are allowed"


def test_reasons_are_told_in_the_language_of_the_reader() -> None:
    with translation.override("zh-hans"):
        told = left_out.in_words(ROWS)
    assert "512" in told and "too long" not in told and "empty" not in told


def test_rows_of_an_earlier_version_have_only_their_words() -> None:
    assert left_out.in_words([{"id": "a", "why": "it is odd"}, {"id": "b", "why": "it is odd"}]) == "it is odd"
    many = [{"id": str(n), "why": f"reason {n}"} for n in range(30)]
    assert left_out.in_words(many).count("reason") == left_out.MOST_REASONS
    assert left_out.in_words(many).endswith("…")


@pytest.fixture
def trained(project: Project, policy: Artifact) -> Run:
    return finished(project, policy, data={"train": 3, "test": 2, "dropped": ROWS, "truncated": 0}).run


def test_the_results_say_it_in_one_sentence(trained: Run) -> None:
    [note] = [note for note in results_of(trained).warnings if "left out" in note]
    assert note == "121 of 126 pairs (96 %) left out: " + left_out.in_words(ROWS) + "."


def test_the_page_lists_the_first_and_the_file_all(client: Client, trained: Run) -> None:
    client.force_login(trained.project.memberships.get().user)
    page = client.get(reverse("run", args=[trained.project.slug, trained.pk])).content.decode()
    assert "121 examples left out" in page and "Only the first 100 are shown." in page
    assert "p99" in page and "p100<" not in page
    file = client.get(reverse("run_left_out", args=[trained.project.slug, trained.pk]))
    lines = b"".join(file.streaming_content).decode().splitlines()
    assert lines[0] == "split,id,why" and len(lines) == 122
    assert lines[1] == 'train,p0,"too long: 600 tokens, at most 512 are allowed"'


def test_what_an_upload_names_is_no_formula_of_a_spreadsheet(
    client: Client, project: Project, policy: Artifact
) -> None:
    run = runs.create_run(project, "dpo", {}, "a policy", model=policy)
    folder_of(run).mkdir(parents=True)
    odd = {"id": '=HYPERLINK("http://x")', "why": "+odd", "split": "train", "template": "", "values": {}}
    (folder_of(run) / left_out.FILE).write_text(json.dumps(odd) + "\n", encoding="utf-8")
    client.force_login(project.memberships.get().user)
    file = client.get(reverse("run_left_out", args=[project.slug, run.pk]))
    rows = list(csv.reader(io.StringIO(b"".join(file.streaming_content).decode())))
    assert rows == [["split", "id", "why"], ["train", '\'=HYPERLINK("http://x")', "'+odd"]]
    assert file.headers["Content-Disposition"] == f'attachment; filename="run-{run.pk}-left-out.csv"'


def test_a_run_that_failed_lists_what_its_process_had_told(client: Client, project: Project, policy: Artifact) -> None:
    run = runs.create_run(project, "dpo", {}, "a policy", model=policy)
    runs.claim(run, "h:1", "h:1")
    runs.finish(run, RunState.FAILED, reason="It broke.")
    folder_of(run).mkdir(parents=True)
    odd = {"id": "o", "why": "two\u2028lines", "split": "train", "template": "", "values": {}}
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in (EMPTY, odd)]
    (folder_of(run) / left_out.FILE).write_text("".join(lines), encoding="utf-8")
    client.force_login(project.memberships.get().user)
    page = client.get(reverse("run", args=[project.slug, run.pk])).content.decode()
    assert "2 examples left out" in page and "two\u2028lines" in page and "All as CSV" in page


def test_prompts_that_could_not_be_asked_are_listed_alike(project: Project, policy: Artifact) -> None:
    run = runs.create_run(project, "sample", {}, "samples", model=policy)
    run.result = {"samples": 2, "finished": 2, "skipped": [{"prompt": 7, "why": "too odd"}]}
    assert list(left_out.named(left_out.left_out_of(run, {}))) == [("7", "too odd")]
    assert "1 of 1 prompts (100 %) could not be put to the model: too odd." in results_of(run).warnings
