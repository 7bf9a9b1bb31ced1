"""What a model card is written from: the trained model's manifest, its snapshot, and nobody's name."""

import pytest
from django.utils import translation

from annotate.models import Project, Snapshot, User
from tests.training.views.conftest import step, write_progress
from tests.training.workflow.products import end, finished
from training.models import Artifact, Run
from training.workflow import exporting, starting
from training.workflow.card_facts import card_for, facts_for

pytestmark = pytest.mark.django_db
ACCURACY = {"value": 0.75, "low": 0.4, "high": 0.93, "n": 8}


@pytest.fixture
def scorer(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    config = {"epochs": 2, "batch_size": 4, "gradient_accumulation": 2, "adapter": "lora"}
    made = finished(
        project, policy, "reward", config=config, snapshot=snapshot, metrics={"accuracy": ACCURACY}, name="Scorer"
    )
    return Artifact.objects.get(pk=made.pk)


def test_it_counts_judgments_and_people_and_names_nobody(scorer: Artifact, ann: User, snapshot: Snapshot):
    card = card_for(scorer)
    assert "24 judgments by 1 annotator," in card and snapshot.content_hash in card
    assert "Examples: 24 to train, 6 held out" in card
    words = card.replace("`", " ").split()
    assert ann.username not in words and "lead" not in words


def test_steps_are_those_that_were_taken(scorer: Artifact, project: Project, policy: Artifact, snapshot: Snapshot):
    """Not what epochs and batch size come to: a score head, groups and a policy's own rollouts count otherwise."""
    assert facts_for(scorer, "adapter", "").steps == 0 and "Short training" not in card_for(scorer)
    write_progress(scorer.run, [{"kind": "status", "stage": "loading"}, step(1), step(2), step(7)])
    write_progress(scorer.run, [{"kind": "step", "stage": "evaluating", "step": 9, "steps": 9}])
    assert "Short training: 7 steps of the optimizer." in card_for(scorer)
    ppo = finished(project, policy, "ppo", snapshot=snapshot, reward_model=scorer)
    write_progress(ppo.run, [step(1, updates=16), step(2, updates=3)])
    assert facts_for(ppo, "adapter", "").steps == 19, "a step of PPO is of several of the optimizer's"


def test_only_settings_that_differ_from_the_defaults_are_told_and_repeated(scorer: Artifact):
    """And the learning rate, which has no default but follows the adapter."""
    facts = facts_for(scorer, "merged", "float32")
    assert facts.settings == [("Epochs (epochs)", "2"), ("Learning rate (learning_rate)", "0.0002")]
    command = " ".join(facts.commands[-1])
    again = "train garden --recipe reward --model fixture --snapshot 1 --seed 0"
    assert command.endswith(f"{again} --set epochs=2 --set learning_rate=0.0002")


def test_the_place_of_a_base_on_this_machine_is_not_told(scorer: Artifact, policy: Artifact):
    assert policy.location not in card_for(scorer) and "Base model: fixture" in card_for(scorer)
    Artifact.objects.filter(pk=policy.pk).update(location="owner/small")
    assert 'base_model: "owner/small"' in card_for(Artifact.objects.get(pk=scorer.pk))


def test_a_merged_copy_tells_of_the_model_that_was_trained(project: Project, scorer: Artifact):
    run = end(exporting.start_merge(scorer))
    manifest = {"recipe": "merge", "metrics": {}, "config": {}}
    merged = Artifact.objects.create(
        project=project, name="Merged", task="reward", location="/m", parent=scorer, run=run, manifest=manifest
    )
    card = card_for(merged)
    assert card.startswith("---\n") and "# Merged" in card
    assert "| Held\\-out accuracy | 75.0 % | 40.0 to 93.0 % | 8 |" in card
    assert "24 judgments by 1 annotator," in card and "merge_model garden --model Scorer" in card


def test_a_card_is_in_english_whoever_asks(scorer: Artifact):
    with translation.override("zh-hans"):
        assert "Held\\-out accuracy" in card_for(scorer)
        assert translation.get_language() == "zh-hans"


def test_what_cannot_be_merged_gets_the_card_of_an_adapter(project: Project, policy: Artifact, snapshot: Snapshot):
    card = card_for(finished(project, policy, config={"adapter": "prefix"}, snapshot=snapshot))
    assert "library_name: peft" in card and "cannot be merged into the weights" in card


def test_a_base_model_says_that_nothing_was_trained(policy: Artifact):
    card = card_for(policy)
    assert "nothing was trained here" in card and "## Numbers" not in card


def test_a_policy_names_its_reward_model(project: Project, policy: Artifact, snapshot: Snapshot, scorer: Artifact):
    run = starting.start_training(project, "rloo", snapshot, policy, {}, reward_model=scorer)
    run = end(Run.objects.get(pk=run.pk))
    made = Artifact.objects.create(
        project=project, name="p", location="/p", parent=policy, run=run, snapshot=snapshot, is_adapter=True,
        manifest={"recipe": "rloo", "config": run.config},
    )  # fmt: skip
    assert "Rewarded by the reward model Scorer" in card_for(made)
    assert "opinion of its own pupil" in card_for(made)
