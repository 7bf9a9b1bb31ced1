"""What the end of a training process is told from."""

import errno
import os
from pathlib import Path

import pytest

from training.ml.errors import tell
from training.ml.run import explain
from training.models import RunState
from training.workflow.outcomes import KNOWN_FAILURE, outcome_of


def test_a_disk_too_full_for_the_error_itself_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*_: object, **__: object) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", refuse)
        tell(tmp_path, explain(full, tmp_path))
    (tmp_path / "run.log").write_text(f"--- start 1\n{capsys.readouterr().err}")
    outcome = outcome_of(tmp_path, "reward", KNOWN_FAILURE)
    assert (outcome.state, outcome.failure["code"]) == (RunState.FAILED, "disk_full")
    assert str(tmp_path) in outcome.reason and "resume" in outcome.hint
    assert [path.name for path in tmp_path.iterdir()] == ["run.log"], "nothing half-written is left"


def test_an_end_without_a_reason_quotes_the_last_line(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("--- start 1\nbad_data: nothing to learn from\n")
    assert "bad_data: nothing" in outcome_of(tmp_path, "reward", KNOWN_FAILURE).reason
    assert "code" not in outcome_of(tmp_path, "reward", 1).failure
