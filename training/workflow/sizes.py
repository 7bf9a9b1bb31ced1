"""Says how much memory or disk something takes, in round figures."""

UNITS = (("GB", 1e9), ("MB", 1e6), ("KB", 1e3))


def size(number: float) -> str:
    """1.2 GB, 34 MB."""
    unit, one = next(((unit, one) for unit, one in UNITS if number >= one), UNITS[-1])
    value = number / one
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
