"""Wrong settings, found at every start: Django system checks with an id each."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from training.workflow.devices import has_gpu, named_twice

DATABASE_ENGINES = {"django.db.backends.sqlite3", "django.db.backends.postgresql"}
BROKER_SCHEMES = {"redis", "rediss", "redis+socket", "valkey", "amqp", "amqps", "pyamqp", "filesystem", "memory"}
# The worker writes a heartbeat every few seconds; anything nearer to that takes a slow disk for a lost worker.
SHORTEST_HEARTBEAT_TIMEOUT = 15
SHORTEST_SECRET_KEY = 32

Apps = Sequence[AppConfig] | None


@register()
def check_database(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Leases are claimed with `BEGIN IMMEDIATE` or `SKIP LOCKED`: other databases have been tried by nobody."""
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine in DATABASE_ENGINES:
        return []
    return [Error(f"DATABASE_URL names {engine}.", hint="Use sqlite:///… or postgres://….", id="workbench.E001")]


@register()
def check_broker(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    scheme = settings.CELERY_BROKER_URL.split("://")[0]
    if scheme in BROKER_SCHEMES:
        return []
    hint = "Use redis://…, rediss://…, amqp://…, or leave it out for the embedded broker."
    return [Error(f"CELERY_BROKER_URL begins with {scheme!r}, which names no broker.", hint=hint, id="workbench.E002")]


@register()
def check_device_slots(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    slots = settings.DEVICE_SLOTS
    if slots and not named_twice(slots, has_gpu()):
        return []
    hint = (
        "Name each device of this host once, for example PLUMBLINE_DEVICE_SLOTS=gpu0,gpu1 or gpu0+1,gpu2. A name of no "
        "GPU that does not begin with cpu, as local, is all that the host has."
    )
    return [Error(f"PLUMBLINE_DEVICE_SLOTS is {','.join(slots)!r}.", hint=hint, id="workbench.E003")]


@register()
def check_heartbeat(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    if settings.HEARTBEAT_TIMEOUT >= SHORTEST_HEARTBEAT_TIMEOUT:
        return []
    hint = f"Use at least {SHORTEST_HEARTBEAT_TIMEOUT} seconds, or running jobs count as lost and start again."
    message = f"PLUMBLINE_HEARTBEAT_TIMEOUT is {settings.HEARTBEAT_TIMEOUT} seconds."
    return [Error(message, hint=hint, id="workbench.E004")]


@register()
def check_secret_key(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    if len(settings.SECRET_KEY) >= SHORTEST_SECRET_KEY:
        return []
    hint = f"Give at least {SHORTEST_SECRET_KEY} random characters, or leave it out: one is made in {settings.HOME}."
    return [Error("PLUMBLINE_SECRET_KEY is too short to be safe.", hint=hint, id="workbench.E005")]


@register()
def check_https(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Behind a proxy Django compares the Origin header with this list, and every form fails when it is empty."""
    if not settings.HTTPS or settings.CSRF_TRUSTED_ORIGINS:
        return []
    hint = "Set PLUMBLINE_CSRF_TRUSTED_ORIGINS=https://the.public.name when the proxy changes the Host header."
    return [Warning("PLUMBLINE_HTTPS is on without trusted origins.", hint=hint, id="workbench.W001")]


@register()
def check_debug(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Debug pages show settings and source lines to whoever meets an error."""
    strangers = [host for host in settings.ALLOWED_HOSTS if host not in {"127.0.0.1", "localhost", "[::1]"}]
    if not settings.DEBUG or not strangers:
        return []
    hint = "Take PLUMBLINE_DEBUG away, or keep PLUMBLINE_ALLOWED_HOSTS to this machine."
    return [Warning(f"PLUMBLINE_DEBUG is on and {', '.join(strangers)} may connect.", hint=hint, id="workbench.W002")]
