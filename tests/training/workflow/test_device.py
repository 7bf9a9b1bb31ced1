"""The memory of this machine is what a process here may take of it."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from training.workflow import device
from training.workflow.cgroups import memory_limits

pytestmark = pytest.mark.not_db
GROUPS = {
    # In its own place, and two above it; "max" is no limit.
    "v2": ("0::/pod/box\n", {"pod/box/memory.max": "max", "pod/memory.max": "8000", "memory.max": "9"}, [8000, 9]),
    "v2 seen from inside": ("0::/docker/abc\n", {"memory.max": "4000000000\n"}, [4 * 10**9]),
    "v1": (
        "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n",
        {"memory/box/memory.limit_in_bytes": "2000", "memory/memory.limit_in_bytes": "9223372036854771712"},
        [2000, 9223372036854771712],
    ),
    "none": ("0::/\n", {}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_the_limits_of_a_group_and_of_those_above_it_are_found(name: str, tmp_path: Path) -> None:
    told, files, limits = GROUPS[name]
    for path, content in {
        "proc/self/cgroup": told,
        **{f"sys/fs/cgroup/{p}": said for p, said in files.items()},
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    assert sorted(memory_limits(tmp_path)) == sorted(limits)


@pytest.mark.parametrize(
    ("slots", "gpu", "cpu"),
    [(["gpu0+1+2", "gpu3", "cpu*2"], 3, 2), (["local"], 1, 1), (["gpu0", "cpu"], 1, 1), ([], 1, 1)],
)
def test_a_run_is_given_as_many_devices_as_the_largest_slot_has(
    slots: list[str], gpu: int, cpu: int, settings: Any
) -> None:
    settings.DEVICE_SLOTS = slots
    assert (device.machine("gpu", 1).devices, device.machine("cpu", 1).devices) == (gpu, cpu)
    assert device.machine("gpu", 1, 5).devices == 5


def test_where_there_are_no_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limits(tmp_path) == []


def test_the_smaller_of_the_machine_and_what_is_allowed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    there = psutil.virtual_memory().total
    for limits, found in (([there // 2, there * 2], there // 2), ([there * 2], there), ([], there)):
        monkeypatch.setattr(device, "memory_limits", lambda limits=limits: limits)
        assert device.found.__wrapped__().host == found
