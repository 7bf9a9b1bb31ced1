"""The recipe "kto": single responses out of pairs, and the baseline estimated from responses to other prompts."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.ml.completion_logps import completion_logps
from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.references import reference_of
from tests.training.planted import planted_rows, row, write_planted, write_rows
from training.ml import kto, policy_run
from training.ml.cancel import Cancelled
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.job import Data
from training.ml.machine import wants_checkpointing
from training.ml.votes import Vote, load_votes, read_votes
from training.recipes import RecipeError, load
from training.recipes.kto import KTOConfig


@pytest.fixture(scope="module")
def tokenizer(fixture_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(fixture_model)


def moved(base: Path) -> Any:
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_pretrained(base)
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    return model.eval()


def vote(name: str, prompt: list[int], completion: list[int], **more: Any) -> Vote:
    return Vote(name, prompt, completion, **({"desirable": True} | more))


def test_a_pair_is_a_desirable_and_an_undesirable_response(tmp_path: Path, tokenizer: Any) -> None:
    votes = read_votes(write_rows(tmp_path / "train.parquet", planted_rows(2)), tokenizer, 512, [])
    assert [(one.id, one.desirable) for one in votes] == [
        ("p0/chosen", True),
        ("p0/rejected", False),
        ("p1/chosen", True),
        ("p1/rejected", False),
    ]


def test_the_held_out_loss_is_over_prompts(fixture_model: Path, tmp_path: Path) -> None:
    """The two votes of a pair are no two witnesses."""
    data = write_planted(tmp_path / "data", train=8, test=6)
    job = job_of(tmp_path / "run", "kto", fixture_model, data, epochs=1)
    kto.run(job)
    loss = manifest(job.directory)["metrics"]["loss"]
    assert (loss["n"], loss["clusters"]) == (12, 6)


def test_a_response_without_a_usable_partner_is_learned_from_alone(tmp_path: Path, tokenizer: Any) -> None:
    rows = [
        row("empty", "Why?", "Because.", "  \n"),
        row("long", "Why?", "Because. " * 400, "No idea."),
        row("same", "Why?", "Because.", "Because."),
        {**row("weightless", "Why?", "Because.", "No idea."), "weight": 0.0},
    ]
    dropped: list[dict[str, str]] = []
    votes = read_votes(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512, dropped)
    assert [(one.id, one.desirable) for one in votes] == [("empty/chosen", True), ("long/rejected", False)]
    why = {entry["id"]: entry["why"] for entry in dropped}
    assert why["empty/rejected"] == "the rejected response is empty"
    assert why["long/chosen"].startswith("too long: ")
    assert why["same/chosen"] == why["same/rejected"] == "chosen and rejected are the same"
    assert why["weightless/chosen"] == "its weight is 0.0"


def test_nothing_to_train_on_is_said_with_the_reason(tmp_path: Path, tokenizer: Any, fixture_model: Path) -> None:
    path = write_rows(tmp_path / "train.parquet", [row("same", "Why?", "Because.", "Because.")])
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    with pytest.raises(ModelError, match="are the same") as caught:
        load_votes(Data(path, path, ""), tokenizer, model, 512)
    assert caught.value.code == "empty_data"


def test_a_baseline_is_estimated_from_answers_to_other_prompts_only() -> None:
    batch = [vote("a", [5], [1, 2]), vote("b", [5], [3, 2]), vote("c", [6], [4, 2]), vote("d", [7], [5, 5, 5, 2])]
    assert kto.strangers(batch, 512) == [
        ([5], [5, 5, 5, 2]),
        ([5], [5, 5, 5, 2]),
        ([6], [3, 2]),
        ([7], [4, 2]),
    ]
    # Four tokens do not fit behind a prompt where four are allowed: the next one before is taken.
    assert kto.strangers(batch, 4)[:2] == [([5], [4, 2]), ([5], [4, 2])]
    assert kto.strangers(batch[:2], 512) == []


def test_the_loss_is_that_of_the_formula(fixture_model: Path, tmp_path: Path) -> None:
    policy, start = moved(fixture_model), AutoModelForCausalLM.from_pretrained(fixture_model).eval()
    batch = [
        vote("a", [5, 6], [20, 21, 2]),
        vote("b", [7, 8], [30, 2], desirable=False, weight=0.5),
        vote("c", [9], [40, 41, 42, 2], desirable=False),
    ]
    config = KTOConfig(beta=0.3, desirable_weight=2.0, undesirable_weight=0.7)
    reference = reference_of(start, kto.texts(batch), tmp_path)
    found = kto.unpaired_preference(policy, reference, lambda: nullcontext(start), config, 512)(batch)

    def ratios(sequences: Any) -> torch.Tensor:
        with torch.no_grad():
            return completion_logps(policy, sequences) - completion_logps(start, sequences)

    baseline = ratios([([5, 6], [40, 41, 42, 2]), ([7, 8], [20, 21, 2]), ([9], [30, 2])]).mean().clamp(min=0)
    own = ratios(kto.texts(batch))
    signs, weights = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([2.0, 0.7 * 0.5, 0.7])
    expected = weights * (1 - torch.sigmoid(signs * 0.3 * (own - baseline)))
    assert found.losses.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.metrics["kl"].tolist() == pytest.approx([baseline.item()] * 3, abs=1e-4)


def test_full_fine_tuning_has_its_frozen_start_beside_it(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=48, test=20)
    job = job_of(tmp_path / "run", "kto", fixture_model, data, adapter="full", learning_rate=0.0005)
    kto.run(job)
    found = manifest(job.directory)
    assert found["metrics"]["margin"]["low"] > 0.1
    assert found["data"]["desirable"] == found["data"]["undesirable"] == 48


def test_one_response_at_a_time_is_refused_before_the_run() -> None:
    with pytest.raises(RecipeError, match="between 2 and 1024"):
        load("kto", {"batch_size": 1})


@pytest.mark.parametrize(("adapter", "second"), [("full", True), ("lora", False), ("last_layers", False)])
def test_auto_leaves_room_for_the_start_that_is_loaded_while_it_learns(
    adapter: str, second: bool, fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def settled(*_: Any, to_come: int) -> dict[str, Any]:
        told.append(to_come)
        raise Cancelled

    monkeypatch.setattr(policy_run, "settle", settled)
    data = write_planted(tmp_path / "data", train=4, test=2)
    with pytest.raises(Cancelled):
        kto.run(job_of(tmp_path / "run", "kto", fixture_model, data, adapter=adapter, layers=1))
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    assert told == [sum(weight.nbytes for weight in model.parameters()) * second]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**40, 0))
    gpu = Device(torch.device("cuda"), torch.float32, "a GPU")  # nothing here computes on it
    wanted = [wants_checkpointing([model], KTOConfig(), gpu, 1024, to_come=n) for n in (0, 2**40 - 1000)]
    assert wanted == [False, True]
