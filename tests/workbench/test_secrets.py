"""The secret key: made once, private from its first byte, the same for all who ask."""

import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.secrets import read_or_create_secret

pytestmark = pytest.mark.not_db


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret-key"
    secret = read_or_create_secret(path)
    assert len(secret) >= 50
    assert read_or_create_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(read_or_create_secret, [tmp_path / "secret-key"] * 32))
    assert len(secrets) == 1


def test_a_full_disk_leaves_no_empty_file_that_later_starts_would_wait_for(tmp_path: Path) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, usual[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            read_or_create_secret(tmp_path / "secret-key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert len(read_or_create_secret(tmp_path / "secret-key")) >= 50


def test_an_empty_file_is_named_instead_of_being_used_as_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret-key").touch()
    with pytest.raises(RuntimeError, match="is empty: delete it"):
        read_or_create_secret(tmp_path / "secret-key")
