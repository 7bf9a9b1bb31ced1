"""Builds preference data with a planted rule: the response that names its steps wins (or, shuffled, a coin decides)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

TASKS = ["bake bread", "mend a bicycle", "plant a tree", "write a letter", "clean a window", "make tea", "pack a bag"]
PLACES = ["at home", "in a small kitchen", "by the river", "on a train", "in the garden", "at work", "on a farm"]
PEOPLE = ["my sister", "a child", "a new colleague", "my neighbour", "an old friend", "my class"]
WISHES = ["Keep it plain.", "Be friendly.", "There is little time.", "Nothing fancy, please.", "Use what is there."]
ACTS = [
    "take what you need from the shelf",
    "put everything on the table",
    "ask somebody to lend a hand",
    "wait until the water is warm",
    "look closely at every part",
    "use a clean cloth and a little oil",
    "cut the long pieces in half",
    "keep the small parts in a cup",
    "work slowly and without force",
    "leave it alone for an hour",
]
STEPS = ("First, {}. Then, {}. Finally, {}.", "You could {}, or {}, or {}, too.")


def planted_rows(n: int, *, seed: int = 0, shuffled: bool = False, repeat: int = 1) -> list[dict[str, Any]]:
    """`n` pairs, one per prompt, as rows of a snapshot. Both responses have three acts, drawn apart, so that length
    says nothing; `repeat` makes the responses so many times longer. `shuffled` turns one of every two pairs around, a
    coin decides which: neither form wins more often, so every rule is right on half of them."""
    draw = random.Random(seed)
    rows, turned = [], False
    for number in range(n):
        question = (
            f"How do I {draw.choice(TASKS)} {draw.choice(PLACES)} with {draw.choice(PEOPLE)}? "
            f"{draw.choice(WISHES)} (Question {number})"
        )
        stepwise, loose = (" ".join(form.format(*draw.sample(ACTS, 3)) for _ in range(repeat)) for form in STEPS)
        turned = draw.random() < 0.5 if number % 2 == 0 else not turned
        chosen, rejected = (loose, stepwise) if shuffled and turned else (stepwise, loose)
        rows.append(row(f"p{number}", question, chosen, rejected))
    return rows


def row(name: str, question: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "id": name,
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "weight": 1.0,
        "soft_label": 1.0,
        "n_votes": 1,
    }


# A file has those of them that its rows have.
OPTIONAL = [
    ("votes_chosen", pyarrow.int64()),
    ("votes_tie", pyarrow.int64()),
    ("votes_rejected", pyarrow.int64()),
    ("annotators", pyarrow.list_(pyarrow.string())),
    ("tags", pyarrow.list_(pyarrow.string())),
    ("language", pyarrow.string()),
    ("strength", pyarrow.float64()),
    ("adjudicated", pyarrow.bool_()),
]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    message = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("prompt", message),
            ("chosen", message),
            ("rejected", message),
            ("weight", pyarrow.float64()),
            ("soft_label", pyarrow.float64()),
            ("n_votes", pyarrow.int64()),
            *(column for column in OPTIONAL if any(column[0] in row for row in rows)),
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)
    return path


def write_planted(
    directory: Path, *, train: int, test: int, seed: int = 0, shuffled: bool = False, repeat: int = 1
) -> dict[str, str]:
    """train.parquet and test.parquet, split by prompt (every prompt has one pair); the `data` of a job.json."""
    rows = planted_rows(train + test, seed=seed, shuffled=shuffled, repeat=repeat)
    return {
        "train": str(write_rows(directory / "train.parquet", rows[:train])),
        "test": str(write_rows(directory / "test.parquet", rows[train:])),
        "snapshot_hash": f"planted-{seed}-{train}-{test}-{shuffled}-{repeat}",
    }


def write_of_many_kinds(folder: Path) -> dict[str, str]:
    """Pairs of which every fourth has three responses to its prompt, and ties: two responses of the same form."""
    found = write_planted(folder, train=24, test=12)
    rows = planted_rows(24)
    more = [
        {
            **one,
            "id": f"{one['id']}b",
            "chosen": other["chosen"],
            "votes_chosen": 3,
            "votes_tie": 1,
            "votes_rejected": 1,
        }
        for one, other in zip(rows[::4], rows[1::4], strict=True)
    ]
    write_rows(folder / "train.parquet", rows + more)
    ties = [
        {**row(f"t{i}", f"Question {i}", a["chosen"][0]["content"], b["chosen"][0]["content"]), "soft_label": 0.5}
        for i, (a, b) in enumerate(zip(rows[::2], rows[1::2], strict=True))
    ]
    return {**found, "ties_train": str(write_rows(folder / "ties_train.parquet", ties))}
