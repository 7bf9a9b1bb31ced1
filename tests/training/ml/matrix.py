"""What every recipe does with every adapter method, as test_matrix.py tries it; writes the tables of docs/adapters.md.

`python -m tests.training.ml.matrix` writes them anew between their markers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from training.recipes import RECIPES
from training.recipes.adapters import HEAD, MERGEABLE, VIRTUAL_TOKENS
from training.recipes.reward import METHODS

DOCUMENT = Path(__file__).parents[3] / "docs" / "adapters.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
TRAINING = [name for name, config in RECIPES.items() if "adapter" in {field.name for field in fields(config)}]


@dataclass(frozen=True)
class Cell:
    """`refusal` is the code of the error that a run ends with, "" where it ends with an artifact."""

    recipe: str
    adapter: str
    refusal: str = ""


# A cell that is not named here trains, is saved, loaded again and used.
REFUSALS: dict[tuple[str, str], str] = {(name, HEAD): "bad_config" for name in TRAINING if name != "reward"}
CELLS = [Cell(recipe, adapter, REFUSALS.get((recipe, adapter), "")) for recipe in TRAINING for adapter in METHODS]

# What a method asks of the base; on another one a run ends with this code.
NEEDS = {"bias": ("a base with biases (GPT-2, Qwen2, BERT; a Llama has none)", "no_biases")}
KEPT = {
    "full": "the whole model",
    "lora": "two matrices a layer",
    "qlora": "two matrices a layer",
    "ia3": "three vectors a block",
    "houlsby": "four matrices a block",
    "prefix": "keys and values; the network that makes them",
    "p_tuning_v2": "keys and values",
    "p_tuning": "virtual tokens; the network that makes them",
    "prompt_tuning": "virtual tokens",
    "last_layers": "the layers it trained",
    "bias": "the biases",
    "head": "the score head",
}


def tables() -> str:
    """Markdown."""
    return f"{_recipes()}\n\n{_properties()}"


def written(document: str) -> str:
    """The document with the tables as they are now."""
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{tables()}\n\n{END}", document, flags=re.DOTALL)


def _recipes() -> str:
    refusals = {(cell.recipe, cell.adapter): cell.refusal for cell in CELLS}
    rows = [[f"`{name}`", *(_mark(refusals[recipe, name]) for recipe in TRAINING)] for name in METHODS]
    return _table(["adapter", *(f"`{recipe}`" for recipe in TRAINING)], rows)


def _mark(refusal: str) -> str:
    return f"refused: `{refusal}`" if refusal else "yes"


def _properties() -> str:
    return _table(["adapter", "what is saved", "trained on further", "needs"], [_property(name) for name in METHODS])


def _property(name: str) -> list[str]:
    why = "virtual tokens are no weights" if name in VIRTUAL_TOKENS else "its layer is not linear"
    why = "it is a reward model's" if name == HEAD else why
    further = "yes, merged" if name in MERGEABLE else f"no: {why}"
    needs = f"{NEEDS[name][0]}, otherwise `{NEEDS[name][1]}`" if name in NEEDS else ""
    return [f"`{name}`", KEPT[name], "yes" if name == "full" else further, needs]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
