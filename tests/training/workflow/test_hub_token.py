"""The hub token of a worker pushes: a model is read without it, so that no manager reads what only the worker may."""

import subprocess
import sys

import pytest
from django.conf import LazySettings

from training.workflow import children

pytestmark = pytest.mark.not_db
# Asks the hub's library itself, as from_pretrained does and as a push does.
SENT = (
    "from huggingface_hub.utils import build_hf_headers as of;"
    "print('authorization' in of(), of(token='hf_own').get('authorization'))"
)


def sent(environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", SENT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_worker")


def test_a_training_process_reads_models_without_the_workers_token(token: None) -> None:
    assert sent(children._environment("local")) == "False Bearer hf_own"


def test_an_operator_may_have_it_used_for_reading(token: None, settings: LazySettings) -> None:
    settings.HUB_READ = True
    assert sent(children._environment("local")) == "True Bearer hf_own"
