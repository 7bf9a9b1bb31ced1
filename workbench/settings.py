"""Settings: the desk's defaults (SQLite, embedded broker, local files), moved to a team's by environment variables.

Every variable read here is documented in docs/operator-guide.md; a test fails on one that is not.
"""

import os
import sys
import tempfile
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from workbench.broker import default_broker_url, transport_options
from workbench.secrets import make_private, read_or_create_secret

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str, default: bool) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in {"", "1", "true", "yes", "on", "0", "false", "no", "off"}:
        return default if not value else value in {"1", "true", "yes", "on"}
    raise ImproperlyConfigured(f"{name}={value!r} is neither yes nor no: use 1 or 0.")


def _whole_number(name: str, default: int, least: int = 1) -> int:
    value = os.environ.get(name, "").strip() or str(default)
    if not value.isdecimal() or int(value) < least:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number from {least} on.")
    return int(value)


def _listed(name: str, default: str) -> list[str]:
    return [entry.strip() for entry in os.environ.get(name, default).split(",") if entry.strip()]


TESTING = "pytest" in sys.modules
if TESTING:
    # pytest-django reads this file before any conftest; child processes of the tests find the same folder.
    os.environ.setdefault("PLUMBLINE_HOME", tempfile.mkdtemp(prefix="plumbline-tests-"))

# Everything the workbench writes lies below this folder. One that is there keeps its mode; `doctor` warns of it.
HOME = Path(os.environ.get("PLUMBLINE_HOME", BASE_DIR / "var")).resolve()
HOME.mkdir(mode=0o700, parents=True, exist_ok=True)

DEBUG = _flag("PLUMBLINE_DEBUG", False)
SECRET_KEY = os.environ.get("PLUMBLINE_SECRET_KEY") or read_or_create_secret(HOME / "secret-key")
ALLOWED_HOSTS = _listed("PLUMBLINE_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = _listed("PLUMBLINE_CSRF_TRUSTED_ORIGINS", "")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "annotate.apps.AnnotateConfig",
    "training.apps.TrainingConfig",
    "workbench.apps.WorkbenchConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "workbench.body_limit.BodyLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "workbench.middleware.ContentSecurityPolicyMiddleware",
    "workbench.middleware.WorkflowErrorMiddleware",
]

ROOT_URLCONF = "workbench.urls"
WSGI_APPLICATION = "workbench.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# SQLite: every transaction takes the write lock at its start, so that claim-and-write never has to be retried half-way;
# FULL because an acknowledged judgment must outlive a power cut.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
}
# PostgreSQL: a host that is gone is noticed in seconds, not in the kernel's quarter of an hour, or a supervisor would
# learn too late that its run may have been given to another. The URL's own query has the last word.
POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
DATABASES = {
    "default": dj_database_url.config(
        env="DATABASE_URL", default=f"sqlite:///{HOME / 'plumbline.sqlite3'}", conn_max_age=60, conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS
    # Tokens and sessions are in it, and SQLite itself would let everybody read it.
    make_private(Path(DATABASES["default"]["NAME"]))
    # A file, not memory: the tests start further processes on the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(HOME / "test.sqlite3")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["OPTIONS"] = {**POSTGRESQL_OPTIONS, **DATABASES["default"].get("OPTIONS", {})}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "annotate.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = os.environ.get("PLUMBLINE_TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "workbench.staticfinders.PlotlyFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Sessions of annotators last seven days, so that an outbox can be sent after a weekend, or a few days off.
SESSION_COOKIE_AGE = 7 * 24 * 3600
HTTPS = _flag("PLUMBLINE_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# A load balancer asks the web process itself, without TLS. For a proxy that does not say how it was asked, and would be
# sent in a circle, there is a variable.
SECURE_SSL_REDIRECT = HTTPS and _flag("PLUMBLINE_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = _whole_number("PLUMBLINE_HSTS_SECONDS", 30 * 24 * 3600, least=0) if HTTPS else 0
# Other names of the domain, and the lists that browsers are shipped with, are not this site's to decide about.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# How many proxies stand before the web process, each of which adds to X-Forwarded-For by whom it was asked.
PROXIES = _whole_number("PLUMBLINE_PROXIES", 1 if HTTPS else 0, least=0)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# The largest upload, 50 MB, and room for the form around it, or for what JSON escapes.
LARGEST_BODY = DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024

# A training run may last days: the broker must not take its message for lost (the claim in the database would
# stop the second execution, but a needless redelivery every hour is noise).
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or default_broker_url(HOME)
CELERY_BROKER_TRANSPORT_OPTIONS = transport_options(CELERY_BROKER_URL, HOME, visibility_timeout=7 * 24 * 3600)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"training.tasks.execute_run": {"queue": "gpu"}}
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A later one does the work of one that waited longer; minutes, because beat and worker may have clocks of their own.
BEAT_OPTIONS = {"expires": 600}
CELERY_BEAT_SCHEDULE = {
    "expire-leases": {"task": "annotate.tasks.expire_leases", "schedule": 60.0, "options": BEAT_OPTIONS},
    "reconcile-runs": {"task": "training.tasks.reconcile_runs", "schedule": 10.0, "options": BEAT_OPTIONS},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "run" / "beat-schedule")
Path(CELERY_BEAT_SCHEDULE_FILENAME).parent.mkdir(mode=0o700, exist_ok=True)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "annotate.api.asked.StrictJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_PAGINATION_CLASS": "annotate.api.asked.Pages",
    "PAGE_SIZE": 100,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "workbench.errors.api_exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Plumbline API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    # How the schema names things is nothing that `check --deploy` should tell whoever installs it.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}

# Folders of the right wing. Runs must be on storage that web and workers share.
RUNS_DIR = Path(os.environ.get("PLUMBLINE_RUNS_DIR", HOME / "runs"))
MODELS_DIR = Path(os.environ.get("PLUMBLINE_MODELS_DIR", HOME / "models"))
SNAPSHOTS_DIR = Path(os.environ.get("PLUMBLINE_SNAPSHOTS_DIR", HOME / "snapshots"))
# Below which folders models may be registered; none named: wherever the web process may read.
MODEL_ROOTS = [
    Path(entry).expanduser() for entry in os.environ.get("PLUMBLINE_MODEL_ROOTS", "").split(os.pathsep) if entry.strip()
]
# The worker's own hub token would open private models to every manager: it pushes, and reads only where told so.
HUB_READ = _flag("PLUMBLINE_HUB_READ", False)
# Seconds without a heartbeat after which a run's worker counts as lost.
HEARTBEAT_TIMEOUT = _whole_number("PLUMBLINE_HEARTBEAT_TIMEOUT", 60)
# Names of this worker host's devices, a run each at a time, e.g. "gpu0,gpu1", or "gpu0+1" for two GPUs to one run.
DEVICE_SLOTS = _listed("PLUMBLINE_DEVICE_SLOTS", "local")
# A run keeps a thread for days: one for each device, and three for the short tasks, however many runs there are.
CELERY_WORKER_CONCURRENCY = len(DEVICE_SLOTS) + 3

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("PLUMBLINE_LOG_LEVEL", "INFO")},
}

if TESTING:
    # The manifest needs a collectstatic; tests read the files where they are.
    STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
