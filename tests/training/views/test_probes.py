"""Pages, API and commands of probes and of the alignment tax; who may see and change them."""

import csv
import io
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from annotate.models import Project, User
from annotate.workflow.projects import create_project
from tests.factories import make_user
from tests.training.views.conftest import complete, figure
from tests.training.workflow.test_probes import GOOD, lines, tax
from training.models import ProbeSet, Round, Run
from training.templatetags.tax_pages import change_interval
from training.workflow.figures import Figure
from training.workflow.probes import import_probes

pytestmark = pytest.mark.django_db
PAGE = "/p/garden/probes/"
API = "/api/v1/projects/garden/"


def file(*rows: Any) -> SimpleUploadedFile:
    return SimpleUploadedFile("bees.jsonl", "\n".join(lines(*rows)).encode())


@pytest.fixture
def bees(project: Project) -> ProbeSet:
    return import_probes(project=project, name="Bees", lines=lines(GOOD))[0]


@pytest.fixture
def policy(round: Round) -> Run:
    """The second stage of a round, done and probed."""
    reward, policy = round.runs.order_by("stage")[:2]
    complete(reward, {"accuracy": figure(0.7)})
    policy.refresh_from_db()
    policy.state = "waiting"
    policy.save()
    complete(policy, {"margin": figure(0.4), "tax": tax()})
    return policy


def test_each_role_sees_its_pages_and_no_others(
    client: Client, bees: ProbeSet, ann: User, reviewer: User, lead: User, stranger: User
) -> None:
    seen = [PAGE, f"{PAGE}shipped/", f"{PAGE}{bees.pk}/", f"{API}probes/", f"{API}probes/{bees.pk}/"]
    changed = [f"{PAGE}upload/"]
    for person, looks, changes in ((ann, 403, 403), (reviewer, 200, 403), (lead, 200, 200), (stranger, 404, 404)):
        client.force_login(person)
        assert {client.get(page).status_code for page in seen} == {looks}
        assert {client.get(page).status_code for page in changed} == {changes}
    client.force_login(reviewer)
    assert client.post(f"{PAGE}{bees.pk}/delete/").status_code == 403
    assert client.delete(f"{API}probes/{bees.pk}/").status_code == 403 and ProbeSet.objects.exists()
    other = make_user("other")
    create_project(slug="desert", name="Desert", manager=other)
    client.force_login(other)
    assert client.get(f"/p/desert/probes/{bees.pk}/").status_code == 404
    assert client.post(f"/p/desert/probes/{bees.pk}/delete/").status_code == 404


def test_a_set_is_uploaded_shown_and_deleted(as_lead: Client, project: Project) -> None:
    answer = as_lead.post(f"{PAGE}upload/", {"name": "Bees", "file": file(GOOD)}, follow=True)
    html = answer.content.decode()
    assert "What do bees collect?" in html and "✓ Nectar" in html and "is stored" in html
    assert "Bees" in as_lead.get(PAGE).content.decode()
    stored = project.probe_sets.get()
    assert "is deleted" in as_lead.post(f"{PAGE}{stored.pk}/delete/", follow=True).content.decode()
    assert not project.probe_sets.exists()


def test_every_line_at_fault_is_listed_and_a_bad_name_stands_at_its_field(as_lead: Client, project: Project) -> None:
    answer = as_lead.post(f"{PAGE}upload/", {"name": "Bees", "file": file(GOOD, {**GOOD, "answer": 7}, "{")})
    assert answer.status_code == 400
    html = answer.content.decode()
    assert [(error.line, error.field) for error in answer.context["rejected"].errors] == [(2, "answer"), (3, "")]
    assert "a whole number from 0 to 1" in html and "not JSON" in html and "2 problems" in html
    answer = as_lead.post(f"{PAGE}upload/", {"name": "Plumbline", "file": file(GOOD)})
    assert "needs a name" in str(answer.context["form"].errors["name"])
    assert not project.probe_sets.exists()


def test_questions_are_text(as_lead: Client, project: Project) -> None:
    bad = '<script>alert("x")</script>'
    row = {"question": bad, "choices": [bad, "b"], "answer": 0, "tag": bad}
    stored, _created = import_probes(project=project, name=bad, lines=lines(row))
    for page in (PAGE, f"{PAGE}{stored.pk}/"):
        assert bad not in as_lead.get(page).content.decode()


@pytest.mark.parametrize("page", ["/p/garden/rounds/1/", "/p/garden/runs/{run}/"])
def test_round_and_run_show_the_change_with_its_interval(as_lead: Client, policy: Run, page: str) -> None:
    html = as_lead.get(page.format(run=policy.pk)).content.decode()
    assert "Alignment tax" in html and "−10.0 points" in html and "−20.0 to −2.0" in html
    assert "× 1.200".replace(" ", "\xa0") in html and "no change shown" in html and "worse" in html
    assert "2 do not fit into the model and are left out" in html
    assert f"/p/garden/runs/{policy.pk}/alignment-tax.csv" in html


def test_page_file_api_and_command_say_the_same(as_lead: Client, policy: Run) -> None:
    told = as_lead.get(f"{API}runs/{policy.pk}/alignment-tax/").json()
    assert {(row["set"], row["left_out"]) for row in told["rows"]} >= {("Mine", 2)}
    assert len(told["rows"]) == 5 and told == as_lead.get(f"{API}rounds/1/alignment-tax/").json()
    for arguments in (["--run", str(policy.pk)], ["--round", "1"], []):
        out = io.StringIO()
        call_command("alignment_tax", "garden", "--json", *arguments, stdout=out)
        assert json.loads(out.getvalue()) == told
    for address in (f"runs/{policy.pk}", "rounds/1"):
        text = as_lead.get(f"/p/garden/{address}/alignment-tax.csv").content.decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [float(row["change"]) for row in rows] == [row["change"] for row in told["rows"]]


def test_the_command_speaks_to_people_and_names_what_is_not_there(policy: Run) -> None:
    out = io.StringIO()
    call_command("alignment_tax", "garden", stdout=out)
    assert "0.500 → 0.500, change -0.100 [-0.200, -0.020], n = 80: worse" in out.getvalue()
    assert "× 1.200" in out.getvalue()
    assert f"run {policy.pk} Mine: 2 left out, not fitting into the model" in out.getvalue()
    with pytest.raises(CommandError, match="no round 7"):
        call_command("alignment_tax", "garden", "--round", "7")
    reward = policy.round.runs.get(recipe="reward")
    with pytest.raises(CommandError, match="Nothing has been probed there"):
        call_command("alignment_tax", "garden", "--run", str(reward.pk))


def test_an_annotator_sees_nothing_of_it(client: Client, policy: Run, ann: User) -> None:
    client.force_login(ann)
    pages = [f"/p/garden/runs/{policy.pk}/alignment-tax.csv", "/p/garden/rounds/1/alignment-tax.csv"]
    pages += [f"{API}runs/{policy.pk}/alignment-tax/", f"{API}rounds/1/alignment-tax/"]
    assert {client.get(page).status_code for page in pages} == {403}


def test_the_api_stores_lists_and_deletes_a_set(as_lead: Client, project: Project) -> None:
    sent = {"name": "Bees", "content": "\n".join(lines(GOOD))}
    made = as_lead.post(f"{API}probes/", sent, content_type="application/json")
    assert made.status_code == 201 and made.json()["size"] == 1
    assert as_lead.post(f"{API}probes/", sent, content_type="application/json").status_code == 200
    wrong = as_lead.post(f"{API}probes/", {**sent, "content": "{"}, content_type="application/json")
    assert wrong.status_code == 400 and wrong.json()["errors"][0]["line"] == 1
    one = f"{API}probes/{made.json()['id']}/"
    assert as_lead.get(one).json()["rows"][0]["answer"] == 1
    assert as_lead.get(f"{API}probes/").json()["count"] == 1
    assert as_lead.delete(one).status_code == 204 and not project.probe_sets.exists()


def test_the_command_imports_a_file_all_or_nothing(project: Project, lead: User, tmp_path: Any) -> None:
    path = tmp_path / "bees.jsonl"
    path.write_text("\n".join(lines(GOOD)))
    call_command("import_probes", "garden", str(path), "--by", "lead", stdout=io.StringIO())
    assert project.probe_sets.get().name == "bees" and project.probe_sets.get().created_by == lead
    path.write_text("{")
    with pytest.raises(CommandError, match="line 1"):
        call_command("import_probes", "garden", str(path), "--name", "More")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_probes", "garden", str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.9, 1.1, "0.900 to 1.100"), (0.9981, 0.99962, "0.9981 to 0.9996"), (0.9, 1.0, "0.900 to 1.000")],
)
def test_a_factor_shows_on_which_side_of_1_its_interval_lies(low: float, high: float, said: str) -> None:
    assert change_interval(Figure("ratio", "", 0.99, low, high, 9)) == said
