"""Two processes compute what one would: the same losses, the same weights, one checkpoint for either."""

from __future__ import annotations

import json
import os
import signal
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.ml import child
from tests.training.ml.jobs import manifest
from tests.training.ml.launching import fork, forked, in_one, job, steps, weights
from training.ml import policy_run, reward, run, sharing, together
from training.ml.errors import ModelError
from training.ml.job import read_job
from training.ml.progress import read_lines
from training.ml.sharing import STAND_IN, shares
from training.recipes.estimate.parallel import largest_piece

pytestmark = pytest.mark.not_db

# Where it is not, a run that asks for it is refused (test_machine.py).
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")
RECIPES = ["sft", "reward", "dpo", "kto", "orpo", "simpo"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums of floating point numbers depend on how many threads share them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def whole(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs in one process, to compare with: one for each recipe and its settings."""
    done: dict[str, Path] = {}

    def find(recipe: str, **config: Any) -> Path:
        name = f"{recipe} {sorted(config.items())}"
        if name not in done:
            done[name] = in_one(job(tmp_path_factory.mktemp(recipe), recipe, fixture_model, **config))
        return done[name]

    return find


def assert_same(found: Path, expected: Path, within: float = 1e-6) -> None:
    """`within` is of the final weights: AdamW divides small gradients by their size, and their rounding with them."""
    assert len(steps(found)) == len(steps(expected)) >= 6
    for one, other in zip(steps(found), steps(expected), strict=True):
        # The KL of KTO is a small difference of sums of a hundred log-probabilities.
        assert decided(one) == pytest.approx(decided(other), rel=1e-5, abs=1e-4 if "kl" in one else 1e-5)
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
    ours, theirs = weights(found), weights(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], rtol=0, atol=within) for name in theirs)
    assert manifest(found)["metrics"].keys() == manifest(expected)["metrics"].keys()


def decided(step: dict[str, float]) -> dict[str, float]:
    """Without the accuracy of margins that are zero: at its start a policy is its own reference."""
    return {name: value for name, value in step.items() if name != "accuracy" or abs(step["margin"]) > 1e-6}


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_equal_one(recipe: str, whole: Any, fixture_model: Path, tmp_path: Path) -> None:
    """Dropout, too, draws the same wherever a batch falls to."""
    found = job(tmp_path, recipe, fixture_model, dropout=0.1)
    assert forked(found) == [run.DONE, run.DONE]
    assert_same(found, whole(recipe, dropout=0.1))
    assert manifest(found)["processes"] == 2
    stages = [line["stage"] for line in read_lines(found / "progress.jsonl") if line["kind"] == "status"]
    assert stages.count("training") == 1, "one of them tells"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_batches_that_do_not_come_out_even_change_nothing(
    recipe: str, whole: Any, fixture_model: Path, tmp_path: Path
) -> None:
    uneven = {"gradient_accumulation": 1, "batch_size": 3, "learning_rate": 3e-4}
    found = job(tmp_path, recipe, fixture_model, **uneven)
    assert forked(found) == [run.DONE, run.DONE]
    assert_same(found, whole(recipe, **uneven), within=1e-5)
    waits = [sentence for sentence in manifest(found)["fallbacks"] if "Some processes wait" in sentence]
    assert bool(waits) == (recipe in ("kto", "orpo"))


class Dealt(Exception):
    """Enough has been seen."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_single_batch_a_step_is_cut_up_where_the_estimate_counts_on_it(
    recipe: str, fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight examples two processes compute four each, or, where an example's loss looks at its batch, the first all
    of them; `largest_piece` says the same."""
    lengths = []

    def train(_model: Any, items: list[Any], *_: Any, by_item: bool = False, **__: Any) -> None:
        monkeypatch.setattr(together, "count", lambda: 2)
        for number in range(2):
            monkeypatch.setattr(together, "number", lambda number=number: number)
            lengths.append(sum(len(batch) for _, batch in shares([items[:8]], by_item)))
        raise Dealt

    directory = job(tmp_path, recipe, fixture_model, batch_size=8, gradient_accumulation=1)
    asked = read_job(directory)
    for module in (reward, policy_run):
        monkeypatch.setattr(module, "train", train)
    with pytest.raises(Dealt):
        import_module(run.MODULES[recipe]).run(asked)
    assert lengths == ([4, 4] if asked.config.by_item else [8, 0])
    assert max(lengths) == largest_piece(asked.config, 2).batch_size


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sft", "reward", "kto"])
@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize("parallel", ["fsdp", pytest.param("deepspeed", marks=NEEDS_DEEPSPEED)])
def test_a_model_in_parts_learns_what_a_whole_one_does(
    recipe: str, parallel: str, adapter: str, whole: Any, fixture_model: Path, tmp_path: Path
) -> None:
    config = {"adapter": adapter, "gradient_accumulation": 3, "batch_size": 2, "epochs": 3, "learning_rate": 3e-4}
    found = job(tmp_path, recipe, fixture_model, parallel=parallel, **config)
    assert forked(found) == [run.DONE, run.DONE]
    assert_same(found, whole(recipe, **config), within=1e-5)


@pytest.mark.parametrize(
    "config", [{"adapter": "prompt_tuning"}, {"adapter": "last_layers", "layers": 1}, {"dora": True}]
)
def test_an_adapter_that_cannot_be_parted_is_refused(
    config: dict[str, Any], fixture_model: Path, tmp_path: Path
) -> None:
    found = job(tmp_path, "sft", fixture_model, parallel="fsdp", **config)
    assert forked(found) == [run.FAILED, run.FAILED]
    assert json.loads((found / "error.json").read_text())["code"] == "bad_config"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp", pytest.param("deepspeed", marks=NEEDS_DEEPSPEED)])
def test_a_run_cut_in_the_middle_goes_on_in_another_number_of_processes(
    first: int, then: int, parallel: str, whole: Any, fixture_model: Path, tmp_path: Path
) -> None:
    config = {"dropout": 0.1, "epochs": 8, "parallel": parallel}
    found = job(tmp_path, "dpo", fixture_model, **config)
    started = fork(found, first) if first > 1 else [child.start(found)]
    while child.last_step(found) < 3 and started[0].is_alive():
        time.sleep(0.005)
    for process in started:
        os.kill(process.pid, signal.SIGTERM)
    assert [child.finish(process) for process in started] == [run.CANCELLED] * first
    cut = len(steps(found))
    assert 3 <= cut < 24
    assert json.loads((found / "checkpoint" / "position.json").read_text())["step"] == cut
    ended = forked(found, then) if then > 1 else [child.finish(child.start(found))]
    assert ended == [run.DONE] * then
    assert_same(found, whole("dpo", **config))


def test_only_one_of_them_is_asked_to_stop_and_both_do(fixture_model: Path, tmp_path: Path) -> None:
    found = job(tmp_path, "sft", fixture_model, epochs=40)
    started = fork(found)
    while child.last_step(found) < 3 and started[0].is_alive():
        time.sleep(0.005)
    os.kill(started[1].pid, signal.SIGTERM)
    assert [child.finish(process) for process in started] == [run.CANCELLED, run.CANCELLED]
    assert json.loads((found / "checkpoint" / "position.json").read_text())["step"] == len(steps(found))


def test_whoever_loses_the_other_ends_by_itself_and_tells_no_reason(fixture_model: Path, tmp_path: Path) -> None:
    found = job(tmp_path, "sft", fixture_model, epochs=40)
    started = fork(found)
    while child.last_step(found) < 3 and started[0].is_alive():
        time.sleep(0.005)
    started[1].kill()
    began = time.monotonic()
    assert child.finish(started[0]) == run.PEER_LOST
    assert time.monotonic() - began < 10
    assert not (found / "error.json").exists()


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """This process as the second of two on a host with two GPUs, and what it asks torch for."""
    asked: dict[str, Any] = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: asked.update(place=place))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda kind, timeout: asked.update({kind: timeout}))
    monkeypatch.setattr(torch.distributed, "new_group", lambda backend, timeout: asked.update({backend: timeout}) or 7)
    monkeypatch.setattr(together, "_words", together._Words())
    return asked


def test_on_gpus_the_processes_talk_by_what_notices_that_one_of_them_is_gone(
    gpus: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL would wait on the GPU for one that ran out of memory; its tensors alone go that way."""
    together.begin()
    assert gpus["place"] == 1
    assert gpus["nccl"] < gpus["gloo"] == together.PATIENCE
    monkeypatch.setattr(together, "count", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", lambda found, value, group: found.__setitem__(1, group))
    assert together.gathered("word") == [None, 7]


def test_more_processes_than_gpus_are_refused_by_all_of_them(
    gpus: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for place in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", place)
        with pytest.raises(ModelError, match="2 processes, and this machine has 1 GPU") as told:
            together.begin()
        assert told.value.code == "too_few_gpus"
    assert not gpus, "nobody waits for the others"


@pytest.mark.parametrize("by_item", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("sizes", [[2, 2], [3], [4, 4, 1], [1, 1, 1, 1], [5, 5, 5, 2]])
def test_every_item_of_a_step_is_computed_once(
    sizes: list[int], count: int, by_item: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [[f"{batch}.{i}" for i in range(size)] for batch, size in enumerate(sizes)]
    monkeypatch.setattr(together, "count", lambda: count)
    everything, lengths = [], []
    for number in range(count):
        monkeypatch.setattr(together, "number", lambda number=number: number)
        own = shares(batches, by_item)
        everything += [item for _, batch in own for item in batch]
        lengths.append(len(shares(batches, by_item, alike=True)))
        assert all(set(batch) <= set(batches[position]) for position, batch in own)
        assert by_item or all(batch == batches[position] for position, batch in own)
        stand_ins = [batch for position, batch in shares(batches, by_item, alike=True) if position == STAND_IN]
        assert all(stand_ins)
    assert sorted(everything) == sorted(item for batch in batches for item in batch)
    assert len(set(lengths)) == 1
    assert sharing.together is together
