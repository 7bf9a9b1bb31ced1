"""Registers the project itself as an application: it brings commands, checks of the settings, and the translations."""

from django.apps import AppConfig

from workbench import checks as checks
from workbench.translations import compile_or_warn


class WorkbenchConfig(AppConfig):
    name = "workbench"

    def ready(self) -> None:
        compile_or_warn()
