"""Registers the project itself as an application: it brings commands and checks of the settings."""

from django.apps import AppConfig

from workbench import checks as checks


class WorkbenchConfig(AppConfig):
    name = "workbench"
