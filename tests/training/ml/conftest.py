"""Fixtures of the training room's tests: a tiny real model, built once a session; the hub is never asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.architectures import build_architecture
from tests.training.ml.judges import foreign_model, full_judge, lora_judge
from tests.training.ml.short_answers import shorten
from training.ml import cancel

shorten()


@pytest.fixture
def single_thread() -> Iterator[None]:
    """Sums of floating point numbers depend on how many threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def fixture_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("fixture") / "model")


@pytest.fixture(scope="session")
def fixture_model_pad_is_eos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("fixture") / "pad-is-eos", pad_is_eos=True)


@pytest.fixture(scope="session")
def qwen2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With biases, and a head of its own."""
    return build_architecture("qwen2", tmp_path_factory.mktemp("fixture") / "qwen2")


@pytest.fixture(scope="session")
def gpt2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With learned positions, and queries, keys and values in one layer of the kind Conv1D."""
    return build_architecture("gpt2", tmp_path_factory.mktemp("fixture") / "gpt2")


@pytest.fixture(scope="session")
def judge(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A reward model: a LoRA on the fixture."""
    return lora_judge(tmp_path_factory.mktemp("judge"), fixture_model)


@pytest.fixture(scope="session")
def foreign_judge(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of another vocabulary."""
    directory = tmp_path_factory.mktemp("foreign")
    return full_judge(directory, foreign_model(directory / "model"))


@pytest.fixture(autouse=True)
def no_cancel_left_over():
    cancel.reset()
    yield
    cancel.reset()
