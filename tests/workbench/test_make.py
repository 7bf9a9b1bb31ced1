"""What `make` says before there is a virtual environment that could say anything."""

import subprocess

import pytest

from tests.workbench.server import ROOT

pytestmark = pytest.mark.not_db


def make(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_an_unsupported_python_is_one_clear_line() -> None:
    done = make("python", "PYTHON=/bin/false")
    assert done.returncode != 0
    assert "Plumbline needs Python 3.11 or newer" in done.stderr.splitlines()[0]


def test_a_supported_python_is_found_without_being_named() -> None:
    assert make("python").returncode == 0
