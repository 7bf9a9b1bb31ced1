"""Looks at where a model is said to be, without loading it: a folder, a GGUF file or a hub id."""

import json
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from annotate.lists import listed
from training.models import Task
from training.recipes.encoders import FAMILIES, is_encoder
from training.recipes.hub_ids import is_hub_id
from training.workflow.classifiers import has_score_head, is_classifier, labels_of
from training.workflow.exceptions import ModelNotFound, ModelRefused

GGUF_MAGIC = b"GGUF"
# Classes that bring no special tokens of their own: what their files do not name is not there.
PLAIN_TOKENIZERS = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def checked_location(location: str) -> str:
    """The location in the form in which it is stored. Raises ModelNotFound or ModelRefused, saying what is missing."""
    location = location.strip()
    try:
        return _looked_at(location)
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of somebody who has none
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelRefused(
            _("“%(location)s” cannot be looked at: %(reason)s.") % {"location": location, "reason": reason},
            _("Give a path that the web server may read, or a hub id such as owner/name."),
        ) from error


def _looked_at(location: str) -> str:
    path = Path(location).expanduser()
    if location and path.is_dir():
        _check_folder(path)
        return str(path.resolve())
    if location and path.is_file():
        _check_gguf(path)
        return str(path.resolve())
    if is_hub_id(location):
        return location
    raise ModelNotFound(
        _("There is no model at “%(location)s”.") % {"location": location},
        _("Give a folder with safetensors, a GGUF file, or a hub id such as owner/name."),
    )


def task_at(location: str) -> Task | None:
    """Of a checked location: what the model there is for; None for a hub id, which is not looked at."""
    path = Path(location)
    if path.is_dir():
        return _task(_config(path))
    return Task.POLICY if path.is_file() else None


def _task(config: dict[str, Any]) -> Task | None:
    """None where it is of no use here."""
    if _is_encoder(config):
        return Task.ENCODER
    if is_classifier(config):
        return Task.REWARD if labels_of(config) == 1 else None
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in _architectures(config))
    return Task.POLICY if causal else None


def _architectures(config: dict[str, Any]) -> list[str]:
    return [str(name) for name in config.get("architectures") or []]


def _is_encoder(config: dict[str, Any]) -> bool:
    return is_encoder(str(config.get("model_type", "")), _architectures(config))


def _check_folder(path: Path) -> None:
    config = _config(path)
    if (path / "adapter_config.json").is_file() and not config:
        raise ModelRefused(
            _("%(path)s holds an adapter, not a model.") % {"path": path}, _("Register the base model it belongs to.")
        )
    if not config:
        raise ModelRefused(
            _("%(path)s has no readable config.json.") % {"path": path},
            _("Choose the folder that holds config.json, the safetensors and the tokenizer."),
        )
    task = _task(config)
    if task is None:
        raise _of_no_use(path, config)
    _check_weights(path)
    if task == Task.REWARD:
        _check_head(path)
    _check_tokenizer(path, encoder=task == Task.ENCODER)


def _of_no_use(path: Path, config: dict[str, Any]) -> ModelRefused:
    names = listed(_architectures(config)) or _("no architecture")
    if is_classifier(config):
        names = _("%(names)s with %(n)s labels") % {"names": names, "n": labels_of(config)}
    return ModelRefused(
        _("%(path)s is no causal language model: its config.json names %(names)s.") % {"path": path, "names": names},
        _(
            "Choose a model that writes text (its architecture ends in ForCausalLM), a reward model (ForSequence"
            "Classification with one label), or to train reward models on an encoder of one of these families: "
            "%(families)s."
        )
        % {"families": listed(FAMILIES)},
    )


def _check_head(path: Path) -> None:
    if not has_score_head(path):
        raise ModelRefused(
            _("%(path)s has no head called “score” over the last token of a text, so it cannot be scored with here.")
            % {"path": path},
            _("Choose a reward model on a decoder (Llama, Qwen, Mistral, Gemma and their like), or one made here."),
        )


def _check_weights(path: Path) -> None:
    if any(path.glob("*.safetensors")):
        return
    if any(any(path.glob(pattern)) for pattern in PICKLES):
        raise ModelRefused(
            _("%(path)s holds pickled weights only, and pickles can run code when they are read.") % {"path": path},
            _("Convert the weights to safetensors, or take a copy that has them."),
        )
    raise ModelRefused(_("%(path)s holds no safetensors.") % {"path": path}, _("Download the weights as well."))


def _check_tokenizer(path: Path, encoder: bool) -> None:
    """An encoder needs no chat template: it gets turns of ours."""
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise ModelRefused(
            _("%(path)s has no tokenizer.") % {"path": path}, _("Copy the tokenizer's files beside the weights.")
        )
    if encoder:
        return
    _check_end_of_text(path)
    templates = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
    if any((path / name).exists() for name in templates) or _json(path / "tokenizer_config.json").get("chat_template"):
        return
    raise ModelRefused(
        _("The tokenizer in %(path)s has no chat template, so chat messages cannot be put to the model.")
        % {"path": path},
        _("Choose an instruction-tuned (chat) model, or add chat_template.jinja to the folder."),
    )


def _check_end_of_text(path: Path) -> None:
    """As far as files tell: of a class of its own only the class knows."""
    config = _json(path / "tokenizer_config.json")
    named = config.get("eos_token") or _json(path / "special_tokens_map.json").get("eos_token")
    if config.get("tokenizer_class") in PLAIN_TOKENIZERS and not named:
        raise ModelRefused(
            _("The tokenizer in %(path)s has no end-of-text token (EOS), so no response would ever end.")
            % {"path": path},
            _("Name it as eos_token in tokenizer_config.json: the token that ends a turn in the chat template."),
        )


def _check_gguf(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(GGUF_MAGIC)) == GGUF_MAGIC:
            return
    raise ModelRefused(
        _("%(path)s is no GGUF file.") % {"path": path},
        _("A model is a GGUF file, or the folder that holds config.json and the safetensors."),
    )


def _config(path: Path) -> dict[str, Any]:
    return _json(path / "config.json")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
