"""Pages, API and command of benches: starting, the table, going on, stopping, and who may."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotate.models import Project, Snapshot, User
from annotate.workflow.projects import create_project
from tests.factories import make_user
from tests.training.workflow.products import end
from tests.training.workflow.test_benches import finish, run_of, runs_of, share
from training.models import Artifact, Bench, Run, RunState
from training.recipes.titles import ADAPTERS
from training.workflow.bench_table import COLUMNS, SORTS
from training.workflow.benches import start_bench

pytestmark = pytest.mark.django_db
PAGE = "/p/garden/benches/"
API = "/api/v1/projects/garden/benches/"


@pytest.fixture
def bench(project: Project, snapshot: Snapshot, base: Artifact) -> Bench:
    """Two methods are done, one has failed."""
    made = start_bench(project, "reward", snapshot, base, {"epochs": 2})
    finish(run_of(made, "lora"), share(0.61))
    finish(run_of(made, "ia3"), share(0.83), seconds=100.0)
    end(run_of(made, "prefix"), RunState.FAILED)
    return made


def test_each_role_sees_its_pages_and_no_others(
    client: Client, bench: Bench, ann: User, reviewer: User, lead: User, stranger: User
) -> None:
    seen = [PAGE, f"{PAGE}1/", f"{PAGE}1/bench.csv", API, f"{API}1/"]
    for person, looks, changes in ((ann, 403, 403), (reviewer, 200, 403), (lead, 200, 200), (stranger, 404, 404)):
        client.force_login(person)
        assert {client.get(page).status_code for page in seen} == {looks}
        assert client.get(f"{PAGE}new/").status_code == changes
    client.force_login(reviewer)
    verbs = [f"{PAGE}1/resume/", f"{PAGE}1/cancel/", f"{API}1/resume/", f"{API}1/cancel/", API, f"{PAGE}new/"]
    assert {client.post(verb).status_code for verb in verbs} == {403}
    other = make_user("other")
    create_project(slug="desert", name="Desert", manager=other)
    client.force_login(other)
    assert (
        client.get("/p/desert/benches/1/").status_code == client.post("/p/desert/benches/1/cancel/").status_code == 404
    )


def test_the_calibration_of_policies_stands_in_the_table_where_they_were_measured_for_it(
    as_lead: Client, project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    made = start_bench(project, "dpo", snapshot, base, methods=["lora", "ia3"])
    finish(run_of(made, "lora"), share(0.61), metrics={"accuracy": share(0.61), "margin": share(0.3)})
    assert "?sort=ece" not in as_lead.get(f"{PAGE}1/").content.decode()
    calibration = {"ece": {**share(0.234, 0.05), "n": 77}}
    finish(run_of(made, "ia3"), share(0.7), metrics={"accuracy": share(0.7), "calibration": calibration})
    page = as_lead.get(f"{PAGE}1/").content.decode()
    assert "?sort=ece" in page and "0.234" in page
    # Runs of older versions were measured whatever the loss: an ipo margin is no log-odds.
    Run.objects.filter(bench=made).update(config={"adapter": "ia3", "loss": "ipo"})
    page = as_lead.get(f"{PAGE}1/").content.decode()
    assert "?sort=ece" not in page and "0.234" not in page


def sent(snapshot: Snapshot, base: Artifact, **changed: object) -> dict[str, object]:
    fields = {"snapshot": snapshot.pk, "model": base.pk, "seed": 5, "methods": list(ADAPTERS)}
    shared = {"epochs": 2, "learning_rate": "0.0002", "batch_size": 2, "max_length": 128}
    return {**fields, **shared, **changed}


def test_one_click_starts_every_method(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    form = as_lead.get(f"{PAGE}new/").context["form"]
    as_it_comes = {name: "" if (value := form[name].value()) is None else value for name in form.fields}
    as_it_comes |= {"snapshot": snapshot.pk, "model": base.pk}
    answer = as_lead.post(f"{PAGE}new/", as_it_comes)
    assert answer.status_code == 302, answer.context["form"].errors
    assert answer.url == f"{PAGE}1/" and len(runs_of(Bench.objects.get())) == len(ADAPTERS)


def test_the_chosen_methods_and_settings_are_those_of_the_runs(
    as_lead: Client, snapshot: Snapshot, base: Artifact
) -> None:
    chosen = sent(snapshot, base, methods=["lora", "ia3"], priority="1")
    assert as_lead.post(f"{PAGE}new/?recipe=dpo", chosen).status_code == 302
    found = runs_of(Bench.objects.get())
    assert {run.config["adapter"] for run in found} == {"lora", "ia3"}
    assert {(run.recipe, run.config["epochs"], run.config["max_length"], run.seed, run.priority) for run in found} == {
        ("dpo", 2, 128, 5, 1)
    }


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"methods": ["lora"]}, "methods"), ({"methods": ["x"]}, "methods"), ({"epochs": 0}, "epochs")],
)
def test_a_request_that_cannot_be_met_is_told_at_its_field(
    as_lead: Client, snapshot: Snapshot, base: Artifact, changed: dict, field: str
) -> None:
    answer = as_lead.post(f"{PAGE}new/", sent(snapshot, base, **changed))
    assert answer.status_code == 200 and answer.context["form"].errors[field]
    assert not Bench.objects.exists()


def test_what_is_missing_is_named_with_the_way_to_it(as_lead: Client, project: Project) -> None:
    assert "There is no snapshot yet" in as_lead.get(f"{PAGE}new/").content.decode()
    assert "No bench yet" in as_lead.get(PAGE).content.decode()
    assert as_lead.get(f"{PAGE}new/?recipe=ppo").status_code == 404


def test_the_table_shows_quality_cost_and_what_cannot_be_told_apart(as_lead: Client, bench: Bench) -> None:
    html = as_lead.get(f"{PAGE}1/").content.decode()
    assert "83 %" in html and "× 1.20".replace(" ", "\xa0") in html and "12 ms" in html and "5.0 KB" in html
    assert "better than all others" in html and 'title="It cannot be merged."' in html
    assert 'data-weights-bytes="0.005"' in html and 'data-y="0.83"' in html and "js/bench" in html
    assert "Failed" in html and "Run again what is missing" in html and "Cancel the bench" in html


@pytest.mark.parametrize("sort", SORTS)
def test_a_click_on_a_head_orders_the_table(as_lead: Client, bench: Bench, sort: str) -> None:
    answer = as_lead.get(f"{PAGE}1/", {"sort": sort})
    assert answer.content.decode().count("aria-sort=") == 1
    expected = "ia3" if sort == "accuracy" else "lora"
    assert answer.context["cells"][0].method == expected


def test_the_page_looks_for_news_and_loads_itself_anew(as_lead: Client, bench: Bench) -> None:
    htmx = {"HX-Request": "true"}
    quiet = as_lead.get(f"{PAGE}1/", {"seen": "waiting3"}, headers=htmx)
    assert quiet.content.decode().strip().startswith('<section id="cells"') and "<html" not in quiet.content.decode()
    assert as_lead.get(f"{PAGE}1/", {"seen": "waiting2"}, headers=htmx).headers["HX-Refresh"] == "true"


def test_the_buttons_stop_it_and_go_on_with_it(as_lead: Client, bench: Bench) -> None:
    page = as_lead.post(f"{PAGE}1/cancel/", follow=True).content.decode()
    assert "Incomplete" in page and "Cancel the bench" not in page
    page = as_lead.post(f"{PAGE}1/resume/", follow=True).content.decode()
    assert "Waiting" in page and run_of(bench, "lora").state == "succeeded"
    assert {run.state for run in runs_of(bench)} == {"succeeded", "queued"}
    assert "Nothing needs to be done" in as_lead.post(f"{PAGE}1/resume/", follow=True).content.decode()


def test_page_file_api_and_command_say_the_same(as_lead: Client, bench: Bench) -> None:
    told = as_lead.get(f"{API}1/").json()
    assert told["state"] == "waiting" and len(told["rows"]) == len(ADAPTERS)
    out = io.StringIO()
    call_command("peft_bench", "garden", "--show", "1", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert said["rows"] == told["rows"] and said["told"] == told["told"]
    rows = list(csv.DictReader(io.StringIO(as_lead.get(f"{PAGE}1/bench.csv").content.decode())))
    assert tuple(rows[0]) == COLUMNS
    known = {row["method"]: row["accuracy"] for row in rows}
    assert float(known["ia3"]) == 0.83 and known["prefix"] == ""


def test_the_command_starts_goes_on_and_names_what_is_not_there(
    project: Project, snapshot: Snapshot, base: Artifact
) -> None:
    out = io.StringIO()
    given = ["--methods", "lora, ia3", "--set", "epochs=3", "--set", "ia3.learning_rate=0.01"]
    call_command("peft_bench", "garden", *given, stdout=out)
    bench = Bench.objects.get()
    assert "Bench 1: waiting" in out.getvalue() and run_of(bench, "ia3").config["learning_rate"] == 0.01
    assert {run.config["epochs"] for run in runs_of(bench)} == {3}
    end(run_of(bench, "lora"), RunState.FAILED)
    call_command("peft_bench", "garden", "--resume", "1", stdout=out)
    assert run_of(bench, "lora").state == "queued"
    finish(run_of(bench, "lora"), share(0.6))
    call_command("peft_bench", "garden", "--show", "1", stdout=out)
    assert "lora: accuracy 0.600 [0.500, 0.700], n = 40; 100 trained; 12.5 s; unmerged × 1.20" in out.getvalue()
    for wrong, words in ((["--show", "7"], "no bench 7"), (["--methods", "x"], "no adapter method")):
        with pytest.raises(CommandError, match=words):
            call_command("peft_bench", "garden", *wrong)


def test_the_api_starts_a_bench_and_refuses_what_is_wrong(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    asked = {"snapshot": 1, "model": base.pk, "methods": ["lora", "full"], "overrides": {"full": {"epochs": 2}}}
    made = as_lead.post(API, asked, content_type="application/json")
    assert made.status_code == 201, made.json()
    assert {row["method"]: row["state"] for row in made.json()["rows"]} == {"lora": "queued", "full": "queued"}
    wrong = as_lead.post(API, {**asked, "config": {"epochs": 0}}, content_type="application/json")
    assert wrong.status_code == 400 and wrong.json()["field"] == "reward.epochs"
    assert as_lead.post(f"{API}1/resume/").status_code == 409
    assert as_lead.post(f"{API}1/cancel/").json()["state"] == "incomplete"
    assert as_lead.get(API).json()["count"] == 1


def test_a_table_costs_a_bounded_number_of_queries(as_lead: Client, bench: Bench) -> None:
    for page in (PAGE, f"{PAGE}1/", API, f"{API}1/"):
        with CaptureQueriesContext(connection) as captured:
            as_lead.get(page)
        assert len(captured) < 20, page
        assert sum(' FROM "training_artifact"' in query["sql"] for query in captured.captured_queries) <= 1, page


def test_the_answer_to_a_start_asks_for_all_runs_at_once(as_lead: Client, snapshot: Snapshot, base: Artifact) -> None:
    def questions(methods: list[str]) -> int:
        asked = {"snapshot": 1, "model": base.pk, "methods": methods}
        with CaptureQueriesContext(connection) as captured:
            assert len(as_lead.post(API, asked, content_type="application/json").json()["rows"]) == len(methods)
        asking = [query["sql"] for query in captured.captured_queries if query["sql"].startswith("SELECT")]
        return sum('"training_artifact"."run_id" ' in sql.partition("WHERE")[2] for sql in asking)

    assert questions(["lora", "full"]) == questions(["lora", "full", "ia3", "bias"]) <= 1
