"""Fixtures of the training room's tests: a tiny real model, built once a session; the hub is never asked."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

from tests.training.fixture_model import build_fixture_model
from training.ml import cancel


@pytest.fixture(scope="session")
def fixture_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("fixture") / "model")


@pytest.fixture(scope="session")
def fixture_model_pad_is_eos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("fixture") / "pad-is-eos", pad_is_eos=True)


@pytest.fixture(autouse=True)
def no_cancel_left_over():
    cancel.reset()
    yield
    cancel.reset()
