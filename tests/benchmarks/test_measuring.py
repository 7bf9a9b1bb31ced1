"""What the benchmarks measure with: operations a second of known GPUs, and the memory of a child."""

import subprocess
import sys

import pytest

from benchmarks.memory import peak
from benchmarks.operations import stated

# It stays a while, so that it is looked at while it is there.
LOUD = "import sys, time; time.sleep(1); sys.stderr.write('x' * 300_000 + 'the end'); sys.exit({code})"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40", ""),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A10", ""),
        ("NVIDIA H200", "H200"),
    ],
)
def test_a_gpu_is_known_by_whole_words_of_its_name(name: str, part: str) -> None:
    assert stated(name) == part


def test_a_child_that_says_more_than_a_pipe_holds_comes_to_its_end() -> None:
    assert peak([sys.executable, "-c", LOUD.format(code=0)]) > 1e6
    with pytest.raises(subprocess.CalledProcessError) as failed:
        peak([sys.executable, "-c", LOUD.format(code=3)])
    assert failed.value.returncode == 3 and failed.value.stderr.endswith("the end")
