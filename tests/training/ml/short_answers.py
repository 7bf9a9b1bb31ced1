"""What a policy answers before and after its training, in a few words.

Eighty tokens of each, as people read them, take four fifths of the time of a run of three steps.
"""

from dataclasses import replace

from training.ml import side_by_side

TOKENS = 12


def shorten() -> None:
    side_by_side.DRAWING = replace(side_by_side.DRAWING, max_new_tokens=TOKENS)
