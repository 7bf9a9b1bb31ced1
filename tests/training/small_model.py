"""A model of which there is a config.json alone, which is all that an estimate reads, and a machine of known speed."""

import json
from pathlib import Path
from typing import Any

from annotate.models import Project
from training.models import Artifact

SPEED = {"operations": 2e11, "bytes": 1e10}
SIZES: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def small_model(project: Project, folder: Path) -> Artifact:
    (folder / "config.json").write_text(json.dumps(SIZES))
    return Artifact.objects.create(project=project, name="small", location=str(folder))
