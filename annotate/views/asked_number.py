"""Reads a number out of an address or a form, where anybody may have written anything."""


def is_number(text: str) -> bool:
    """Of so few digits that Python reads it and every database compares with it."""
    return text.isascii() and text.isdecimal() and len(text) < 16
