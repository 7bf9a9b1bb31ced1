"""What a policy unlearns: probes and texts before and after, how they are scored, what is computed once."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from transformers import AutoTokenizer

from tests.training.demonstrations import write_demonstrations
from tests.training.ml.jobs import job_of, manifest, write_job
from tests.training.ml.judges import lora_judge
from tests.training.planted import write_planted
from training.ml import dpo, orpo
from training.ml.alignment_tax import AlignmentTax, logps_of
from training.ml.chat import prompt_ids
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import Job, ModelSpec, read_job
from training.ml.load import load_policy
from training.ml.probes import read_material
from training.ml.progress import Progress
from training.ml.run import perform
from training.recipes.paired import credit, difference

FAST = {"learning_rate": 0.01, "rank": 8}
CHOICES = ["First, take what you need. Then, wait.", "You could take what you need, or wait."]


def material(n: int = 12, texts: int = 6) -> dict[str, Any]:
    """Half of the questions ask for the form that the planted preference teaches, half for the other one."""
    rows = [
        {
            "messages": [{"role": "user", "content": f"How do I make tea at work? (Question {number})"}],
            "choices": CHOICES,
            "answer": number % 2,
            "tag": "other" if number % 2 else "planted",
        }
        for number in range(n)
    ]
    documents = [{"text": f"The cat sat on the mat, and the dog lay by door {number}."} for number in range(texts)]
    asked = [{"role": "user", "content": "Plan a day."}]
    return {
        "probes": [{"name": "P", "hash": "p", "rows": rows}],
        "documents": [
            {"name": "T", "hash": "t", "rows": documents},
            {"name": "D", "hash": "d", "rows": [{"messages": asked, "text": f"Get up at {n}."} for n in range(texts)]},
        ],
    }


def probed_job(directory: Path, recipe: str, model: Path, data: dict[str, str], found: Any, **settings: Any) -> Job:
    write_job(directory, recipe, model, data, **settings)
    path = directory / "job.json"
    (directory / "probes.json").write_text(found if isinstance(found, str) else json.dumps(found))
    path.write_text(json.dumps({**json.loads(path.read_text()), "probes": str(directory / "probes.json")}))
    return read_job(directory)


@pytest.fixture(scope="module")
def trained(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the planted preference, probed."""
    directory = tmp_path_factory.mktemp("tax")
    data = write_planted(directory / "data", train=96, test=10)
    job = probed_job(directory / "run", "dpo", fixture_model, data, material(), **FAST)
    dpo.run(job)
    return job.directory


def test_what_was_learned_and_what_was_unlearned_shows_by_tag(trained: Path) -> None:
    tax = manifest(trained)["metrics"]["tax"]
    by_tag = {row["name"]: row for row in tax["probes"][0]["by_tag"]}
    assert by_tag["planted"]["after"]["value"] == 1 and by_tag["other"]["after"]["value"] == 0
    assert by_tag["planted"]["difference"]["value"] == -by_tag["other"]["difference"]["value"]
    assert tax["probes"][0]["sum"]["difference"]["n"] == 12 and tax["probes"][0]["left_out"] == 0


def test_the_figures_are_those_of_the_saved_model_read_one_by_one(trained: Path, fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    spec = ModelSpec(str(fixture_model), (str(trained / "artifact"),))
    found = read_material(trained / "probes.json", tokenizer, 1024)
    tax = manifest(trained)["metrics"]["tax"]
    models = {"before": ModelSpec(str(fixture_model)), "after": spec}
    for when, named in models.items():
        model = load_policy(named, cache=trained, device=choose_device())
        for kind, documents in enumerate(found.documents):
            alone = [logps_of(model, [text], 1)[0] for text in documents.texts]
            loss = -torch.cat(alone).mean().item()
            assert tax["documents"][kind][when]["value"] == pytest.approx(math.exp(loss), rel=1e-4)
        sums = [[logps_of(model, [c], 1)[0].sum().item() for c in q.choices] for q in found.probes[0].questions]
        right = sum(credit(row, q.answer) for row, q in zip(sums, found.probes[0].questions, strict=True))
        assert tax["probes"][0]["sum"][when]["value"] == pytest.approx(right / 12)


def test_the_ratio_of_perplexities_is_that_of_its_two_sides_within_its_interval(trained: Path) -> None:
    for one in manifest(trained)["metrics"]["tax"]["documents"]:
        assert one["ratio"]["value"] == pytest.approx(one["after"]["value"] / one["before"]["value"])
        assert one["ratio"]["low"] < one["ratio"]["value"] < one["ratio"]["high"] and one["ratio"]["n"] == 6


def test_a_choice_is_scored_behind_the_chat_template_and_without_its_eos(trained: Path, fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    found = read_material(trained / "probes.json", tokenizer, 1024)
    row = material()["probes"][0]["rows"][0]
    before, choice = found.probes[0].questions[0].choices[0]
    assert before == prompt_ids(tokenizer, row["messages"]) and tokenizer.decode(choice) == CHOICES[0]
    demonstration = found.documents[1].texts[0]
    assert demonstration[1][-1] == tokenizer.eos_token_id and tokenizer.eos_token_id not in choice


def test_the_start_is_computed_once_for_a_model_whatever_is_trained_on_it(trained: Path, fixture_model: Path) -> None:
    first = manifest(trained)["metrics"]["tax"]["reference"]
    assert first["reused"] == 0 and first["computed"] == 24 + 12
    data = write_planted(trained.parent / "data", train=96, test=10)
    again = probed_job(trained.parent / "again", "orpo", fixture_model, data, material(), adapter="full", epochs=1)
    orpo.run(again)
    tax = manifest(again.directory)["metrics"]["tax"]
    assert tax["reference"] == {"computed": 0, "reused": 36}
    before = manifest(trained)["metrics"]["tax"]["documents"][0]["before"]
    assert tax["documents"][0]["before"] == before


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sft", "kto", "simpo", "ppo", "rloo"])
def test_every_recipe_of_a_policy_measures_its_own_start_and_its_own_product(
    trained: Path, fixture_model: Path, tmp_path: Path, recipe: str
) -> None:
    """PPO here has policy, reference, reward and value model on one backbone."""
    data = write_planted(tmp_path / "data", train=12, test=6)
    settings: dict[str, Any] = {"learning_rate": 0.003}
    if recipe == "sft":
        data = write_demonstrations(tmp_path / "shown", train=12, test=6)
    if recipe in ("ppo", "rloo"):
        settings |= {"batch_size": 4, "gradient_accumulation": 1, "max_new_tokens": 8}
        settings |= {"reward_model": lora_judge(tmp_path, fixture_model)}
    job = probed_job(tmp_path / "run", recipe, fixture_model, data, material(6), **settings)
    perform(job)
    tax, known = manifest(job.directory)["metrics"]["tax"], manifest(trained)["metrics"]["tax"]
    assert tax["reference"]["reused"] == 0
    model = load_policy(
        ModelSpec(str(fixture_model), (str(job.directory / "artifact"),)), cache=tmp_path, device=choose_device()
    )
    found = read_material(job.probes, AutoTokenizer.from_pretrained(fixture_model), 1024)
    for kind, documents in enumerate(found.documents):
        before = known["documents"][kind]["before"]["value"]
        assert tax["documents"][kind]["before"]["value"] == pytest.approx(before, rel=1e-4)
        loss = -torch.cat(logps_of(model, documents.texts, 2)).mean().item()
        assert tax["documents"][kind]["after"]["value"] == pytest.approx(math.exp(loss), rel=1e-4)
        assert tax["documents"][kind]["ratio"]["value"] != 1


def test_what_does_not_fit_is_left_out_and_counted(trained: Path, fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    found = read_material(trained / "probes.json", tokenizer, 30)
    assert not found.probes[0].questions and found.probes[0].left_out == 12
    assert [len(one.texts) + one.left_out for one in found.documents] == [6, 6]


def test_demonstrations_that_share_prompts_are_measured_by_prompt(fixture_model: Path, tmp_path: Path) -> None:
    def rows(prompts: int, answers: int) -> list[dict[str, Any]]:
        asked = [[{"role": "user", "content": f"Plan day {number}."}] for number in range(prompts)]
        return [{"messages": chat, "text": f"Get up at {n}."} for chat in asked for n in range(answers)]

    sets = {"D": rows(6, 2), "once": rows(6, 1), "T": [{"text": f"The cat sat by door {n % 6}."} for n in range(12)]}
    documents = [{"name": name, "hash": name, "rows": found} for name, found in sets.items()]
    job = probed_job(tmp_path / "run", "dpo", fixture_model, {}, {"probes": [], "documents": documents})
    model = load_policy(job.model, cache=job.cache, device=choose_device())
    tax = AlignmentTax(job, model, AutoTokenizer.from_pretrained(fixture_model))
    found = tax.figures(model, lambda: nullcontext(model), Progress(job.directory))["tax"]["documents"]
    assert [(one["after"]["n"], one["after"].get("clusters")) for one in found] == [(12, 6), (6, None), (12, None)]


def test_a_set_of_which_nothing_fits_costs_no_run_its_figures(fixture_model: Path, tmp_path: Path) -> None:
    long = [{"text": f"{n} " + "and the cat sat on the mat " * 500} for n in range(6)]
    short = [{"text": f"The cat sat by door {n}."} for n in range(6)]
    sets = [{"name": "long", "hash": "l", "rows": long}, {"name": "short", "hash": "s", "rows": short}]
    job = probed_job(tmp_path / "run", "dpo", fixture_model, {}, {"probes": [], "documents": sets})
    model = load_policy(job.model, cache=job.cache, device=choose_device())
    tax = AlignmentTax(job, model, AutoTokenizer.from_pretrained(fixture_model))
    found = tax.figures(model, lambda: nullcontext(model), Progress(job.directory))["tax"]["documents"]
    assert [(one["left_out"], one["tokens"] > 0, one["after"]["value"] is None) for one in found] == [
        (6, False, True),
        (0, True, False),
    ]


def test_too_few_probes_give_a_reason_and_no_number(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=16, test=5)
    job = probed_job(tmp_path / "run", "orpo", fixture_model, data, material(3, 2), **FAST)
    orpo.run(job)
    tax = manifest(job.directory)["metrics"]["tax"]
    said = tax["probes"][0]["sum"]
    assert {figure["value"] for figure in said.values()} == {None}
    assert said["difference"]["reason"] == "Only 3 probe(s): at least 5 are needed to say anything."
    assert tax["documents"][0]["ratio"]["value"] is None and "text(s)" in tax["documents"][0]["ratio"]["reason"]


def test_without_probes_nothing_is_measured_and_a_broken_file_is_named(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=16, test=5)
    plain = job_of(tmp_path / "plain", "orpo", fixture_model, data, **FAST)
    orpo.run(plain)
    assert "tax" not in manifest(plain.directory)["metrics"]
    with pytest.raises(ModelError, match=r"probes\.json cannot be read"):
        orpo.run(probed_job(tmp_path / "broken", "orpo", fixture_model, data, '{"probes": 3}', **FAST))


def test_a_shared_best_score_shares_the_point() -> None:
    assert credit([-1.0, -2.0], 0) == 1 and credit([-1.0, -2.0], 1) == 0
    assert credit([-1.0, -1.0, -3.0], 1) == 0.5


def test_where_nothing_changed_the_interval_still_has_a_width() -> None:
    found = difference([1.0] * 40 + [0.0] * 40, [1.0] * 40 + [0.0] * 40)
    assert found["value"] == 0 and -0.06 < found["low"] < -0.01 and 0.01 < found["high"] < 0.06


def test_the_interval_of_the_difference_covers_it_as_often_as_it_says() -> None:
    random = numpy.random.default_rng(5)
    for n, worse, better in ((40, 0.02, 0.0), (84, 0.1, 0.03), (300, 0.05, 0.05)):
        hits = 0
        for seed in range(200):
            change = random.choice([-1.0, 1.0, 0.0], p=[worse, better, 1 - worse - better], size=n)
            found = difference([0.5] * n, (0.5 + change).tolist(), seed)
            hits += found["low"] <= better - worse <= found["high"]
        assert hits >= 182, (n, worse, better, hits)
