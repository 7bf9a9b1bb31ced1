"""Numbers of settings as people read them beside each other: 0.0002 and 0.00005, and not one of them as 5e-05."""

from decimal import Decimal

MOST_ZEROS = 8  # behind the point: more are counted, not read


def plain(number: str) -> str:
    """A number as it is written, without its exponent where it is a small one; no digit is rounded away."""
    if "e-" not in number or Decimal(number).adjusted() < -MOST_ZEROS:
        return number
    return format(Decimal(number), "f")
