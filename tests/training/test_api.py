"""The right wing over HTTP: rounds and runs of every recipe, and what is refused with field and reason."""

from typing import Any

import pytest
from django.test import Client

from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.feedback import import_feedback
from training.models import Artifact, Round, Run, RunState
from training.workflow import runs
from training.workflow.starting import POLICIES, REWARDED, TRAINED

pytestmark = pytest.mark.django_db
ROUNDS, RUNS = "/api/v1/projects/garden/rounds/", "/api/v1/projects/garden/runs/"


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def demonstrations(project: Project) -> DemonstrationSet:
    lines = [f'{{"prompt": "How {n}?", "response": "So."}}\n' for n in range(8)]
    return import_demonstrations(project=project, name="manners", lines=lines)[0]


@pytest.fixture
def feedback(project: Project) -> FeedbackSet:
    lines = [f'{{"prompt": "How {n}?", "completion": "So.", "label": true}}\n' for n in range(8)]
    return import_feedback(project=project, name="thumbs", lines=lines)[0]


@pytest.fixture
def scorer(project: Project, policy: Artifact) -> Artifact:
    return Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer", parent=policy)


def post(client: Client, url: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(url, body, content_type="application/json")
    return answer.status_code, answer.json()


@pytest.mark.parametrize("method", POLICIES)
def test_a_round_by_any_method(as_lead: Client, snapshot: Snapshot, policy: Artifact, method: str) -> None:
    asked = {"policy": method, "configs": {method: {"adapter": "prefix"}, "reward": {"epochs": 2}}}
    status, told = post(as_lead, ROUNDS, snapshot=1, base_policy=policy.pk, prompts=3, **asked)
    assert status == 201, told
    assert [(run["recipe"], run["state"]) for run in told["runs"]] == [
        ("reward", "queued"),
        (method, "waiting"),
        ("sample", "waiting"),
    ]
    assert told["runs"][1]["config"]["adapter"] == "prefix"


def test_a_learning_rate_that_is_not_given_is_answered_as_the_number_of_its_adapter(
    as_lead: Client, snapshot: Snapshot, policy: Artifact
) -> None:
    asked = {"configs": {"reward": {"adapter": "full", "learning_rate": None}, "dpo": {"adapter": "p_tuning_v2"}}}
    status, told = post(as_lead, ROUNDS, snapshot=1, base_policy=policy.pk, prompts=3, **asked)
    assert status == 201, told
    assert [run["config"].get("learning_rate") for run in told["runs"]] == [2e-5, 2.5e-3, None]


def test_a_round_after_demonstrations(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, demonstrations: DemonstrationSet
) -> None:
    asked = {"snapshot": 1, "base_policy": policy.pk, "demonstrations": demonstrations.pk}
    status, told = post(as_lead, ROUNDS, **asked)
    assert status == 201, told
    assert [run["recipe"] for run in told["runs"]] == ["sft", "reward", "dpo", "sample"]
    assert told["runs"][0]["demonstrations"] == "manners"


@pytest.mark.parametrize("recipe", TRAINED)
def test_a_run_of_any_recipe(
    as_lead: Client,
    snapshot: Snapshot,
    policy: Artifact,
    scorer: Artifact,
    demonstrations: DemonstrationSet,
    recipe: str,
) -> None:
    data = {"demonstrations": demonstrations.pk} if recipe == "sft" else {"snapshot": snapshot.number}
    judge = {"reward_model": scorer.pk} if recipe in REWARDED else {}
    asked = {"recipe": recipe, "model": policy.pk, "config": {"epochs": 1}, "name": "mine", **data, **judge}
    status, told = post(as_lead, RUNS, **asked)
    assert status == 201, told
    assert (told["recipe"], told["name"], told["state"], told["model"]) == (recipe, "mine", "queued", "fixture")
    assert told["reward_model"] == ("scorer" if judge else None)


def test_kto_starts_on_single_votes(as_lead: Client, policy: Artifact, feedback: FeedbackSet) -> None:
    status, told = post(as_lead, RUNS, recipe="kto", model=policy.pk, feedback=feedback.pk)
    assert (status, told["feedback"], told["snapshot"]) == (201, "thumbs", None), told
    status, told = post(as_lead, RUNS, **{"from": told["id"]})
    assert (status, told["feedback"]) == (201, "thumbs")
    assert [run["feedback"] for run in as_lead.get(RUNS).json()["results"]] == ["thumbs", "thumbs"]


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"recipe": "dpo", "config": {"beta": -1}}, "dpo.beta", "between"),
        ({"recipe": "dpo", "config": {"betta": 1}}, "dpo.betta", "no such setting"),
        ({"recipe": "grpo", "config": {"generations": 5}, "reward_model": "scorer"}, "grpo.generations", "multiple"),
        ({"recipe": "ppo"}, "reward_model", "needs a reward model"),
        ({"recipe": "ppo", "reward_model": "policy"}, "reward_model", "scores none"),
        ({"recipe": "dpo", "model": "scorer"}, "model", "writes none"),
        ({"recipe": "dpo", "reward_model": "scorer"}, "reward_model", "uses no reward model"),
        ({"recipe": "dpo", "snapshot": None}, "snapshot", "needs a snapshot"),
        ({"recipe": "sft", "snapshot": None}, "demonstrations", "needs a set of demonstrations"),
        ({"recipe": "sft"}, "snapshot", "not from a snapshot"),
    ],
)
def test_what_is_refused_names_field_and_reason(
    as_lead: Client,
    snapshot: Snapshot,
    policy: Artifact,
    scorer: Artifact,
    asked: dict[str, Any],
    field: str,
    words: str,
) -> None:
    rows = {"policy": policy.pk, "scorer": scorer.pk}
    body = {"model": policy.pk, "snapshot": 1, **asked}
    body |= {name: rows[body[name]] for name in ("model", "reward_model") if body.get(name) in rows}
    status, told = post(as_lead, RUNS, **body)
    assert status == 400
    assert told["field"] == field and words in told["detail"], told
    assert not Run.objects.exists()


def test_an_adapter_that_nothing_can_be_trained_on_is_refused_with_its_field(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, demonstrations: DemonstrationSet
) -> None:
    asked = {"demonstrations": demonstrations.pk, "configs": {"sft": {"adapter": "prompt_tuning"}}}
    status, told = post(as_lead, ROUNDS, snapshot=1, base_policy=policy.pk, **asked)
    assert (status, told["code"], told["field"]) == (400, "BadConfig", "sft.adapter")
    assert not Round.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"recipe": "sample"}, {"recipe": "x"}, {"recipe": None}, {"config": [1]}, {"seed": -1}, {"model": "x"}]
)
def test_a_body_that_is_no_run_is_refused(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, wrong: dict[str, Any]
) -> None:
    status, told = post(as_lead, RUNS, **{"recipe": "dpo", "model": policy.pk, "snapshot": 1, **wrong})
    assert status == 400 and {one["field"] for one in told["errors"]} == set(wrong)


@pytest.mark.parametrize("wrong", ["model", "reward_model", "snapshot", "demonstrations", "feedback"])
def test_what_is_not_there_is_not_found(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, scorer: Artifact, wrong: str
) -> None:
    asked = {"recipe": "ppo", "model": policy.pk, "snapshot": 1, "reward_model": scorer.pk}
    assert post(as_lead, RUNS, **{**asked, wrong: 10**9})[0] == 404
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("name", "known"), [("state", "waiting, queued"), ("recipe", "sample, sft"), ("sort", "newest")]
)
def test_what_runs_cannot_be_found_by_is_answered_with_what_they_can(
    as_lead: Client, project: Project, name: str, known: str
) -> None:
    told = as_lead.get(RUNS, {name: "nope"})
    assert (told.status_code, told.json()["field"]) == (400, name)
    assert f"Choose one of: {known}" in told.json()["detail"] and "nope" in told.json()["detail"]


def test_a_failed_run_tells_code_reason_and_hint(as_lead: Client, project: Project) -> None:
    run = runs.create_run(project, "sample", {}, "one")
    runs.claim(run, "here:gpu0", "w:1")
    failure = {"code": "disk_full", "template": "%(path)s is full.", "hint_template": "", "values": {"path": "/d"}}
    runs.finish(run, RunState.FAILED, "/d is full.", "Make room.", failure)
    told = as_lead.get(f"{RUNS}{run.pk}/").json()
    assert (told["code"], told["reason"], told["hint"]) == ("disk_full", "/d is full.", "Make room.")


def test_only_a_manager_starts_something(
    client: Client, snapshot: Snapshot, policy: Artifact, reviewer: User, stranger: User
) -> None:
    for person, status in ((reviewer, 403), (stranger, 404)):
        client.force_login(person)
        assert post(client, RUNS, recipe="dpo", model=policy.pk, snapshot=1)[0] == status
        assert post(client, ROUNDS, snapshot=1, base_policy=policy.pk)[0] == status


def test_the_list_of_rounds_asks_no_more_for_many_than_for_one(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, django_assert_max_num_queries: Any
) -> None:
    for _number in range(4):
        post(as_lead, ROUNDS, snapshot=1, base_policy=policy.pk, prompts=2)
    with django_assert_max_num_queries(14):
        told = as_lead.get(ROUNDS).json()
    assert len(told["results"]) == 4


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=abc", "limit=99999999999999999999", "offset=-1"])
def test_what_is_no_number_of_rows_is_refused_by_name(as_lead: Client, project: Project, query: str) -> None:
    answer = as_lead.get(f"{RUNS}?{query}")
    assert answer.status_code == 400 and answer.json()["field"] == query.partition("=")[0]


def test_a_list_is_paged(as_lead: Client, project: Project) -> None:
    for number in range(3):
        runs.create_run(project, "sample", {}, f"samples {number}")
    found = as_lead.get(f"{RUNS}?limit=2&offset=1").json()
    assert (found["count"], len(found["results"])) == (3, 2) and found["previous"]


@pytest.mark.parametrize(
    ("body", "said"),
    [("[" * 100_000, "nested too deeply"), ('{"recipe": "\\ud800"}', "half a character"), ("{", "JSON parse error")],
)
def test_json_that_nobody_can_use_is_refused(as_lead: Client, project: Project, body: str, said: str) -> None:
    answer = as_lead.post(RUNS, body, content_type="application/json")
    assert answer.status_code == 400 and said in answer.json()["detail"]


def test_a_field_that_is_spelled_wrongly_starts_nothing(as_lead: Client, snapshot: Snapshot, policy: Artifact) -> None:
    status, told = post(as_lead, RUNS, recipe="dpo", model=policy.pk, snapshot=1, confg={"epochs": 5})
    assert status == 400 and told["field"] == "confg" and "config" in told["detail"]
    assert not Run.objects.exists()


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63, 10**30])
def test_a_seed_that_no_generator_takes_is_refused(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, seed: int
) -> None:
    for url, asked in ((RUNS, {"recipe": "dpo", "model": policy.pk}), (ROUNDS, {"base_policy": policy.pk})):
        status, told = post(as_lead, url, **asked, snapshot=1, seed=seed)
        assert status == 400 and told["field"] == "seed"


def test_every_field_at_fault_is_listed_and_the_first_one_named(as_lead: Client, project: Project) -> None:
    status, told = post(as_lead, RUNS, recipe="dpo", model="x", seed=-1, device="moon")
    assert status == 400 and told["total"] == 3
    assert [one["field"] for one in told["errors"]] == ["model", "seed", "device"]
    assert (told["code"], told["field"], told["detail"]) == ("invalid", "model", told["errors"][0]["message"])
    status, told = post(as_lead, "/api/v1/projects/garden/playground/", models=[1, "x"])
    assert status == 400 and told["field"] == "models.1"


@pytest.mark.parametrize(
    ("address", "asked", "field"),
    [
        ("runs", {"recipe": "dpo", "model": 404}, "model"),
        ("runs", {"from": 404}, "from"),
        ("rounds", {"snapshot": 404, "base_policy": 1}, "snapshot"),
        ("benches", {"recipe": "dpo", "snapshot": 404, "model": 1}, "snapshot"),
        ("playground", {"models": [404]}, "models"),
        ("adjudications", {"comparison": 404, "verdict": "a"}, "comparison"),
    ],
)
def test_a_number_that_the_project_does_not_have_is_named(
    as_lead: Client, project: Project, address: str, asked: dict[str, Any], field: str
) -> None:
    status, told = post(as_lead, f"/api/v1/projects/garden/{address}/", **asked)
    assert (status, told["code"], told["field"]) == (404, "NoSuchRow", field) and "404" in told["detail"]


def test_errors_of_every_kind_have_one_form(as_lead: Client, project: Project, reviewer: User) -> None:
    as_reviewer = Client()
    as_reviewer.force_login(reviewer)
    answers = [
        Client().get(RUNS),
        as_reviewer.post(RUNS, {}, content_type="application/json"),
        as_reviewer.get(f"{RUNS}404/"),
        as_reviewer.delete(RUNS),
        as_reviewer.get(f"{RUNS}?round=x"),
        as_lead.post(RUNS, "{", content_type="application/json"),
        as_lead.post(RUNS, "a", content_type="text/plain"),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 404, 405, 400, 400, 415]
    assert all({"code", "detail", "hint"} <= set(answer.json()) for answer in answers)
    gone = answers[2].json()
    assert gone["code"] == "not_found" and gone["hint"] and "matches" not in gone["detail"]


def test_a_playground_of_an_impossible_number_is_not_there(as_lead: Client, project: Project) -> None:
    assert as_lead.get(f"/api/v1/projects/garden/playground/{2**63}/").status_code == 404
