"""A bench's cell is timed at its end: what is compared with what, by every adapter method."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import write_planted
from training.ml import cancel, latency
from training.ml.intervals import median
from training.ml.job import read_job
from training.ml.memory import memory_in_use, peak_memory
from training.ml.run import perform

TEXTS = 8
SMALL = {"rank": 4, "bottleneck": 8, "virtual_tokens": 5, "encoder_hidden": 16, "layers": 1, "learning_rate": 0.01}
MERGED = ("lora", "qlora", "ia3")
BESIDE = ("houlsby", "prefix", "p_tuning_v2", "p_tuning", "prompt_tuning")
OWN = ("last_layers", "full")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=30, test=6)


@pytest.fixture(autouse=True)
def _few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "TEXTS", TEXTS)


def timed(directory: Path, recipe: str, model: Path, data: dict[str, str], **settings: Any) -> dict[str, Any]:
    write_job(directory, recipe, model, data, **settings)
    path = directory / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "latency": True}))
    perform(read_job(directory))
    return manifest(directory)


def measured(found: dict[str, Any]) -> set[str]:
    return {name for name in ("base", "unmerged", "merged") if found[name]["value"] is not None}


@pytest.mark.parametrize("adapter", [*MERGED, *BESIDE, *OWN, "head"])
def test_a_reward_model_is_timed_in_every_form_that_it_has(
    fixture_model: Path, data: dict[str, str], tmp_path: Path, adapter: str
) -> None:
    found = timed(tmp_path / "run", "reward", fixture_model, data, adapter=adapter, **SMALL)["latency"]
    forms = {"base", "unmerged", "merged"} - ({"merged"} if adapter in BESIDE else set())
    assert measured(found) == forms - (set() if adapter in (*MERGED, *BESIDE) else {"unmerged"})
    for name in measured(found) - {"base"}:
        assert found[name]["n"] == found[name]["ratio"]["n"] == TEXTS
        assert 0 < found[name]["ratio"]["low"] <= found[name]["ratio"]["value"] <= found[name]["ratio"]["high"]
    if adapter in BESIDE:
        assert "cannot be merged" in found["merged"]["reason"]


@pytest.mark.parametrize("adapter", ["lora", "prefix"])
def test_a_policy_is_timed_while_it_writes(
    fixture_model: Path, data: dict[str, str], tmp_path: Path, adapter: str
) -> None:
    found = timed(tmp_path / "run", "dpo", fixture_model, data, adapter=adapter, **SMALL)["latency"]
    assert found["what"] == "16 tokens" and {"base", "unmerged"} <= measured(found)


def test_weights_size_and_peak_stand_in_the_manifest(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    found = timed(tmp_path / "run", "reward", fixture_model, data, **SMALL)
    files = (tmp_path / "run" / "artifact").glob("*.safetensors")
    assert found["weights_bytes"] == sum(path.stat().st_size for path in files) > 0
    assert 0.5 * memory_in_use()["memory_bytes"] < found["peak"]["memory_bytes"] <= peak_memory()["memory_bytes"]


def test_a_run_that_was_killed_before_it_was_timed_is_timed_at_its_next_start(
    fixture_model: Path, data: dict[str, str], tmp_path: Path
) -> None:
    found = timed(tmp_path / "run", "reward", fixture_model, data, **SMALL)
    path = tmp_path / "run" / "artifact" / "manifest.json"
    path.write_text(json.dumps({name: value for name, value in found.items() if name != "latency"}))
    perform(read_job(tmp_path / "run"))
    again = manifest(tmp_path / "run")
    assert measured(again["latency"]) == {"base", "unmerged", "merged"}
    assert again["weights_sha256"] == found["weights_sha256"]


def stop(*_: Any) -> None:
    raise cancel.Cancelled


def fill(*_: Any) -> None:
    raise MemoryError


def test_too_little_memory_for_the_measuring_does_not_cost_the_run(
    fixture_model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "measure", fill)
    found = timed(tmp_path / "run", "reward", fixture_model, data, **SMALL)
    assert found["metrics"]["accuracy"]["n"] == 6
    assert measured(found["latency"]) == set()
    assert "memory did not suffice" in found["latency"]["base"]["reason"]


def test_what_is_stopped_while_it_is_measured_can_be_measured_later(
    fixture_model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "measure", stop)
    with pytest.raises(cancel.Cancelled):
        timed(tmp_path / "run", "reward", fixture_model, data, **SMALL)
    found = manifest(tmp_path / "run")
    assert found["metrics"]["accuracy"]["n"] == 6 and "latency" not in found


def test_the_fastest_of_the_passes_counts_and_models_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that passes as told."""
    asked: list[int] = []
    now = [0.0]
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    slow, fast = nn.Linear(1, 1), nn.Linear(1, 1)
    waits = {slow: [0.05, 0.03, 0.04], fast: [0.02, 0.03, 0.01]}
    seen = {slow: -latency.WARM_UP, fast: -latency.WARM_UP}

    def timed(model: nn.Module, _pair: Any) -> None:
        asked.append(id(model))
        if seen[model] >= 0:
            now[0] += waits[model][seen[model] % latency.PASSES]
        seen[model] += 1

    first, second = latency.timings(timed, [slow, fast], [None] * 4)
    assert first == pytest.approx([0.03] * 4) and second == pytest.approx([0.01] * 4)
    assert asked == [id(slow), id(fast)] * (len(asked) // 2)


@pytest.mark.parametrize("room", [True, False])
def test_without_room_for_two_models_they_are_timed_one_after_the_other(
    fixture_model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    monkeypatch.setattr(latency, "_has_room_beside", lambda _model: room)
    found = timed(tmp_path / "run", "reward", fixture_model, data, **SMALL)["latency"]
    assert found["alternated"] is room and measured(found) == {"base", "unmerged", "merged"}


def test_a_median_lies_between_the_values_that_its_ranks_name() -> None:
    assert median(range(1, 21)) == {"value": 10.5, "low": 6, "high": 15, "n": 20}
    assert median(range(1, 7)) == {"value": 3.5, "low": 1, "high": 6, "n": 6}
    assert median([1.0] * 5)["value"] is None
