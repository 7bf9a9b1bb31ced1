"""Settings of an export: what is written as a plain Hugging Face directory, how, and whether it goes to a hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from training.recipes.errors import RecipeError
from training.recipes.hub_ids import is_hub_id
from training.recipes.words import gettext_noop

MERGED, ADAPTER = "merged", "adapter"
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def export_folder(cache: Path, project: str, folder: str) -> Path:
    """Where an export of a project stands in the folder of models."""
    return cache / "exports" / project / folder


@dataclass(frozen=True)
class ExportConfig:
    """Nothing is trained. `repository` is where the directory is pushed to; empty for nowhere."""

    folder: str = field(
        default="model",
        metadata={
            "label": gettext_noop("Name of the directory"),
            "source": "a form begins with the model's own name",
            "help": gettext_noop(
                "Letters, digits, dot, dash and underscore. A directory that exists is never touched."
            ),
        },
    )
    form: str = field(
        default=MERGED,
        metadata={
            "label": gettext_noop("What is written"),
            "help": gettext_noop(
                "The whole model can be loaded by transformers alone. An adapter is small, and needs PEFT and its base."
            ),
            "choices": (MERGED, ADAPTER),
            "source": "a whole model is what most programs take",
        },
    )
    dtype: str = field(
        default="float32",
        metadata={
            "label": gettext_noop("Precision of the weights"),
            "help": gettext_noop(
                "float32 keeps every bit of what was trained; bfloat16 and float16 halve the size and round weights."
            ),
            "choices": ("float32", "bfloat16", "float16"),
            "only_if": {"form": (MERGED,)},
            "source": "merged in fp32, so that nothing is rounded unasked",
        },
    )
    repository: str = field(
        default="",
        metadata={
            "label": gettext_noop("Push to the hub as"),
            "help": gettext_noop(
                "owner/name of a repository that does not exist yet. Empty: nothing leaves this machine. It takes a "
                "token that may write, as HF_TOKEN in the environment of the worker; without one the run ends at once."
            ),
            "source": "nothing is published unasked",
        },
    )
    private: bool = field(
        default=True,
        metadata={
            "label": gettext_noop("Private on the hub"),
            "help": gettext_noop("Only you and the members of its owner see it. It can be opened on the hub later."),
            "source": "nothing is published unasked",
        },
    )

    def __post_init__(self) -> None:
        """Raises RecipeError for a name that could leave the folder of exports, or that no hub knows."""
        if not FOLDER.fullmatch(self.folder) or self.folder.endswith((".tmp", ".")):
            said = gettext_noop(
                "%(name)s cannot be the name of a directory: use letters, digits, dot, dash and underscore, begin with "
                "a letter or digit, and do not end with .tmp or a dot."
            )
            raise RecipeError("folder", said, name=repr(self.folder))
        if self.repository and not is_hub_id(self.repository):
            said = gettext_noop("%(name)s is no hub id: it looks like owner/name.")
            raise RecipeError("repository", said, name=repr(self.repository))
