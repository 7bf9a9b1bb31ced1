"""What is said in a playground becomes a comparison once, with its lineage, or is refused with the reason."""

import pytest

from annotate.models import Comparison, Project, Prompt, User
from annotate.workflow.exceptions import WorkflowError
from annotate.workflow.intake import compare, content_hash, open_batch, store_response
from tests.factories import judge
from tests.training.playgrounds import TEXTS, begun, models, over, reply
from training.models import Artifact, Playground, Sample
from training.workflow import deletion
from training.workflow.exceptions import BadInput, NotAllowed, NotComparable
from training.workflow.playground import allow_comparisons
from training.workflow.playground_chat import ask
from training.workflow.playground_sending import send_to_queue
from training.workflow.rated_pairs import read_pairs
from training.workflow.rating_filters import RatingFilters

pytestmark = pytest.mark.django_db
Cast = tuple[Artifact, Artifact, Artifact]


@pytest.fixture
def cast(project: Project) -> Cast:
    return models(project)


@pytest.fixture
def session(project: Project, cast: Cast) -> Playground:
    """Two models side by side, in a project that takes comparisons."""
    allow_comparisons(project, True)
    return begun(project, list(cast[:2]))


def test_a_pair_becomes_a_comparison_with_its_lineage_once(session: Playground, ann: User) -> None:
    number = ask(session, "How do I grow a fern?", system="Be short.")
    reply(session, number)
    made, is_new = send_to_queue(session, number)
    assert is_new and (made.batch.name, made.metadata["tags"]) == ("Playground", ["playground"])
    assert made.prompt.tags == ["playground"] and [turn["role"] for turn in made.prompt.messages] == ["system", "user"]
    written = {made.response_a.text: made.response_a, made.response_b.text: made.response_b}
    for part, artifact in (("first", session.run.model), ("second", session.run.reference_model)):
        sample = Sample.objects.get(response=written[TEXTS[part]])
        assert (sample.artifact, sample.run, sample.finished) == (artifact, session.run, True)
    assert send_to_queue(session, number) == (made, False)
    again = begun(session.run.project, [session.run.reference_model, session.run.model])
    other = ask(again, "How do I grow a fern?", system="Be short.")
    reply(again, other, {"first": TEXTS["second"], "second": TEXTS["first"]})
    assert send_to_queue(again, other) == (made, False)
    assert Comparison.objects.count() == 1 and Prompt.objects.count() == 1
    assert deletion.dependents_of(session.run.model).comparisons == 1


def test_the_ratings_know_who_wrote_a_pair_of_the_playground(session: Playground, ann: User) -> None:
    number = ask(session, "How?")
    reply(session, number)
    send_to_queue(session, number)
    judge(session.run.project, ann, "a")
    pairs = read_pairs(session.run.project, RatingFilters())
    assert len(pairs) == 1 and {player.name for player in pairs.players} == {"alpha", "beta"}


def test_a_known_prompt_keeps_its_tags_and_a_known_pair_is_found_wherever_it_came_from(
    session: Playground, project: Project
) -> None:
    messages = [{"role": "user", "content": "How?"}]
    known = Prompt.objects.create(
        project=project, key="p1", messages=messages, content_hash=content_hash(messages), tags=["plants"]
    )
    number = ask(session, "How?")
    reply(session, number)
    made, is_new = send_to_queue(session, number)
    assert is_new and made.prompt == known and made.prompt.tags == ["plants"]
    batch = open_batch(project=project, name="Import")
    sides = [store_response(prompt=known, text=text, source="x", key=text) for text in ("Left.", "Right.")]
    old = compare(batch=batch, prompt=known, response_a=sides[0], response_b=sides[1], key="old")
    number = ask(session, "How?", begins=True)
    reply(session, number, {"first": "Right.", "second": "Left."})
    assert send_to_queue(session, number) == (old, False)


def test_what_makes_no_comparison_is_refused_with_the_reason(session: Playground, project: Project, cast: Cast) -> None:
    def refused(number: int, said: str, kind: type[WorkflowError] = NotComparable) -> None:
        with pytest.raises(kind, match=said) as error:
            send_to_queue(session, number)
        assert error.value.hint

    number = ask(session, "How?")
    refused(number, "not there yet")
    reply(session, number, stopped=True, finished=False)
    refused(number, "stopped")
    reply(session, number, error={"message": "No."})
    refused(number, "no response")
    reply(session, number, {"first": "Same.", "second": "Same."})
    refused(number, "the same")
    reply(session, number)
    refused(99, "no message 99", BadInput)
    second = ask(session, "And then?")
    reply(session, second)
    refused(second, "differ before")
    allow_comparisons(project, False)
    refused(number, "takes no comparisons", NotAllowed)
    allow_comparisons(project, True)
    alone = begun(project, [cast[0]])
    number = ask(alone, "How?")
    reply(alone, number)
    with pytest.raises(NotComparable, match="One response alone"):
        send_to_queue(alone, number)
    assert not Comparison.objects.exists() and not Prompt.objects.exists()


def test_nothing_is_taken_as_long_as_nobody_has_allowed_it(project: Project, cast: Cast) -> None:
    session = begun(project, list(cast[:2]))
    number = ask(session, "How?")
    reply(session, number)
    with pytest.raises(NotAllowed):
        send_to_queue(session, number)
    over(session)
    allow_comparisons(project, True)
    assert send_to_queue(session, number)[1]  # also after its end
