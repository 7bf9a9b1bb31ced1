"""For which device an estimate is: one whose memory is not known, and several that share a run."""

from pathlib import Path

import pytest

from tests.training.test_estimate import command, config  # noqa: F401
from training.workflow import device

pytestmark = pytest.mark.usefixtures("speed_is_known")


def test_whether_it_fits_is_not_told_of_a_device_whose_memory_is_not_known(
    config: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "found", lambda: device.Found(host=8 * 10**9, gpu=0))
    said = "whether it fits is not told"
    assert said in command(config, "--recipe", "dpo", "--device", "gpu", as_json=False)
    assert said not in command(config, "--recipe", "dpo", "--device", "gpu", "--memory", "80", as_json=False)
    assert said not in command(config, "--recipe", "dpo", "--device", "cpu", as_json=False)


def test_what_several_devices_share_is_not_counted_on_each(config: Path) -> None:  # noqa: F811
    asked = ("--recipe", "sft", "--adapter", "full", "--device", "gpu", "--memory", "80")
    asked += ("--max-length", "512", "--gradient-accumulation", "4")  # whole batches, one for each
    more = ("--devices", "4", "--set")
    one = command(config, *asked)
    found = {kind: command(config, *asked, *more, f"parallel={kind}") for kind in ("ddp", "fsdp", "deepspeed")}
    held = {kind: told["memory_bytes"] for kind, told in found.items()}
    assert {told["devices"] for told in found.values()} == {4} and one["devices"] == 1
    assert held["ddp"] == one["memory_bytes"] and not found["ddp"]["fits"]
    assert held["fsdp"]["optimizer"] == one["memory_bytes"]["optimizer"] / 4 and found["fsdp"]["fits"]
    quarter, whole = one["memory_bytes"]["weights"] / 4, one["memory_bytes"]["weights"]
    assert quarter < held["fsdp"]["weights"] < whole / 2  # embeddings and two blocks are whole while they are computed
    assert held["deepspeed"]["weights"] == whole
    assert held["deepspeed"]["gradients"] == one["memory_bytes"]["gradients"] / 4
    assert "takes 4 devices: the memory is that of each" in command(config, *asked, "--devices", "4", as_json=False)
    refused = [one["refused"] for one in found["fsdp"]["methods"] if "refused" in one]
    assert any("a plain LoRA" in said for said in refused)


def test_processes_on_one_machine_take_their_number_of_times_its_memory(config: Path) -> None:  # noqa: F811
    asked = ("--recipe", "dpo", "--device", "cpu", "--gradient-accumulation", "4")
    alone = command(config, *asked)
    total = alone["process_bytes"] + alone["heap_bytes"] + alone["memory_bytes"]["total"]
    room = str(1.5 * total / 1e9)
    assert command(config, *asked, "--memory", room)["fits"]
    assert not command(config, *asked, "--memory", room, "--devices", "2")["fits"]
    told = command(config, *asked, "--memory", room, "--devices", "2", as_json=False)
    assert "by 2 processes" in told and f"takes {2 * total / 1e9:.0f} GB" in told


def test_what_draws_its_own_data_takes_one_device_of_several(config: Path) -> None:  # noqa: F811
    asked = ("--recipe", "ppo", "--device", "gpu", "--memory", "80")
    assert command(config, *asked, "--devices", "4") == command(config, *asked)
    assert "takes one of the 4 devices" in command(config, *asked, "--devices", "4", as_json=False)
