"""The numbers of a run as files, and what its page says beside them."""

import csv
import io
import json

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import User
from tests.training.views.conftest import begin, complete, step, write_progress
from training.models import Round, Run
from training.workflow.folders import folder_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(round: Round) -> Run:
    return begin(round.runs.get(stage=0))


def curves(client: Client, run: Run, kind: str) -> bytes:
    answer = client.get(reverse("run_curves", args=["garden", run.pk, kind]))
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="run-{run.pk}.{kind}"'
    return answer.getvalue()


def test_csv_has_a_column_for_every_figure_that_any_line_has(as_lead: Client, run: Run) -> None:
    evaluation = {"time": 2.0, "kind": "eval", "stage": "evaluating", "step": 2, "metrics": {"accuracy": 0.75}}
    write_progress(run, [{"kind": "status", "stage": "loading"}, step(1, loss=0.5), step(2, loss=0.25), evaluation])
    rows = list(csv.DictReader(io.StringIO(curves(as_lead, run, "csv").decode())))
    assert [(row["kind"], row["step"], row["loss"], row["accuracy"]) for row in rows] == [
        ("step", "1", "0.5", ""),
        ("step", "2", "0.25", ""),
        ("eval", "2", "", "0.75"),
    ]
    told = json.loads(curves(as_lead, run, "json"))
    assert told["run"] == run.pk and [row["step"] for row in told["rows"]] == [1, 2, 2]


def test_a_run_without_numbers_gives_an_empty_file(as_lead: Client, run: Run) -> None:
    assert curves(as_lead, run, "csv").strip() == b""
    assert json.loads(curves(as_lead, run, "json"))["rows"] == []


def test_there_is_no_other_kind_and_nothing_for_a_stranger(
    client: Client, as_lead: Client, run: Run, ann: User, stranger: User
) -> None:
    assert as_lead.get(reverse("run_curves", args=["garden", run.pk, "xlsx"])).status_code == 404
    for person, status in ((ann, 403), (stranger, 404)):
        client.force_login(person)
        assert client.get(reverse("run_curves", args=["garden", run.pk, "csv"])).status_code == status


def test_another_runs_curves_are_drawn_beside_by_choice(as_lead: Client, round: Round) -> None:
    complete(round.runs.get(stage=0), {})
    one, two = round.runs.get(stage=0), begin(round.runs.get(stage=1))
    url = reverse("run", args=["garden", two.pk])
    assert f'data-line="{one.pk}"' not in as_lead.get(url).content.decode()
    page = as_lead.get(url, {"with": one.pk}).content.decode()
    assert f'data-line="{one.pk}"' in page and f'data-line="{two.pk}"' in page
    assert f'<option value="{one.pk}" selected>' in page
    assert as_lead.get(url, {"with": "x"}).status_code == as_lead.get(url, {"with": "99999"}).status_code == 200


def test_memory_and_speed_stand_beside_the_progress(as_lead: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(
        progress={**step(3), "memory_bytes": 3 * 2**29, "gpu_memory_bytes": 2**31}, started_at=run.created_at
    )
    write_progress(run, [{**step(1, loss=1.0), "memory_bytes": 2**30}])
    page = as_lead.get(reverse("run", args=["garden", run.pk])).content.decode()
    assert "1.5 GiB" in page and "GPU 2 GiB" in page and "100 tokens/s" in page
    assert 'data-metric="memory_bytes"' in page


def test_a_notice_of_the_training_process_is_told_once(as_lead: Client, run: Run) -> None:
    template = "%(tracker)s does not take the numbers of this run: %(error)s. The run goes on."
    row = {"text": "MLflow …", "template": template, "values": {"tracker": "MLflow", "error": "<b>away</b>"}}
    folder_of(run).mkdir(parents=True, exist_ok=True)
    (folder_of(run) / "notices.jsonl").write_text((json.dumps(row) + "\n") * 2 + "\0\n[1]\n{}\n")
    page = as_lead.get(reverse("run", args=["garden", run.pk])).content.decode()
    assert page.count("MLflow does not take the numbers of this run: &lt;b&gt;away&lt;/b&gt;.") == 1


def test_what_is_no_number_leaves_a_gap_that_a_browser_can_read(as_lead: Client, run: Run) -> None:
    nothing = float("nan")
    write_progress(run, [step(1, loss=0.5), step(2, loss=nothing, margin=float("-inf")), step(3, loss=0.25)])

    def refuse(name: str) -> None:
        raise AssertionError(name)

    answer = as_lead.get(reverse("run_progress", args=["garden", run.pk])).content
    rows = json.loads(answer, parse_constant=refuse)["rows"]
    assert [row["metrics"]["loss"] for row in rows] == [0.5, None, 0.25]
    assert rows[1]["metrics"]["margin"] is None
    assert json.loads(curves(as_lead, run, "json"), parse_constant=refuse)["rows"][1]["loss"] is None
    assert "nan" not in curves(as_lead, run, "csv").decode()
