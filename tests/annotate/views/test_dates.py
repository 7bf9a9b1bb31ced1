"""Moments on pages have one form, whatever the language, and say which moment they are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone, translation

from annotate.templatetags.dates import when

NOON = datetime(2026, 3, 4, 12, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(
    ("to", "told"), [("day", "2026-03-05"), ("minute", "2026-03-05 02:05"), ("second", "2026-03-05 02:05:06")]
)
def test_a_moment_is_told_alike_in_every_language_and_names_its_utc(language: str, to: str, told: str) -> None:
    with translation.override(language), timezone.override(timezone.get_fixed_timezone(14 * 60)):
        html = when(NOON, to)
    assert html == f'<time datetime="2026-03-04T12:05:06+00:00" title="2026-03-04 12:05:06 UTC">{told}</time>'


def test_what_has_not_been_yet_is_a_dash() -> None:
    assert when(None) == "–"


def test_no_page_writes_a_moment_in_a_form_of_its_own() -> None:
    """The bars of the overview are days in a label, where there is no room for an element."""
    others = {
        template.name
        for template in Path(settings.BASE_DIR, "templates").rglob("*.html")
        if "|date:" in template.read_text() or "|time:" in template.read_text()
    }
    assert others == {"overview.html"}
