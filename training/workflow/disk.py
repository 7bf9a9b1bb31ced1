"""What a run will take of the disk, told before it begins."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from training.models import Artifact
from training.recipes.export import MERGED
from training.workflow.artifacts import model_spec
from training.workflow.exceptions import TooLittleDisk
from training.workflow.folders import nearest_existing
from training.workflow.sizes import size

# Adapter, checkpoint, samples and log of a run.
SMALL_RUN = 200 * 2**20
# PPO's checkpoint also holds the value model, and the responses of a step with their probabilities.
VALUE_MODEL = SMALL_RUN
# A 4-bit GGUF file becomes 32-bit safetensors.
GGUF_GROWTH = 8
# Weights and two moments of the optimizer in the checkpoint, the checkpoint before it while it is written, the result.
FULL_GROWTH = 7
# The demo model is kept as 538 MB of safetensors.
DEMO_COPY = 600_000_000
# A base in 16 bits that is merged or exported in 32.
PLAIN_GROWTH = 2
# A recipe with its settings.
Planned = tuple[str, dict[str, Any]]


def enough_disk(model: Artifact, planned: Sequence[Planned], where: Path | None = None) -> None:
    """Raises TooLittleDisk with what is free and what is wanted; `where`, if not with the runs, is with the models."""
    wanted = disk_wanted(model, planned)
    folder = nearest_existing(where or Path(settings.RUNS_DIR))
    free = shutil.disk_usage(folder).free
    if free < wanted:
        sizes = {"folder": folder, "free": size(free), "wanted": size(wanted)}
        variable = "PLUMBLINE_MODELS_DIR" if where else "PLUMBLINE_RUNS_DIR"
        raise TooLittleDisk(
            _("%(folder)s has %(free)s left; this needs about %(wanted)s.") % sizes,
            _("Free some under “Disk use” on the page “Models”, or move %(variable)s to a larger disk.")
            % {"variable": variable},
        )


def disk_wanted(model: Artifact, planned: Sequence[Planned]) -> int:
    """Bytes, from the size of the base model on this disk; a hub id is taken for small: the network is not asked."""
    base = Path(model_spec(model)["base"])
    if base.is_file():
        full, converted = base.stat().st_size * GGUF_GROWTH, base.stat().st_size * GGUF_GROWTH
    else:
        full, converted = sum(path.stat().st_size for path in base.glob("*.safetensors")), 0
    layers = _layers(base)
    return converted + sum(_of_run(recipe, config, full, layers) for recipe, config in planned)


def _of_run(recipe: str, config: dict[str, Any], full: int, layers: int) -> int:
    """Every adapter is small beside its model; trained layers count by their number, so embeddings are on top."""
    if recipe == "merge" or (recipe == "export" and config["form"] == MERGED):
        return full * (PLAIN_GROWTH if config.get("dtype", "float32") == "float32" else 1)
    adapter = config.get("adapter")
    share = {"full": 1.0, "last_layers": min(1.0, config.get("layers", 1) / layers)}.get(adapter, 0.0)
    return int(full * FULL_GROWTH * share) + (SMALL_RUN if share < 1 else 0) + (VALUE_MODEL if recipe == "ppo" else 0)


def _layers(base: Path) -> int:
    """Of the base model; 1, the worst case, where it cannot be read."""
    try:
        return max(1, int(json.loads((base / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 1
