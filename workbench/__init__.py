"""The Django project: settings, URLs, Celery, WSGI; nothing of the domain."""

from workbench.celery import app as celery_app

__all__ = ["celery_app"]
