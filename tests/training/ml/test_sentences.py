"""Sentences end where a reader of English or Chinese would say so, and nothing of the text is lost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ml.sentences import sentence_ends


def sentences(text: str) -> list[str]:
    starts = [0, *sentence_ends(text)]
    return [text[a:b].strip() for a, b in pairwise(starts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("First, mix. Second, wait! Third?", ["First, mix.", "Second, wait!", "Third?"]),
        ("The answer is no. It costs 3.14 euros, see a.py for it.", None),
        ("Dr. Smith, e.g. of J. Doe, came. He left.", ["Dr. Smith, e.g. of J. Doe, came.", "He left."]),
        ("1. Mix flour.\n2. Bake it.", ["1. Mix flour.", "2. Bake it."]),
        ("He said “stop.” Then he left...", ["He said “stop.”", "Then he left..."]),
        ("重力是吸引。地球很大！对吗？", ["重力是吸引。", "地球很大！", "对吗？"]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("真的吗?是的。Yes. 好", ["真的吗?", "是的。", "Yes.", "好"]),
        ("# Title\n\nText without a stop", ["# Title", "Text without a stop"]),
        ("One sentence.  \n", ["One sentence."]),
        ("", [""]),
        ("   ", [""]),
    ],
)
def test_sentences_of_english_and_chinese(text: str, expected: list[str] | None) -> None:
    found = sentences(text)
    assert found == (expected or ["The answer is no.", "It costs 3.14 euros, see a.py for it."])


@given(st.text(alphabet="aI1.!?。！？…”\"' \n\t我*", max_size=80))
def test_ends_rise_and_the_last_one_is_the_end_of_the_text(text: str) -> None:
    ends = sentence_ends(text)
    assert ends == sorted(set(ends)) and ends[-1] == len(text)
    # A sentence of white space alone would be the one before it over again.
    starts = [0, *ends]
    assert all(text[a:b].strip() for a, b in zip(starts, ends, strict=False)) or len(ends) == 1
