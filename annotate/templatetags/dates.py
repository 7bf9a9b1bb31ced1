"""Moments on pages: one form everywhere, read by the reader's own clock where there is a script."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.timezone import localtime

register = template.Library()
# To what it is told; app.js keeps to as many signs as it finds.
FORMS = {"day": "%Y-%m-%d", "minute": "%Y-%m-%d %H:%M", "second": "%Y-%m-%d %H:%M:%S"}


@register.filter
def when(moment: datetime | None, to: str = "minute") -> str:
    """A <time>: by the server's clock as written here, in UTC on pointing at it; a dash for what has not been yet."""
    if moment is None:
        return "–"
    told, universal = f"{localtime(moment):{FORMS[to]}}", f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S UTC}"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), universal, told)
