"""What has come of a round: whether its reward model scores the new policy's answers to fresh prompts higher, and what
that has cost."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import SnapshotItem, Split
from training.models import Artifact, Run
from training.workflow.alignment_tax import MEASURES_COMPARED, Change, tax_of
from training.workflow.evaluation import figures_of
from training.workflow.figures import Figure
from training.workflow.sample_scores import SampleScores, shown


@dataclass(frozen=True)
class Outcome:
    """`run` has sampled and scored. `said` tells in a sentence whether the score has risen. `kl` of the policy against
    its start, and, by set, what it has unlearned: the one measure a set by which models are compared. `known`: how many
    of the prompts the round has learned from."""

    run: Run
    scores: SampleScores
    said: str
    kl: Figure | None
    tax: list[tuple[str, Change]]
    known: int


def outcome_of(stages: list[Run]) -> Outcome | None:
    """None before its last stage has ended, and of a round whose samples were not scored."""
    run = next((stage for stage in stages if stage.recipe == "sample" and stage.is_over), None)
    scores = shown(run) if run else None
    if run is None or scores is None:
        return None
    difference = next((figure for figure in scores.figures if figure.name == "difference"), None)
    kl = next((figure for figure in figures_of(run.model) if figure.name == "kl"), None)
    said = _in_words(difference) if difference else ""
    return Outcome(run, scores, said, kl, _tax(run.model), _known_prompts(run))


def _in_words(difference: Figure) -> str:
    facts = {"n": difference.n}
    if difference.low is None or difference.high is None:
        said = ngettext(
            "%(n)s prompt is too few to say whether the score has risen.",
            "%(n)s prompts are too few to say whether the score has risen.",
            difference.n or 0,
        )
        return said % facts
    if difference.low > 0:
        return _("The reward model scores the new policy's responses higher than the old one's.")
    if difference.high < 0:
        return _("The reward model scores the new policy's responses lower than the old one's.")
    return _("Whether the score has risen, these %(n)s prompts do not tell: the interval covers no change.") % facts


def _tax(policy: Artifact) -> list[tuple[str, Change]]:
    return [(probed.name, row) for probed in tax_of(policy) for row in probed.rows if row.measure in MEASURES_COMPARED]


def _known_prompts(run: Run) -> int:
    """Where too few prompts were fresh, those compared least were taken."""
    learned = SnapshotItem.objects.filter(snapshot=run.round.snapshot, split=Split.TRAIN)
    return learned.filter(comparison__prompt__in=run.prompt_ids).values("comparison__prompt").distinct().count()
