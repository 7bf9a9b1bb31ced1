"""The standing cast: a lead, two annotators, a reviewer and a stranger, in a project with comparisons to judge."""

import gc
import os
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.utils import translation

from annotate.models import Project, Role, User
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project, set_member
from tests.factories import make_comparisons, make_user
from workbench.translations import compile_all

# Neither the tests nor the processes they start ask the network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A process of pytest a core, or more: several threads in each would only get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Runs have a niceness of 10: beside processes of pytest with 0 they would get a tenth of a core, and tests that
    # wait for them would wait in vain. One less, so that a run that forgets its own is found.
    os.nice(max(0, 9 - os.nice(0)))
compile_all()
# Until pytest_collection_finish: of what the tests import nothing is garbage, and looking for it takes as long again.
gc.disable()
# Rooms without Django, and what a browser does with rows that other tests read and write: one run of them is enough.
PURE_ROOMS = (
    "tests/annotate/statistics",
    "tests/annotate/test_rendering.py",
    "tests/browser/test_adjudication.py",
    "tests/browser/test_agreement.py",
    "tests/browser/test_bench.py",
    "tests/browser/test_curves.py",
    "tests/browser/test_graded_keys.py",
    "tests/browser/test_outbox.py",
    "tests/browser/test_playground.py",
    "tests/browser/test_reach.py",
    "tests/browser/test_report_charts.py",
    "tests/browser/test_reward_results.py",
    "tests/browser/test_training_pages.py",
    "tests/test_docs.py",
    "tests/test_docs_numbers.py",
    "tests/test_docs_true.py",
    "tests/test_imports.py",
    "tests/test_translations.py",
    "tests/training/ml",
)


# What gives a test the database. In the rooms that start workbenches, a test may need servers without any of them.
DATABASE = {"db", "transactional_db", "live_server"}
SERVERS = ("tests/browser", "tests/workbench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`not_db` for the pure rooms and, outside the rooms of servers, for what asks for no database."""
    for item in items:
        path = item.path.as_posix()
        pure = any(room in path for room in PURE_ROOMS)
        if pure or not (_asks_for_a_database(item) or any(room in path for room in SERVERS)):
            item.add_marker(pytest.mark.not_db)


def pytest_collection_finish() -> None:
    """From here on there is garbage, but not among what has been imported."""
    gc.freeze()
    gc.enable()


def _asks_for_a_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or bool(DATABASE & {*item.fixturenames})


@pytest.fixture(autouse=True)
def _own_folders(settings: LazySettings, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each test writes its runs, models and snapshots into a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    settings.RUNS_DIR, settings.MODELS_DIR, settings.SNAPSHOTS_DIR = home / "runs", home / "models", home / "snapshots"


@pytest.fixture(scope="session", autouse=True)
def _a_place_for_static_files() -> None:
    """WhiteNoise warns at every request of a test otherwise; files are found by the finders."""
    Path(django_settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def _in_english() -> None:
    """A request in Chinese leaves the thread's language behind."""
    translation.activate("en")


@pytest.fixture
def lead(db: None) -> User:
    return make_user("lead")


@pytest.fixture
def project(lead: User) -> Project:
    """A published guideline and no prompts yet."""
    return create_project(
        slug="garden",
        name="Garden",
        manager=lead,
        overlap=2,
        guideline="Prefer the response that helps.",
        summary="First",
    )


@pytest.fixture
def ann(project: Project) -> User:
    return _member(project, "ann", Role.ANNOTATOR)


@pytest.fixture
def ben(project: Project) -> User:
    return _member(project, "ben", Role.ANNOTATOR)


@pytest.fixture
def reviewer(project: Project) -> User:
    return _member(project, "rev", Role.REVIEWER)


@pytest.fixture
def stranger(db: None) -> User:
    return make_user("stranger")


@pytest.fixture
def comparisons(project: Project) -> list:
    return make_comparisons(project, 5)


def _member(project: Project, name: str, role: Role) -> User:
    user = make_user(name)
    set_member(project=project, user=user, role=role)
    mark_read(version=current_version(project), user=user)
    return user
