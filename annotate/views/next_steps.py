"""What a manager does next in a project, from its state: the first thing undone comes first."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from annotate.models import GuidelineVersion, Project
from annotate.workflow.progress import Progress


@dataclass(frozen=True)
class Step:
    title: str
    text: str
    url: str
    done: bool


def next_steps(project: Project, progress: Progress, version: GuidelineVersion | None) -> list[Step]:
    """The loop as a list: guideline, prompts, people, samples, judgments, snapshot, round."""
    prompts, people, snapshots = project.prompts.count(), project.memberships.count(), project.snapshots.count()
    return [
        _step(project, "guideline_draft", _("Publish a guideline"), _("Judging starts with it."), bool(version)),
        _step(project, "prompts_upload", _("Bring in prompts"), _("A JSONL or CSV file."), bool(prompts)),
        _step(project, "members", _("Invite annotators"), _("Agreement needs at least two people."), people > 1),
        _step(
            project, "sampling_create", _("Sample responses"), _("Every pair of samples becomes a comparison."),
            bool(progress.comparisons),
        ),
        _step(
            project, "judge", _("Judge"), _("Until every comparison has its judgments."),
            bool(progress.comparisons) and progress.complete == progress.comparisons,
        ),
        _step(project, "snapshot_create", _("Freeze a snapshot"), _("The judgments as a dataset."), bool(snapshots)),
        _step(project, "round_create", _("Start a round"), _("Reward model, policy, new samples."), False),
    ]  # fmt: skip


def _step(project: Project, address: str, title: str, text: str, done: bool) -> Step:
    return Step(title, text, reverse(address, args=[project.slug]), done)
