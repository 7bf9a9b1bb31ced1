"""Scored samples: which pairs become comparisons, what the run tells of its scores, and that nobody else sees them."""

import pytest

from annotate.models import Comparison, Project, Prompt, Response
from tests.factories import make_prompts
from tests.training.workflow.test_sampling import append, line
from training.models import Artifact, Run, Sample
from training.workflow import artifacts, sampling
from training.workflow.exceptions import BadConfig, ModelRefused


@pytest.fixture
def old(project: Project, policy: Artifact) -> Artifact:
    return artifacts.register_base(project, "older", policy.location)


@pytest.fixture
def scorer(project: Project, policy: Artifact) -> Artifact:
    return Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer", parent=policy)


def _scored(prompt: Prompt, scores: list[float], texts: list[str] | None = None, model: str = "new") -> list[dict]:
    named = texts or [f"{model} text {index}" for index in range(len(scores))]
    return [
        line(prompt, model, index, text) | {"score": score, "truncated": False}
        for index, (text, score) in enumerate(zip(named, scores, strict=True))
    ]


def _texts_compared() -> set[frozenset[str]]:
    return {frozenset((one.response_a.text, one.response_b.text)) for one in Comparison.objects.all()}


SCORES = [0.0, 3.0, 1.0, 1.25]


@pytest.mark.parametrize(("pairs", "places"), [("closest", (2, 3)), ("best_and_worst", (0, 1)), ("best_two", (1, 3))])
def test_one_pair_is_chosen_by_score_and_once(
    policy: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt], pairs: str, places: tuple[int, int]
) -> None:
    config = {"samples_per_prompt": 4, "pairs": pairs}
    run = sampling.start_sampling(project, policy, config, prompts[:2], reward_model=scorer)
    lines = _scored(prompts[0], SCORES)
    append(run, *lines[:3])
    assert sampling.ingest_samples(run) == 0, "not before all responses to the prompt are there"
    append(run, lines[3], *_scored(prompts[1], SCORES))
    for _ in range(2):
        sampling.ingest_samples(run)
        sampling.summarize(run)
        assert _texts_compared() == {frozenset(f"new text {place}" for place in places)}
        assert [one.prompt for one in Comparison.objects.order_by("prompt")] == prompts[:2]
        assert (run.result["comparisons"], run.result["identical"]) == (2, 0)
    assert list(Sample.objects.order_by("pk").values_list("score", flat=True)) == SCORES * 2


def test_a_group_that_is_read_in_two_pieces_still_gets_its_pair(
    policy: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pair that is chosen may be of responses of the first piece alone."""
    monkeypatch.setattr(sampling, "CHUNK", 2)
    config = {"samples_per_prompt": 4, "pairs": "closest"}
    run = sampling.start_sampling(project, policy, config, prompts[:1], reward_model=scorer)
    append(run, *_scored(prompts[0], [1.0, 1.1, 5.0, 9.0]))
    assert sampling.ingest_samples(run) == 1
    assert _texts_compared() == {frozenset(("new text 0", "new text 1"))}


def test_equal_texts_are_never_a_chosen_pair(
    policy: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    config = {"samples_per_prompt": 3, "pairs": "closest"}
    run = sampling.start_sampling(project, policy, config, prompts[:2], reward_model=scorer)
    append(run, *_scored(prompts[0], [1.0, 1.0, 4.0], ["same", "same", "other"]))
    append(run, *_scored(prompts[1], [1.0, 1.0, 1.0], ["same", "same", "same"]))
    sampling.ingest_samples(run)
    sampling.summarize(run)
    assert _texts_compared() == {frozenset(("same", "other"))}
    assert (run.result["comparisons"], run.result["identical"]) == (1, 1)


def test_one_response_alone_is_no_pair_of_equal_texts(
    policy: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    """A single response is scored all the same: how good a policy is, needs no comparison."""
    config = {"samples_per_prompt": 1, "pairs": "best_two"}
    run = sampling.start_sampling(project, policy, config, prompts[:1], reward_model=scorer)
    append(run, *_scored(prompts[0], [1.5]))
    assert sampling.ingest_samples(run) == 0
    sampling.summarize(run)
    assert (run.result["comparisons"], run.result["identical"]) == (0, 0)
    assert run.result["scores"]["mean"]["value"] == 1.5


@pytest.mark.parametrize("compared", [False, True])
def test_responses_can_be_scored_without_asking_anybody(
    policy: Artifact, old: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt], compared: bool
) -> None:
    models = {"reward_model": scorer, **({"reference": old} if compared else {})}
    run = sampling.start_sampling(project, policy, {"pairs": "none"}, prompts[:1], **models)
    append(run, *_scored(prompts[0], [1.0, 2.0]), *(_scored(prompts[0], [0.0, 1.0], model="old") if compared else []))
    assert sampling.ingest_samples(run) == 0
    sampling.summarize(run)
    assert (run.result["comparisons"], run.result["identical"], Comparison.objects.count()) == (0, 0, 0)
    assert run.result["scores"]["mean"]["value"] == 1.5


def test_one_response_that_is_neither_compared_nor_scored_is_refused(
    policy: Artifact, old: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    one = {"samples_per_prompt": 1}
    with pytest.raises(BadConfig, match="makes no comparison") as refused:
        sampling.start_sampling(project, policy, one, prompts)
    assert refused.value.field == "samples_per_prompt"
    for use in ({"reference": old}, {"reward_model": scorer}):
        assert sampling.start_sampling(project, policy, one, prompts, **use).config["samples_per_prompt"] == 1
    with pytest.raises(BadConfig, match="none was named"):
        sampling.start_sampling(project, policy, {"pairs": "none"}, prompts, reference=old)


def test_nothing_of_a_score_is_in_what_is_judged(
    policy: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    """Neither in the rows nor in the letters: the best is A as often as B."""
    prompts = [*prompts, *make_prompts(project, 196)]
    config = {"samples_per_prompt": 2, "pairs": "best_and_worst"}
    run = sampling.start_sampling(project, policy, config, prompts, reward_model=scorer)
    append(run, *[line for prompt in prompts for line in _scored(prompt, [7.125, -7.125], ["good", "bad"])])
    sampling.ingest_samples(run)
    good_is_a = Comparison.objects.filter(response_a__text="good").count()
    # 200 fair draws lie outside of this with a probability of 1e-5; the seed makes it the same every time.
    assert 68 < good_is_a < 132
    rows = [*Comparison.objects.values(), *Response.objects.values()]
    assert rows and not any("7.125" in str(row) for row in rows)


def test_choices_that_could_not_be_made_are_refused(
    policy: Artifact, old: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    closest = {"pairs": "closest"}
    with pytest.raises(BadConfig, match="none was named") as caught:
        sampling.start_sampling(project, policy, closest, prompts)
    assert (caught.value.recipe, caught.value.field) == ("sample", "pairs")
    with pytest.raises(BadConfig, match="New is always compared with old"):
        sampling.start_sampling(project, policy, closest, prompts, reference=old, reward_model=scorer)
    for wrong, parts in {
        "reward_model": {"reward_model": policy},
        "reference": {"reference": scorer},
        "model": {"artifact": scorer},
    }.items():
        with pytest.raises(ModelRefused, match="cannot be used here") as refused:
            sampling.start_sampling(project, **{"artifact": policy, "config": {}, "prompts": prompts, **parts})
        assert refused.value.where == wrong
    assert not Run.objects.exists()


def test_the_result_has_the_mean_the_best_of_n_and_their_intervals_over_prompts(
    policy: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    prompts = [*prompts, *make_prompts(project, 2)]
    run = sampling.start_sampling(project, policy, {"samples_per_prompt": 2}, prompts, reward_model=scorer)
    for number, prompt in enumerate(prompts):
        append(run, *_scored(prompt, [number, number + 1.0]))
    sampling.ingest_samples(run)
    sampling.summarize(run)
    found = run.result["scores"]
    assert (found["prompts"], found["mean"]["n"], found["mean"]["value"]) == (6, 6, 3.0)
    assert [one["value"] for one in found["best_of"]] == [3.0, 3.5]
    # Six prompts: t of five degrees of freedom; the prompts' means are 0.5 to 5.5.
    half = 2.5706 * 3.5**0.5 / 6**0.5
    assert (found["mean"]["low"], found["mean"]["high"]) == pytest.approx((3 - half, 3 + half), abs=1e-3)


def test_new_against_old_is_prompt_by_prompt(
    policy: Artifact, old: Artifact, scorer: Artifact, project: Project, prompts: list[Prompt]
) -> None:
    """Prompts differ by tens, the models by one: only paired is that seen. Four prompts are too few for an interval."""
    run = sampling.start_sampling(project, policy, {}, prompts, reference=old, reward_model=scorer)
    for number, prompt in enumerate(prompts):
        append(run, *_scored(prompt, [10.0 * number + 1, 10.0 * number + 2]))
        append(run, *_scored(prompt, [10.0 * number, 10.0 * number + 1], model="old"))
    sampling.ingest_samples(run)
    sampling.summarize(run)
    found = run.result["scores"]
    assert found["difference"] == {"value": 1.0, "low": None, "high": None, "n": 4}
    assert found["higher"]["value"] == 1.0
    assert found["old"]["value"] == found["mean"]["value"] - 1
    assert Comparison.objects.count() == 8, "new with old of the same index, as without a reward model"
