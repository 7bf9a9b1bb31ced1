"""Fields that several forms have: snapshots and models with what one chooses them by, and the seed."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms.models import ModelChoiceIterator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot
from training.models import LARGEST_SEED, Artifact, Task
from training.recipes.titles import STAYING
from training.workflow.artifacts import blocking_adapter, starts_of


class SnapshotChoice(forms.ModelChoiceField):
    """Shows how much is in each snapshot, because that decides what can be learned from it."""

    def label_from_instance(self, snapshot: Snapshot) -> str:
        counts = snapshot.counts
        return gettext("%(snapshot)s: %(train)s pairs to train, %(test)s to test") % {
            "snapshot": f"#{snapshot.number}",
            "train": counts.get("train", 0),
            "test": counts.get("test", 0),
        }


class DemonstrationsChoice(forms.ModelChoiceField):
    def label_from_instance(self, chosen: DemonstrationSet) -> str:
        counts = chosen.counts
        return gettext("%(set)s: %(train)s demonstrations to train, %(test)s to test") % {
            "set": chosen,
            "train": counts.get("train", 0),
            "test": counts.get("test", 0),
        }


class FeedbackChoice(forms.ModelChoiceField):
    def label_from_instance(self, chosen: FeedbackSet) -> str:
        said = gettext("%(set)s: %(desirable)s desirable, %(undesirable)s undesirable to train, %(test)s to test")
        return said % {
            "set": chosen,
            "desirable": chosen.desirable,
            "undesirable": chosen.undesirable,
            "test": chosen.counts["test"],
        }


class BaseAndTrained(ModelChoiceIterator):
    """Base models and those trained from them under headings of their own, where there are both."""

    def __iter__(self) -> Iterator[Any]:
        if self.field.empty_label is not None:
            yield "", self.field.empty_label
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for row in self.queryset:
            groups[_is_base(row)].append(self.choice(row))
        if all(groups.values()):
            yield gettext("Base models"), groups[True]
            yield gettext("Trained models"), groups[False]
        else:
            yield from groups[True] or groups[False]


class StartChoice(forms.ModelChoiceField):
    """A policy to train further; those that cannot be are shown with the reason, and refused."""

    iterator = BaseAndTrained

    def label_from_instance(self, artifact: Artifact) -> str:
        if artifact.task == Task.ENCODER:
            return gettext("%(model)s (encoder)") % {"model": artifact}
        adapter = blocking_adapter(artifact)
        if not adapter:
            return str(artifact)
        said = gettext("%(model)s (cannot be trained further: %(adapter)s)")
        return said % {"model": artifact, "adapter": gettext(STAYING.get(adapter, adapter))}


def seed_field() -> forms.IntegerField:
    about = _("The same seed and settings give the same run.")
    return forms.IntegerField(label=_("Seed"), initial=0, min_value=0, max_value=LARGEST_SEED, help_text=about)


def policies_of(project: Project) -> QuerySet[Artifact]:
    return _with_their_chain(Artifact.objects.filter(project=project, task=Task.POLICY))


def starts_for(project: Project, recipe: str) -> QuerySet[Artifact]:
    return _with_their_chain(starts_of(project, recipe))


def _with_their_chain(rows: QuerySet[Artifact]) -> QuerySet[Artifact]:
    """With what `blocking_adapter` looks at; deeper chains than three are rare."""
    return rows.select_related("run", "parent__run", "parent__parent__run")


def reward_models_of(project: Project) -> QuerySet[Artifact]:
    return Artifact.objects.filter(project=project, task=Task.REWARD)


def first_that_can_be_trained(policies: QuerySet[Artifact], *, base_first: bool = False) -> Any:
    """The newest, a policy before an encoder: both models and snapshots are ordered so. `base_first`: a base model
    before what was trained, for what is no next step of a policy's own training."""
    found = [policy for policy in policies if not blocking_adapter(policy)]
    return min(found, key=lambda model: (model.task == Task.ENCODER, base_first and not _is_base(model)), default=None)


def _is_base(model: Artifact) -> bool:
    return model.parent_id is None and model.run_id is None
