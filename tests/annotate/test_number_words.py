"""Numbers on pages: no minus before nothing, and small settings without an exponent."""

import pytest

from annotate.shares import as_percent, as_rounded_percent, percents
from annotate.statistics.estimate import Estimate
from annotate.templatetags.text import interval_number, value_number
from training.recipes.decimals import plain
from training.templatetags.training_pages import number, setting


def test_what_rounds_to_nothing_has_no_sign() -> None:
    outcome = Estimate(-0.001, -0.004, 0.31, 40)
    assert (value_number(outcome), interval_number(outcome)) == ("0.00", "0.00 to 0.31")
    assert (number(-0.0), number(-0.25)) == ("0", "−0.25")


@pytest.mark.parametrize(
    ("value", "said"), [(0.0002, "0.0002"), (5e-05, "0.00005"), (1.5e-05, "0.000015"), (1e-12, "1e-12"), (1.0, "1.0")]
)
def test_learning_rates_are_written_in_one_way(value: float, said: str) -> None:
    assert plain(str(value)) == setting(value) == said


def test_shares_are_percentages() -> None:
    assert (as_percent(0.544), as_percent(0.0056, 1), percents(0.5, 0.581)) == ("54 %", "0.6 %", "50–58 %")
    assert (as_rounded_percent(0.05), as_rounded_percent(0.004)) == ("5 %", "0.4 %")
