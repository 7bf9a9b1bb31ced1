"""What a sampling run would take: beside its form and a round's, by API and command; one answer."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from annotate.models import Project, Snapshot, User
from tests.factories import make_prompts
from tests.training.small_model import SIZES, small_model
from tests.training.views.test_estimates import ask_for_a_round
from tests.training.views.test_forms import sent_back
from training.models import Artifact, Run, RunState, Task
from training.recipes.estimate import read_architecture
from training.workflow import device, runs, sampling
from training.workflow.exceptions import TooLittleDisk

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("speed_is_known")]
FORM, API = "/p/garden/sampling/new/", "/api/v1/projects/garden/estimate/"
HTMX = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "estimate"}
NUMBERS = read_architecture(SIZES).policy
ROW_OF_16 = 4 * 2 * 30 * 3 * 64 * 32  # bytes of keys and values of a token in 32 rows


@pytest.fixture
def model(project: Project, tmp_path: Path) -> Artifact:
    make_prompts(project, 20, start=500)  # all of one length
    return small_model(project, tmp_path)


def adapter(model: Artifact, name: str, recipe: str = "dpo", **settings: Any) -> Artifact:
    run = Run.objects.create(project=model.project, recipe=recipe, model=model, config={"adapter": "lora", **settings})
    task = Task.REWARD if recipe == "reward" else Task.POLICY
    facts = {"task": task, "is_adapter": True, "parent": model, "run": run, "manifest": {"config": run.config}}
    return Artifact.objects.create(project=model.project, name=name, location=f"/{name}", **facts)


def ask(client: Client, model: Artifact, htmx: bool = True, **changed: Any) -> Any:
    """The form as it comes, sent to be estimated."""
    sent = {"estimate": "1", "model": model.pk, "batch_name": "x", "prompts": 20, "seed": 0, **sent_back("sample")}
    return client.post(FORM, {**sent, **changed}, **(HTMX if htmx else {}))


def memory(told: Any) -> dict[str, int]:
    [panel] = told.context["panels"]
    return panel.answer.chosen.memory.as_dict()


def test_memory_by_part_stands_beside_the_form_and_starts_nothing(as_lead: Client, model: Artifact) -> None:
    told = ask(as_lead, model, reference=adapter(model, "dpo", adapter="houlsby").pk)
    page, parts = told.content.decode(), memory(told)
    assert "<html" not in page and "Cache of keys and values" in page and "Old model" in page
    assert parts["weights"] == 4 * NUMBERS
    assert 0 < parts["reference"] < 0.1 * parts["weights"], "an adapter on the same base"
    assert parts["gradients"] == parts["optimizer"] == parts["value"] == parts["reward"] == 0
    assert parts["total"] == sum(size for name, size in parts.items() if name != "total")
    whole = ask(as_lead, model, htmx=False)
    assert "<html" in whole.content.decode() and memory(whole)["reference"] == 0
    assert not Run.objects.filter(recipe="sample").exists()


def test_it_follows_what_is_changed(as_lead: Client, model: Artifact) -> None:
    first = memory(ask(as_lead, model))
    longer = memory(ask(as_lead, model, **{"sample-max_new_tokens": "320"}))
    assert longer["kv_cache"] - first["kv_cache"] == pytest.approx(160 * ROW_OF_16, rel=0.01)
    fewer = memory(ask(as_lead, model, **{"sample-batch_size": "8"}))
    assert fewer["kv_cache"] == first["kv_cache"] / 2
    one = memory(ask(as_lead, model, prompts=1))
    assert one["kv_cache"] == first["kv_cache"] / 16, "of one prompt there are two rows"
    scored = memory(ask(as_lead, model, reward_model=adapter(model, "judge", "reward").pk))
    assert 0 < scored["reward"] < 0.1 * first["weights"] and scored["weights"] == first["weights"]
    apart = memory(ask(as_lead, model, reward_model=adapter(model, "packed", "reward", adapter="qlora").pk))
    assert apart["reward"] > 0.2 * first["weights"]


def test_what_does_not_fit_is_said_with_the_nearest_that_does(as_lead: Client, model: Artifact) -> None:
    sent = {"sample-batch_size": "128", "estimate-device": "cpu", "estimate-memory": "2"}
    told = ask(as_lead, model, prompts=20, **sent)
    assert told.context["panels"][0].answer.chosen.fits, "of 20 prompts no more than 20 are at once"
    make_prompts(model.project, 200, start=600)
    told = ask(as_lead, model, prompts=200, **sent)
    answer = told.context["panels"][0].answer
    assert not answer.chosen.fits and answer.advice.found.fits
    assert set(answer.advice.changed) == {"batch_size"}
    assert "The nearest that fits takes" in told.content.decode()
    none = ask(as_lead, model, prompts=200, **{**sent, "estimate-memory": "0.7"})
    assert "take a smaller model" in none.content.decode()


def test_what_cannot_be_told_is_said(as_lead: Client, model: Artifact, base: Artifact) -> None:
    assert "not on this machine yet" in ask(as_lead, base).content.decode()
    assert (
        "Top-p: Ensure this value is less than or equal to 1.0."
        in ask(as_lead, model, **{"sample-top_p": "7"}).content.decode()
    )
    nobody = {"estimate": "1", "batch_name": "x", "prompts": 2, "seed": 0, **sent_back("sample")}
    assert "Choose a model." in as_lead.post(FORM, nobody, **HTMX).content.decode()
    (Path(model.location) / "config.json").write_text(json.dumps({**SIZES, "model_type": "novel"}))
    assert "“novel” is not known here" in ask(as_lead, model).content.decode()
    model.project.prompts.all().delete()
    assert "no prompts yet" in ask(as_lead, model).content.decode()


def test_the_last_stage_of_a_round_is_estimated_by_the_settings_of_those_before(
    as_lead: Client, snapshot: Snapshot, model: Artifact
) -> None:
    held = {}
    for name, changed in {
        "lora": {},
        "full": {"dpo-adapter": "full"},
        "houlsby": {"dpo-adapter": "houlsby"},
        "scored": {"score_samples": "on"},
    }.items():
        panels = ask_for_a_round(as_lead, model, snapshot, "dpo", **changed).context["panels"]
        assert [panel.recipe for panel in panels] == ["reward", "dpo", "sample"]
        held[name] = panels[2].answer.chosen.memory.parts
    both = {name: parts["weights"] + parts["reference"] for name, parts in held.items()}
    assert both["houlsby"] < 1.1 * 4 * NUMBERS and both["full"] == both["lora"] == 2 * 4 * NUMBERS
    assert held["lora"]["reward"] == 0 < held["scored"]["reward"] < 0.1 * 4 * NUMBERS


def test_an_earlier_run_tells_how_fast_and_how_long_responses_are(as_lead: Client, model: Artifact) -> None:
    before = ask(as_lead, model).context["panels"][0].answer
    run = sampling.start_sampling(model.project, model, {}, model.project.prompts.all())
    assert runs.claim(run, "here:cpu", "w:1") and runs.finish(run, RunState.SUCCEEDED)
    told = {"tokens_per_second": 100.0, "mean_tokens": 50.0}
    Run.objects.filter(pk=run.pk).update(
        result={"samples": 40, "metrics": told, "device": "cpu"}, worked=timedelta(seconds=30)
    )
    answer = ask(as_lead, model)
    found = answer.context["panels"][0].answer
    assert found.question.speed.source == "earlier run" and "in proportion" in answer.content.decode()
    # The same once more: 40 responses of 50 tokens at 100 a second, and 10 s around them.
    assert found.chosen.seconds == pytest.approx(30) != before.chosen.seconds
    assert sum(found.chosen.durations.parts[name] for name in ("reading", "drawing", "scoring")) == pytest.approx(20)
    Run.objects.filter(pk=run.pk).update(result={"samples": 40, "metrics": told, "device": "NVIDIA H200"})
    assert ask(as_lead, model).context["panels"][0].answer.question.speed.source == "matrix product"


def test_the_api_answers_as_the_form_does(as_lead: Client, model: Artifact) -> None:
    old, judge = adapter(model, "old", adapter="houlsby"), adapter(model, "judge", "reward")
    asked = {"recipe": "sample", "model": model.pk, "reference": old.pk, "reward_model": judge.pk, "prompts": 20}
    told = as_lead.post(API, asked, content_type="application/json").json()
    form = ask(as_lead, model, reference=old.pk, reward_model=judge.pk)
    assert told["memory_bytes"] == memory(form)
    assert told["assumed"]["on_one_base"] == ["new", "old", "reward"] and told["fits"] is True
    assert as_lead.get(API, asked).json() == told
    wrong = as_lead.post(API, {**asked, "config": {"top_p": 7}}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["field"]) == (400, "sample.top_p")
    assert as_lead.get(API, {**asked, "reward_model": model.pk}).status_code == 404
    assert as_lead.get(API, {**asked, "model": judge.pk}).status_code == 404


def test_a_stranger_learns_nothing(client: Client, model: Artifact, stranger: User) -> None:
    client.force_login(stranger)
    assert client.get(API, {"recipe": "sample", "model": model.pk}).status_code == 404
    assert ask(client, model).status_code == 404


def command(config: Path, *arguments: str, as_json: bool = True) -> Any:
    out = StringIO()
    asked = ("--config", str(config), "--recipe", "sample", *arguments, *(["--json"] if as_json else []))
    call_command("estimate", *asked, stdout=out)
    return json.loads(out.getvalue()) if as_json else out.getvalue()


def test_the_command_counts_models_that_are_described(model: Artifact, tmp_path: Path) -> None:
    config, other = Path(model.location) / "config.json", tmp_path / "other.json"
    other.write_text(config.read_text())
    alone = command(config, "--tokens", "100")["memory_bytes"]
    assert alone["kv_cache"] == 260 * ROW_OF_16, "prompts of one length: no slot has to grow"
    beside = command(config, "--adapter", "houlsby", "--reference-config", str(config))
    apart = command(config, "--adapter", "houlsby", "--reference-config", str(other))
    assert beside["assumed"]["on_one_base"] == ["new", "old"] and apart["assumed"]["on_one_base"] == []
    assert apart["memory_bytes"]["reference"] == 4 * NUMBERS > 0 == beside["memory_bytes"]["reference"]
    scored = command(config, "--set", "reward.adapter=lora")
    assert 0 < scored["memory_bytes"]["reward"] < 0.1 * scored["memory_bytes"]["weights"]
    assert command(config, "--reward-config", str(other))["memory_bytes"]["reward"] > 0.7 * 4 * NUMBERS
    on_gpu = command(config, "--reference-config", str(config), "--adapter", "lora", "--device", "gpu")
    assert on_gpu["assumed"]["on_one_base"] == ["new", "old"], "on bf16 weights no LoRA is merged"
    assert on_gpu["seconds"] is None
    lines = command(config, "--memory", "1", as_json=False)
    assert "This does not fit" in lines and "kv_cache" in lines and "Python takes" in lines
    with pytest.raises(CommandError, match=r"sample\.max_length: There is no such setting"):
        command(config, "--max-length", "100")
    with pytest.raises(CommandError, match=r"sample\.top_p"):
        command(config, "--set", "top_p=7")


def test_a_full_disk_is_told_before_the_start(model: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.workflow.disk.SMALL_RUN", 2**60)
    with pytest.raises(TooLittleDisk, match="GB"):
        sampling.start_sampling(model.project, model, {}, model.project.prompts.all())
    assert not Run.objects.exists()


def test_whether_it_fits_is_not_told_of_a_gpu_that_is_not_here(
    as_lead: Client, model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "found", lambda: device.Found(host=8 * 10**9, gpu=0))
    told = ask(as_lead, model, **{"estimate-device": "gpu"})
    assert "whether it fits is not told" in told.content.decode()
    assert memory(told)["weights"] == 2 * NUMBERS
