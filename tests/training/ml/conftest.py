"""Fixtures of the training room's tests: a tiny real model, built once a session; the hub is never asked."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.architectures import build_architecture
from training.ml import cancel


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


@pytest.fixture(autouse=True)
def no_cancel_left_over():
    cancel.reset()
    yield
    cancel.reset()
