"""How fast this device is at what runs do on it: `python -m training.ml.speed` prints one line of JSON.

"operations": a second, of matrix products as training makes them; "bytes": a second, of weights that are multiplied
with one row, as drawing text does it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from training.ml.device import choose_device

SIDE, WIDE, TRIES = 1024, 16384, 25


@torch.inference_mode()
def measure() -> dict[str, float]:
    """The best of some tries each, a second in all on a CPU: what else is at work there would be counted twice."""
    device = choose_device()
    made = {"device": device.torch_device, "dtype": device.dtype}
    weights, rows = torch.rand(SIDE, SIDE, **made), torch.rand(SIDE, SIDE, **made)
    table, row = torch.rand(WIDE, SIDE, **made), torch.rand(1, SIDE, **made)  # larger than a cache
    return {
        "operations": 2 * SIDE**3 / _fastest(lambda: linear(rows, weights)),
        "bytes": table.nbytes / _fastest(lambda: linear(row, table)),
    }


def _fastest(product: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(TRIES):
        began = time.perf_counter()
        product()[0, 0].item()  # waits for a GPU
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps(measure()))
