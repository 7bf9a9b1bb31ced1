"""Held-out pairs of the evaluation's tests, with what their snapshot says of them."""

from __future__ import annotations

from typing import Any

from training.ml.pairs import Pair


def held_out(name: str, chosen: str = "aa", rejected: str = "b", **fields: Any) -> Pair:
    ids = {"prompt_ids": [5], "chosen_ids": [6, 2], "rejected_ids": [7, 2]}
    return Pair(name, [], chosen, rejected, **(ids | fields))
