"""The right wing in Django's admin: for looking things up. States change by verbs only."""

from django.contrib import admin

from annotate.admin import ReadOnly
from training.models import Artifact, Round, Run, RunEvent


class RunEvents(ReadOnly, admin.TabularInline):
    model = RunEvent


@admin.register(Run)
class RunAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["id", "name", "project", "recipe", "state", "attempt", "worker", "heartbeat_at"]
    list_filter = ["state", "recipe", "project"]
    inlines = [RunEvents]


@admin.register(Artifact)
class ArtifactAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["id", "name", "project", "task", "is_adapter", "parent", "snapshot", "created_at"]
    list_filter = ["task", "project"]


@admin.register(Round)
class RoundAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["id", "number", "project", "snapshot", "base_policy", "created_at"]
    list_filter = ["project"]
