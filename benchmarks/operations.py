"""Floating-point operations of a model's passes, and how many a second this machine does in a plain matrix product."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Of a GPU what its maker states for dense bf16 products (operations a second); of a CPU, what is measured.
STATED = {
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
}
SIDE, TRIES = 1536, 5
# A GPU takes longer to be told of a product of that size than to compute it.
SIDE_ON_A_GPU, IN_A_ROW = 8192, 10
Text = tuple[int, int]  # tokens of a prompt and of a response


@dataclass(frozen=True)
class Sizes:
    """`body` and `head` are the weights that every token is multiplied with, in the blocks and in the output layer;
    `wide` is what attention adds for a token and one that it looks at: layers times the width of the queries."""

    body: int
    head: int
    wide: int

    @staticmethod
    def of(config: Any) -> Sizes:
        width, heads = config.hidden_size, config.num_attention_heads
        head = getattr(config, "head_dim", None) or width // heads
        keys = getattr(config, "num_key_value_heads", heads) * head
        block = 2 * width * heads * head + 2 * width * keys + 3 * width * config.intermediate_size
        layers = config.num_hidden_layers
        return Sizes(layers * block, config.vocab_size * width, layers * heads * head)

    def read(self, prompt: int, response: int, heads: int) -> float:
        """One forward pass over a response behind a prompt that has been read, or over a text (`prompt` 0); `heads`
        tokens are given to the output layer."""
        looked_at = response * prompt + response * (response + 1) / 2
        return 2 * self.body * response + 2 * self.head * heads + 4 * self.wide * looked_at


def pairs_once(sizes: Sizes, pairs: Sequence[tuple[int, int, int]], recipe: str, passes: int) -> float:
    """The operations that a recipe needs for pairs of (prompt, chosen, rejected) tokens, shared tokens counted once and
    logits of responses alone: a forward pass, a backward one (of the same size: only an adapter's weights have
    gradients; twice it for all weights), and for "dpo" the reference's. `passes` is 3 with all of it."""
    total = 0.0
    for prompt, *responses in pairs:
        total += sizes.read(0, prompt, 0)
        for response in responses:
            total += sizes.read(prompt, response, 0 if recipe == "reward" else response)
    return passes * total


def drawn_once(sizes: Sizes, texts: Sequence[Text], copies: int, shared: int = 0) -> float:
    """What drawing responses needs: each prompt read once for its `copies` responses, the tokens `shared` by all
    prompts once for all, each token drawn once."""
    total = sizes.read(0, shared, 0) + sum(sizes.read(prompt, response, response) for prompt, response in texts)
    return total + sum(sizes.read(shared, prompt - shared, 1) for prompt, _ in texts) / copies


def peak(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """Operations a second, of a CPU those of one core in a second of its time, and where the number comes from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name()
        if part := stated(name):
            return STATED[part], f"stated by its maker for {part}, dense bf16"
    what, side = ("this GPU", SIDE_ON_A_GPU) if device.type == "cuda" else ("a core", SIDE)
    return measured(device, dtype), f"{what}, measured: products of {side} by {side}, the fastest of {TRIES}"


def stated(name: str) -> str:
    """Which of STATED this GPU is, by whole words of its name: an L40 is no L4; "" for none of them."""
    return next((part for part in STATED if re.search(rf"(?<![A-Za-z0-9]){part}(?![A-Za-z0-9])", name)), "")


def clock(device: torch.device) -> float:
    """Of a CPU the time that this process has worked: how long it waited for its turn says nothing of either side."""
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def measured(device: torch.device, dtype: torch.dtype) -> float:
    side, times = (SIDE_ON_A_GPU, IN_A_ROW) if device.type == "cuda" else (SIDE, 1)
    one = torch.rand(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(TRIES):
        began = clock(device)
        for _ in range(times):
            found = one @ one
        found[0, 0].item()  # waits for a GPU
        seconds.append(clock(device) - began)
    return 2 * side**3 * times / min(seconds)
