"""What a run has written, over the API: numbers piece by piece, the end of the log, texts, and what was left out."""

import json
from typing import Any

import pytest
from django.test import Client

from annotate.models import Project, Snapshot, User
from annotate.workflow.intake import open_batch
from tests.factories import make_prompts, make_responses
from tests.training.workflow.products import finished
from training.models import Artifact, Run, Sample
from training.workflow import run_lines, runs
from training.workflow.folders import folder_of, log_of, progress_of

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/projects/garden/runs/"
ASKED = [{"role": "user", "content": "How?"}]


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def run(project: Project, policy: Artifact, snapshot: Snapshot) -> Run:
    found = runs.create_run(project, "dpo", {}, "Learner", model=policy, snapshot=snapshot)
    assert runs.claim(found, "host:cpu", "host:1")
    folder_of(found).mkdir(parents=True)
    return found


def write(run: Run, *rows: dict[str, Any]) -> None:
    with progress_of(run).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def step(number: int) -> dict[str, Any]:
    return {"kind": "step", "stage": "training", "step": number, "metrics": {"loss": 1 / number}}


def get(client: Client, run: Run, name: str, **query: object) -> dict[str, Any]:
    answer = client.get(f"{RUNS}{run.pk}/{name}/", query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_numbers_come_piece_by_piece(as_lead: Client, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lines, "LARGEST_PIECE", 500)
    evaluation = {"kind": "eval", "stage": "evaluating", "metrics": {"accuracy": {"value": 0.5}}}
    write(run, {"kind": "status", "stage": "loading"}, *map(step, range(1, 20)), evaluation)
    told: dict[str, Any] = {"after": 0, "file": "", "more": True}
    found: list[dict[str, Any]] = []
    while told["more"]:
        told = get(as_lead, run, "progress", after=told["after"], file=told["file"])
        found += told["rows"]
    assert [row.get("step") for row in found] == [*range(1, 20), None]
    assert found[0]["metrics"] == {"loss": 1.0}
    assert (told["state"], told["over"], told["restarted"]) == ("running", False, False)
    write(run, step(20))
    assert [row["step"] for row in get(as_lead, run, "progress", after=told["after"])["rows"]] == [20]


def test_a_resumed_run_that_begins_another_file_says_so(as_lead: Client, run: Run) -> None:
    write(run, step(1), step(2))
    before = get(as_lead, run, "progress")
    progress_of(run).rename(progress_of(run).with_name("old"))
    write(run, step(1))
    after = get(as_lead, run, "progress", after=before["after"], file=before["file"])
    assert after["restarted"] and len(after["rows"]) == 1


@pytest.mark.parametrize("query", [{"after": "-1"}, {"after": "x"}, {"after": "9" * 40}])
def test_an_offset_that_is_none_is_refused_by_name(as_lead: Client, run: Run, query: dict[str, str]) -> None:
    answer = as_lead.get(f"{RUNS}{run.pk}/progress/", query)
    assert (answer.status_code, answer.json()["field"]) == (400, "after")


def test_the_end_of_the_log_begins_with_a_line(as_lead: Client, run: Run) -> None:
    address = f"{RUNS}{run.pk}/log/"
    assert as_lead.get(address).content == b""
    log_of(run).write_text("".join(f"line {number}\n" for number in range(100)))
    assert as_lead.get(address).content.count(b"\n") == 100
    short = as_lead.get(address, {"bytes": 20})
    assert short.content == b"line 98\nline 99\n" and short["Content-Type"].startswith("text/plain")
    assert as_lead.get(address, {"bytes": 2**21}).json()["field"] == "bytes"


def test_the_log_of_a_run_without_its_files_is_what_was_kept(as_lead: Client, run: Run) -> None:
    runs.finish(run, "failed", log_tail="Traceback")
    assert as_lead.get(f"{RUNS}{run.pk}/log/").content == b"Traceback"


def test_texts_of_a_policy_stand_in_the_order_in_which_they_were_written(
    as_lead: Client, project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    pair = {"prompt": ASKED, "old": "Because.", "new": "So."}
    run = finished(project, policy, "dpo", snapshot=snapshot, metrics={"samples": [pair]}).run
    assert run is not None
    write(run, {"kind": "samples", "step": 5, "samples": [{"prompt": ASKED, "text": "Thus.", "reward": 0.5}]}, step(6))
    told = get(as_lead, run, "samples")
    assert told["count"] == 2
    named = [(row["step"], row["text"], row["before"], row["reward"]) for row in told["results"]]
    assert named == [(5, "Thus.", None, 0.5), (None, "So.", "Because.", None)]
    assert get(as_lead, run, "samples", limit=1, offset=1)["results"][0]["prompt"] == ASKED


def test_responses_of_a_sampling_run_do_not_say_who_wrote_them(
    as_lead: Client, project: Project, policy: Artifact
) -> None:
    other = Artifact.objects.create(project=project, name="other", location="o/p")
    run = Run.objects.create(project=project, recipe="sample", name="s", batch=open_batch(project=project, name="b"))
    [prompt] = make_prompts(project, 1)
    for key, text, model in (("0", "b", policy), ("1", "a", other)):
        [response] = make_responses([(prompt, text)], key=key)
        Sample.objects.create(response=response, run=run, artifact=model, tokens=1, finished=True, score=1.0)
    told = get(as_lead, run, "samples")
    assert [row["text"] for row in told["results"]] == ["a", "b"]
    assert {name for row in told["results"] for name, value in row.items() if value is not None} == {
        "prompt",
        "text",
        "finished",
    }


def test_what_was_left_out_is_told_page_by_page_in_the_readers_language(as_lead: Client, run: Run) -> None:
    rows = [
        {"id": f"p{n}", "split": "train", "why": "the prompt is empty", "template": "the prompt is empty"}
        for n in range(5)
    ]
    (folder_of(run) / "left_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = get(as_lead, run, "left-out", limit=2)
    assert (told["count"], [row["id"] for row in told["results"]]) == (5, ["p0", "p1"])
    chinese = as_lead.get(f"{RUNS}{run.pk}/left-out/", headers={"Accept-Language": "zh-hans"}).json()["results"]
    assert chinese[0]["why"] not in ("", "the prompt is empty")


@pytest.mark.parametrize("name", ["progress", "log", "samples", "left-out"])
def test_an_annotator_and_a_stranger_learn_nothing(
    client: Client, run: Run, ann: User, stranger: User, name: str
) -> None:
    for person, status in ((ann, 403), (stranger, 404)):
        client.force_login(person)
        assert client.get(f"{RUNS}{run.pk}/{name}/").status_code == status
