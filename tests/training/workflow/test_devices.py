"""Names of device slots, and what a run is started with on each."""

from pathlib import Path

import pytest

from training.recipes import RECIPES, can_be_shared
from training.workflow import children
from training.workflow.devices import Devices, devices_of, named_twice, share_a_gpu

pytestmark = pytest.mark.not_db


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("local", Devices(None, 1)),
        ("gpu0", Devices("0", 1)),
        ("gpu12", Devices("12", 1)),
        ("gpu0+1", Devices("0,1", 2)),
        ("gpu2+3+10", Devices("2,3,10", 3)),
        ("cpu*2", Devices("", 2)),
        ("cpu*1", Devices("", 1)),
        ("cpu", Devices("", 1)),
        ("cpu1", Devices("", 1)),
        ("cpu*0", Devices("", 1)),
        ("gpu00+01", Devices("0,1", 2)),
        ("gpu0+", Devices(None, 1)),
        ("my-gpu0", Devices(None, 1)),
    ],
)
def test_a_slot_says_how_many_processes_and_which_gpus(name: str, found: Devices) -> None:
    assert devices_of(name) == found


@pytest.mark.parametrize(
    ("slots", "twice"),
    [
        (["gpu0", "gpu1"], []),
        (["gpu0+1", "gpu2"], []),
        (["gpu0+1", "gpu1"], ["gpu1"]),
        (["gpu0+1", "gpu1+2"], ["gpu1"]),
        (["gpu0+0"], ["gpu0"]),
        (["gpu0", "gpu00"], ["gpu0"]),
        (["local", "local"], ["local"]),
        (["gpu1", "gpu10"], []),
        (["local", "gpu0"], ["local"]),
        (["gpu1", "gpuA"], ["gpuA"]),
        (["local", "cpu0", "cpu*2"], []),
    ],
)
def test_a_gpu_in_two_slots_is_found(slots: list[str], twice: list[str]) -> None:
    assert named_twice(slots, gpus_found=True) == named_twice(slots, gpus_found=False) == twice


def test_two_names_of_all_that_a_host_has_are_of_one_thing_where_that_is_a_gpu() -> None:
    assert named_twice(["a", "b", "cpu"], gpus_found=True) == ["a", "b"]
    assert named_twice(["a", "b", "cpu"], gpus_found=False) == []


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("gpu0", "gpu00", True),
        ("gpu0", "gpu1", False),
        ("gpu0+1", "gpu1+2", True),
        ("local", "gpu0", True),
        ("local", "cpu", False),
        ("cpu", "cpu*2", False),
        ("gpu0", "cpu0", False),
    ],
)
def test_two_slots_share_a_gpu_whatever_they_are_called(one: str, other: str, shared: bool) -> None:
    for found in (True, False):
        assert share_a_gpu(devices_of(one), devices_of(other), found) == shared
        assert share_a_gpu(devices_of(other), devices_of(one), found) == shared
    assert share_a_gpu(devices_of("local"), devices_of("gpuA"), True)
    assert not share_a_gpu(devices_of("local"), devices_of("gpuA"), False)


def test_recipes_that_draw_their_own_data_are_not_shared_out() -> None:
    shared = {name for name in RECIPES if can_be_shared(name)}
    assert shared == {"sft", "reward", "dpo", "kto", "orpo", "simpo"}


def test_several_devices_are_seen_by_all_processes_of_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert children._environment("gpu0+3")["CUDA_VISIBLE_DEVICES"] == "0,3"
    assert children._environment("cpu*2")["CUDA_VISIBLE_DEVICES"] == ""
    assert children._environment("local")["CUDA_VISIBLE_DEVICES"] == "7"
    assert children._environment("gpu0")["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "numbers are those of nvidia-smi"
    assert children._command(tmp_path, 2)[1:] == ["-m", "training.ml.launch", str(tmp_path), "2"]
    assert children._command(tmp_path, 1)[1:] == ["-m", "training.ml.run", str(tmp_path)]


def test_a_training_process_does_not_give_every_freed_tensor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` has its own processes do so; the child inherits them otherwise."""
    for name in children.OF_SMALL_PROCESSES:
        monkeypatch.setenv(name, "131072")
    monkeypatch.setenv("HOME", "/somewhere")
    environment = children._environment("local")
    assert environment["HOME"] == "/somewhere"
    assert not set(children.OF_SMALL_PROCESSES) & set(environment)
