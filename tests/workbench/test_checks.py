"""Wrong settings are found at the start, each under its id."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("workbench.E001", {"DATABASES": {"default": {"ENGINE": "django.db.backends.mysql"}}}),
    ("workbench.E002", {"CELERY_BROKER_URL": "carrier-pigeon://roof"}),
    ("workbench.E003", {"DEVICE_SLOTS": ["gpu0", "gpu0"]}),
    ("workbench.E003", {"DEVICE_SLOTS": []}),
    ("workbench.E003", {"DEVICE_SLOTS": ["gpu0+1", "gpu1"]}),
    ("workbench.E003", {"DEVICE_SLOTS": ["gpu0+0"]}),
    ("workbench.E003", {"DEVICE_SLOTS": ["gpu0", "gpu00"]}),
    ("workbench.E003", {"DEVICE_SLOTS": ["local", "gpu0"]}),
    ("workbench.E004", {"HEARTBEAT_TIMEOUT": 5}),
    ("workbench.E005", {"SECRET_KEY": "short"}),
    ("workbench.W001", {"HTTPS": True, "CSRF_TRUSTED_ORIGINS": []}),
    ("workbench.W002", {"DEBUG": True, "ALLOWED_HOSTS": ["label.example.org"]}),
]


def test_the_defaults_pass_every_check() -> None:
    assert [message for message in run_checks() if message.id.startswith("workbench.")] == []


@pytest.mark.parametrize(("identity", "changes"), WRONG)
def test_a_wrong_setting_is_named_with_its_mend(identity: str, changes: dict[str, Any], settings: LazySettings) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    found = [message for message in run_checks() if message.id.startswith("workbench.")]
    assert [message.id for message in found] == [identity]
    assert found[0].hint
