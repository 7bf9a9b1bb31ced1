"""Lets processes that a test starts work on the test's own database and folders."""

import os

from django.conf import settings
from django.db import connection


def environment() -> dict[str, str]:
    """The environment of such a process."""
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "workbench.settings",
        "PLUMBLINE_RUNS_DIR": str(settings.RUNS_DIR),
        "PLUMBLINE_MODELS_DIR": str(settings.MODELS_DIR),
        "PLUMBLINE_SNAPSHOTS_DIR": str(settings.SNAPSHOTS_DIR),
    }


def database_url() -> str:
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    login = values["USER"] + (f":{values['PASSWORD']}" if values["PASSWORD"] else "")
    return f"postgres://{login}@{values['HOST'] or 'localhost'}:{values['PORT'] or 5432}/{values['NAME']}"
