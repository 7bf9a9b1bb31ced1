"""Where the sentences of a text end, in English and in Chinese; lines end too, since headings have no full stop."""

from __future__ import annotations

import re

CLOSING = re.escape("\"'”’」』）)】》]*_")
# A Chinese mark ends a sentence wherever it stands. A Latin one does before white space, so that 3.14 and a.py stay
# whole, and before a Chinese character, where it was typed in place of a Chinese mark.
END = re.compile(
    rf"[。！？…]+[{CLOSING}]*|[.!?]+[{CLOSING}]*(?=\s)|[!?]+[{CLOSING}]*(?=[\u4e00-\u9fff])|\n+",
)
# A full stop behind one of these ends nothing.
SHORT = {
    "mr",
    "mrs",
    "ms",
    "dr",
    "prof",
    "st",
    "vs",
    "e.g",
    "i.e",
    "eg",
    "ie",
    "cf",
    "fig",
    "vol",
    "pp",
    "al",
    "approx",
}
WORD = re.compile(r"[\w.]*$")


def sentence_ends(text: str) -> list[int]:
    """Offsets behind each sentence, white space left out; the last one is the end of the text, which is scored as it
    stands. [0] for an empty text."""
    ends: list[int] = []
    begin = 0
    for mark in END.finditer(text):
        end = mark.start() if mark.group().startswith("\n") else mark.end()
        if not text[begin:end].strip() or _goes_on(text, begin, mark):
            continue
        ends.append(begin + len(text[begin:end].rstrip()))
        begin = mark.end()
    if not ends or text[begin:].strip():
        return [*ends, len(text)]
    return [*ends[:-1], len(text)]


def _goes_on(text: str, begin: int, mark: re.Match[str]) -> bool:
    """Behind an abbreviation, an initial or the number of a list entry a single full stop ends nothing."""
    if mark.group() != ".":
        return False
    before = text[begin : mark.start()]
    word = WORD.search(before).group().lower()  # type: ignore[union-attr]
    if word in SHORT:
        return True
    alone = before.strip().lower() == word
    is_initial = len(word) == 1 and word.isascii() and word.isalpha() and word != "i"
    return is_initial or (alone and word.isdigit())
