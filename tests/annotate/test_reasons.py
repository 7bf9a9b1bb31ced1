"""Every reason why a number is not defined has a sentence of its own on the page."""

import pytest

from annotate.statistics.estimate import Reason, Undefined
from annotate.templatetags.text import reason

pytestmark = pytest.mark.not_db


@pytest.mark.parametrize("member", list(Reason))
def test_a_reason_is_a_sentence_of_the_page(member: Reason) -> None:
    sentence = reason(Undefined(member))
    assert sentence != str(member)
    assert sentence.endswith(".")


def test_no_two_reasons_share_a_sentence() -> None:
    assert len({reason(Undefined(member)) for member in Reason}) == len(Reason)
