"""Pushes a directory to a model hub in one commit, after it is sure that the token may do so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

# HTTPError is that of the HTTP library below it, whichever that is by now.
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

from training.ml import cancel
from training.ml.durable import whole
from training.ml.errors import ModelError
from training.ml.job import Job
from training.ml.shown import without_secrets
from training.recipes.words import gettext_noop

# Beside job.json: this run has made the repository, so a resumed one may push into it.
MADE = "repository.txt"
# Beside it, and written before: this run is about to make it. A hub that then has one with nothing in it has our own.
MEANT = "repository.meant.txt"
# What a hub puts into one that nobody has written to yet.
OF_THE_HUB = {".gitattributes"}


@dataclass(frozen=True)
class Repository:
    """One that this run has made and that its token may write to."""

    api: HfApi
    name: str

    def push(self, directory: Path) -> str:
        """The address of the commit. All files in one commit: they are there together or not at all."""
        cancel.check()
        with hub_errors(self.name):
            return str(self.api.upload_folder(repo_id=self.name, folder_path=directory, commit_message="Export"))


def repository_for(job: Job) -> Repository:
    """Asks the hub who the token belongs to and makes the repository, before the export takes its minutes.

    Raises ModelError: "hub_owner_refused", "no_hub_token", "hub_token_refused", "hub_no_rights", "repository_exists",
    "hub_away".
    """
    _require_owner(job.config.repository)
    api, name, made = HfApi(token=_token()), job.config.repository, job.directory / MADE
    with hub_errors(name):
        _require_write(api)
        if not _says(made, name):
            _make(api, name, private=job.config.private, meant=job.directory / MEANT)
            whole(made, name)
    return Repository(api, name)


def _make(api: HfApi, name: str, *, private: bool, meant: Path) -> None:
    """Raises what the hub answers where the repository is there already: unless an earlier attempt of this run has died
    between making it and writing that down, and nothing has been put into it."""
    mine = _says(meant, name)
    whole(meant, name)
    try:
        api.create_repo(name, private=private, exist_ok=False)
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 409:
            raise  # it may be there now: the note stays
        if not mine:
            meant.unlink()  # somebody else's, be it ever so empty
        if not (mine and set(api.list_repo_files(name)) <= OF_THE_HUB):
            raise


def _says(note: Path, name: str) -> bool:
    return note.is_file() and note.read_text(encoding="utf-8") == name


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turns what the hub answers into a ModelError that says what to do."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise _away(name, "HF_HUB_OFFLINE=1") from error
    except HfHubHTTPError as error:
        raise _answered(name, error) from error
    except (HTTPError, ValueError) as error:
        raise _away(name, str(error)) from error


def _require_owner(name: str) -> None:
    """Whoever runs the worker may say to whom its token pushes. A hub takes capital letters for small ones."""
    owners = [owner.strip() for owner in os.environ.get("PLUMBLINE_HUB_OWNERS", "").split(",") if owner.strip()]
    owner = name.partition("/")[0]
    if owners and owner.casefold() not in map(str.casefold, owners):
        raise ModelError(
            "hub_owner_refused",
            gettext_noop("This workbench does not push to %(owner)s. Nothing was pushed or written."),
            gettext_noop("Start the export again with a repository of one of these owners: %(owners)s."),
            owner=owner,
            owners=", ".join(owners),
        )


def _token() -> str:
    token = os.environ.get("HF_TOKEN", "").strip()
    if token:
        return token
    raise ModelError(
        "no_hub_token",
        gettext_noop("Nothing was pushed or written: the worker has no hub token."),
        gettext_noop("Set HF_TOKEN in the environment of the worker, restart it, and resume the run."),
    )


def _require_write(api: HfApi) -> None:
    """A token that may only read says so; what a fine-grained one may do shows when the repository is made."""
    token = api.whoami().get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise _no_rights(gettext_noop("The token in HF_TOKEN may only read. Nothing was pushed."))


def _answered(name: str, error: HfHubHTTPError) -> ModelError:
    status = error.response.status_code if error.response is not None else 0
    if status == 401:
        return ModelError(
            "hub_token_refused",
            gettext_noop("The hub does not take the token in HF_TOKEN. Nothing was pushed."),
            gettext_noop("Make a token that may write, set it in the environment of the worker, and resume the run."),
        )
    if status in (403, 404):
        said = gettext_noop("The token in HF_TOKEN may not write to %(repository)s. Nothing was pushed.")
        return _no_rights(said, repository=name)
    if status == 409:
        return ModelError(
            "repository_exists",
            gettext_noop("The hub has a repository %(repository)s already, and a push never writes over one."),
            gettext_noop("Start the export again with another repository."),
            repository=name,
        )
    return _away(name, f"HTTP {status}" if status else _first_line(error))


def _no_rights(said: str, **values: object) -> ModelError:
    hint = gettext_noop("Make a token that may write, set it in the environment of the worker, and resume the run.")
    return ModelError("hub_no_rights", said, hint, **values)


def _away(name: str, why: str) -> ModelError:
    return ModelError(
        "hub_away",
        gettext_noop("The hub could not take %(repository)s: %(error)s"),
        gettext_noop("Resume the run when the hub can be reached; what is written already is used."),
        repository=name,
        error=without_secrets(why),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
