"""In what several runs differ: their settings, what they learned from, and the figures that came of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.lists import listed
from annotate.models import Split
from training.models import Run
from training.recipes import RECIPES, WITHOUT_ARTIFACT
from training.recipes.fields import counts
from training.workflow.best import best_of
from training.workflow.evaluation import ROLLOUTS, Figure, figures_of
from training.workflow.tax_compared import TaxRow, tax_side_by_side

# Figures of a preference loss are in the units of these settings: with another β a margin is another number.
UNITS = ("loss", "beta", "gamma", "label_smoothing", "soft_labels", "sft_weight", "length_alpha")
IN_UNITS = ("loss", "margin", "reward_desirable", "reward_undesirable")
# Whose losses and margins are per token: another model may cut a text into other tokens.
PER_TOKEN = ("sft", "orpo", "simpo")
# Drawn colder, or cut sooner, the same policy has other figures; and the mean of an ensemble, by which all policies are
# measured, is what only some of them were trained toward.
DRAWN_BY = ("temperature", "max_new_tokens", "ensemble", "uncertainty_weight")


@dataclass(frozen=True)
class Row:
    """One line of a table: a value for each run; `differs` unless all are the same. Of a fact that is `told` by a
    run's product None is not known yet, and no difference."""

    name: str
    label: str
    values: list[Any]
    told: bool = False

    @property
    def differs(self) -> bool:
        values = [value for value in self.values if value is not None or not self.told]
        return any(value != values[0] for value in values)

    @property
    def is_of_some(self) -> bool:
        """Where it counts it is the same: the others only have no such setting."""
        values = [value for value in self.values if value is not None]
        return len(values) < len(self.values) and all(value == values[0] for value in values)


@dataclass(frozen=True)
class Cell:
    """A figure of one run, or none; `best` only where its interval lies apart from all others."""

    figure: Figure | None
    best: bool = False


@dataclass(frozen=True)
class Differences:
    runs: list[Run]
    settings: list[Row]
    data: list[Row]
    results: list[tuple[str, list[Cell]]]
    tax: list[TaxRow]
    warnings: list[str]

    @property
    def why_none(self) -> list[str]:
        """For each run why not one of its figures has a value; "" where any has, and where it has none at all."""
        by_run = [[cells[at].figure for _label, cells in self.results] for at in range(len(self.runs))]
        return [_one_reason([figure for figure in figures if figure]) for figures in by_run]

    @property
    def measured(self) -> list[tuple[str, list[Cell]]]:
        """The results without what `why_none` says once for all of a run's figures."""
        told = self.why_none
        rows = [
            (label, [Cell(None) if why else cell for cell, why in zip(cells, told, strict=True)])
            for label, cells in self.results
        ]
        return [(label, cells) for label, cells in rows if any(cell.figure for cell in cells)]

    @property
    def differing_settings(self) -> list[Row]:
        return [row for row in self.settings if row.differs]

    @property
    def equal_settings(self) -> list[Row]:
        return [row for row in self.settings if not row.differs]


def _one_reason(figures: list[Figure]) -> str:
    reasons = {figure.note for figure in figures}
    return reasons.pop() if len(reasons) == 1 and all(figure.value is None for figure in figures) else ""


def differences_of(runs: Sequence[Run]) -> Differences:
    """The runs come with their artifact, models and what they learned from: nothing more is asked of the database."""
    runs = list(runs)
    return Differences(runs, _settings(runs), _data(runs), _results(runs), tax_side_by_side(runs), _warnings(runs))


def _settings(runs: list[Run]) -> list[Row]:
    """In the order of the recipes; None where a run's recipe has no such setting, or where it does not count."""
    labels: dict[str, str] = {}
    for run in runs:
        labels |= {name: field.metadata.get("label", name) for name, field in _known(run).items() if name in run.config}
    names = dict.fromkeys([*labels, *(name for run in runs for name in run.config)])
    rows = [Row(name, _(labels.get(name, name)), [setting_of(run, name) for run in runs]) for name in names]
    return [row for row in rows if any(value is not None for value in row.values)]


def setting_of(run: Run, name: str) -> Any:
    field = _known(run).get(name)
    return None if field is not None and not counts(field, run.config) else run.config.get(name)


def _known(run: Run) -> dict[str, Field]:
    return {field.name: field for field in fields(RECIPES[run.recipe])} if run.recipe in RECIPES else {}


DATA: dict[str, tuple[Any, Callable[[Run], Any]]] = {
    "recipe": (gettext_lazy("Recipe"), lambda run: run.recipe),
    "snapshot": (gettext_lazy("Snapshot"), lambda run: run.snapshot),
    "demonstrations": (gettext_lazy("Demonstrations"), lambda run: run.demonstrations),
    "feedback": (gettext_lazy("Feedback"), lambda run: run.feedback),
    "model": (gettext_lazy("Started from"), lambda run: run.model),
    "reward_model": (gettext_lazy("Reward model"), lambda run: run.reward_model),
    "reference": (gettext_lazy("Compared with"), lambda run: run.reference_model),
    "seed": (gettext_lazy("Seed"), lambda run: run.seed),
    "train": (gettext_lazy("Trained on"), lambda run: _told(run, "data", "train")),
    "test": (gettext_lazy("Held out"), lambda run: _told(run, "data", "test")),
    "device": (gettext_lazy("Device"), lambda run: _told(run, "device")),
    "precision": (gettext_lazy("Precision"), lambda run: _told(run, "precision")),
}
TOLD = ("train", "test", "device", "precision")


def _data(runs: list[Run]) -> list[Row]:
    rows = [
        Row(name, str(label), [value_of(run) for run in runs], name in TOLD) for name, (label, value_of) in DATA.items()
    ]
    return [row for row in rows if any(value is not None for value in row.values)]


def _told(run: Run, *path: str) -> Any:
    """A fact of the product's manifest; None as long as there is no product."""
    found: Any = _manifest(run)
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _manifest(run: Run) -> dict[str, Any]:
    artifact = getattr(run, "artifact", None)
    return artifact.manifest if artifact else {}


def _results(runs: list[Run]) -> list[tuple[str, list[Cell]]]:
    """By label, because two recipes may say one name of two things."""
    by_run = [{f.label: f for f in figures_of(run.artifact)} if _manifest(run) else {} for run in runs]
    labels = list(dict.fromkeys(label for figures in by_run for label in figures))
    return [(label, _marked(runs, [figures.get(label) for figures in by_run])) for label in labels]


def _marked(runs: list[Run], figures: list[Figure | None]) -> list[Cell]:
    winner = best_of(figures) if _comparable(runs, next(figure.name for figure in figures if figure)) else None
    return [Cell(figure, figure is not None and figure is winner) for figure in figures]


def _comparable(runs: list[Run], name: str) -> bool:
    """The same held-out set, the same recipe, and what the figure is measured in is the same."""
    if len({(run.recipe, *_learned_from(run), _held_out(run)) for run in runs}) > 1:
        return False
    recipe = runs[0].recipe
    if recipe == "reward":
        # The scores of two reward models are of no common scale; which response scores higher is.
        return name == "accuracy"
    one_start = len({run.model_id for run in runs}) == 1
    if recipe == "sft":  # all its figures are per token
        return one_start
    if recipe in ROLLOUTS:
        return len({run.reward_model_id for run in runs}) == 1 and _alike_in(DRAWN_BY, runs)
    return name not in IN_UNITS or (_alike_in(UNITS, runs) and (one_start or recipe not in PER_TOKEN))


def _alike_in(settings: Iterable[str], runs: list[Run]) -> bool:
    return len({tuple(str(setting_of(run, name)) for name in settings) for run in runs}) == 1


def _learned_from(run: Run) -> tuple[int | None, ...]:
    return (run.snapshot_id, run.demonstrations_id, run.feedback_id)


def _held_out(run: Run) -> tuple[int, frozenset[str]] | None:
    """Of a snapshot's held-out part: how many examples were measured, and which were left out; None without a product.
    Runs of one recipe and one snapshot where these are equal were measured on the same."""
    data = _manifest(run).get("data")
    if not data:
        return None
    left_out = (row for row in data.get("dropped") or [] if row.get("split") == Split.TEST)
    return data.get("test", 0), frozenset(str(row.get("id")) for row in left_out)


def _warnings(runs: list[Run]) -> list[str]:
    said = []
    if len({_learned_from(run) for run in runs}) > 1:
        said.append(
            _(
                "These runs learned from different data. Each was evaluated on the held-out part of its own: their "
                "results are not comparable, and none is marked as the best."
            )
        )
    elif _differ_in_what_is_held_out(runs):
        said.append(
            _(
                "These runs were not evaluated on the same held-out examples: what one leaves out, as too long for it, "
                "it is not measured on. Their results are not comparable, and none is marked as the best."
            )
        )
    if len({run.recipe for run in runs}) > 1:
        said.append(_("These runs are of different recipes: figures of one name may be of different scales."))
    if len({run.reward_model_id for run in runs if run.reward_model_id}) > 1:
        said.append(_("These runs were paid by different reward models: their scores are of different scales."))
    elif runs and all(run.recipe in ROLLOUTS for run in runs) and not _alike_in(DRAWN_BY, runs):
        said.append(
            _(
                "These runs draw their responses, or are rewarded by an ensemble, in different ways: their results are "
                "not comparable, and none is marked as the best."
            )
        )
    if unfinished := [run for run in runs if not _manifest(run) and run.recipe not in WITHOUT_ARTIFACT]:
        names = listed(f"#{run.pk}" for run in unfinished)
        said.append(_("There is no result yet of: %(runs)s.") % {"runs": names})
    return said


def _differ_in_what_is_held_out(runs: list[Run]) -> bool:
    """Runs of one recipe: those of two count different things, pairs or prompts."""
    measured = {(run.recipe, held_out) for run in runs if (held_out := _held_out(run))}
    return len(measured) > len({recipe for recipe, _set in measured})
