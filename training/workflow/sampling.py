"""Sampling: starts a run that writes responses, and turns what it has written so far into comparisons."""

import json
import random
from collections.abc import Callable, Iterable
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from annotate.models import Batch, Comparison, Project, Prompt, User
from annotate.statistics import scored_pairs
from annotate.workflow import intake
from training.models import Artifact, DeviceWish, Priority, Run, Sample, Task
from training.recipes.sample import ALL, BEST_AND_WORST, BEST_TWO, CLOSEST, NONE
from training.recipes.storable import storable
from training.workflow import naming, runs, sample_scores
from training.workflow.disk import enough_disk
from training.workflow.exceptions import BadConfig, BadInput, NoPrompts
from training.workflow.folders import folder_of
from training.workflow.refusals import checked_config, require_task
from training.workflow.sample_scores import NEW, OLD
from training.workflow.tails import Tail

Slot = tuple[str, int]
# Lines taken in at once: a write lock is held for no longer than that.
CHUNK = 200
CHOICES = {
    CLOSEST: scored_pairs.closest,
    BEST_AND_WORST: scored_pairs.best_and_worst,
    BEST_TWO: scored_pairs.best_two,
}


def choose_prompts(project: Project, number: int | None = None) -> list[Prompt]:
    """Fresh prompts first, then those compared least; all of them without a number. Raises NoPrompts."""
    prompts = list(project.prompts.annotate(uses=Count("comparisons")).order_by("uses", "id")[: number or None])
    if not prompts:
        raise NoPrompts(_("The project has no prompts yet."), _("Upload prompts on the page “Prompts” first."))
    return prompts


def start_sampling(
    project: Project,
    artifact: Artifact,
    config: dict[str, Any],
    prompts: Iterable[Prompt],
    *,
    batch: Batch | None = None,
    reference: Artifact | None = None,
    reward_model: Artifact | None = None,
    seed: int = 0,
    name: str = "",
    priority: Priority = Priority.NORMAL,
    device: DeviceWish = DeviceWish.ANY,
    actor: User | None = None,
) -> Run:
    """Queues a sampling run. Without a reference responses to a prompt are compared as `pairs` says, otherwise new with
    old; a reward model scores them all.

    Raises NoPrompts, BadConfig, TooLittleDisk, or BadInput or ModelRefused for models that cannot play these parts.
    """
    config, chosen = checked_config("sample", config), list(prompts)
    _check_models(project, artifact, reference, reward_model)
    check_pairs(config, reference=reference is not None, scored=reward_model is not None)
    if not chosen:
        raise NoPrompts(_("No prompt was chosen."), _("Choose at least one prompt to sample responses to."))
    for model in filter(None, (artifact, reference, reward_model)):
        enough_disk(model, [("sample", config)])
    with transaction.atomic():
        run = runs.create_run(
            project,
            "sample",
            config,
            name[: naming.LONGEST] or naming.name_of("sample", {}, model=artifact, seed=seed),
            seed=seed,
            model=artifact,
            reference_model=reference,
            reward_model=reward_model,
            prompts=chosen,
            priority=priority,
            device=device,
            actor=actor,
        )
        # The batch's name must not tell an annotator which model wrote the responses.
        run.batch = batch or intake.open_batch(project=project, name=f"Sampling {run.pk}")
        run.save(update_fields=["batch"])
    return run


def _check_models(project: Project, policy: Artifact, reference: Artifact | None, reward: Artifact | None) -> None:
    require_task(project, policy, Task.POLICY, _("Choose a policy."), "model")
    if reference is not None:
        require_task(project, reference, Task.POLICY, _("Choose a policy."), "reference")
        if reference == policy:
            raise BadInput(_("This is the same model."), _("Choose another one, or none."), where="reference")
    if reward is not None:
        require_task(project, reward, Task.REWARD, _("Choose a reward model."), "reward_model")


def check_pairs(config: dict[str, Any], *, reference: bool, scored: bool) -> None:
    """Raises BadConfig for a choice among pairs that could not be made, and for responses that are for nothing."""
    field, pairs = "pairs", config["pairs"]
    if not scored and not reference and config["samples_per_prompt"] < 2:
        field = "samples_per_prompt"
        said = _("One response per prompt makes no comparison.")
        hint = _("Ask for two, or choose a model to compare with or a reward model to score with.")
    elif pairs != ALL and not scored:
        said = _("Pairs are chosen by the scores of a reward model, and none was named.")
        hint = _("Choose what to score with, or compare all pairs.")
    elif pairs not in (ALL, NONE) and reference:
        said = _("New is always compared with old: there are no pairs to choose from.")
        hint = _("Compare all of them or none, or compare with no other model.")
    else:
        return
    raise BadConfig(f"sample.{field}: {said}", hint, field=field, recipe="sample", said=said)


def samples_of(run: Run) -> Path:
    return folder_of(run) / "samples.jsonl"


def ingest_samples(run: Run, tail: Tail | None = None, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Takes in what the run has written since the tail's last look (or all of it); comparisons made or met again.

    Safe to call at any time: responses and comparisons have keys, so nothing is there twice. `goes_on` is asked before
    each chunk: thousands of lines take minutes.
    """
    tail = tail or Tail(samples_of(run))
    met = 0
    while goes_on() and (lines := tail.lines(CHUNK)):
        met += _take_in_or_give_back(run, lines, tail)
    return met


def summarize(run: Run) -> None:
    """Counts into `run.result` what came of the run; pairs of identical texts, which nobody is asked about, too. With a
    reward model also what it makes of the responses."""
    samples = Sample.objects.filter(run=run)
    scores: dict[int, dict[Slot, float | None]] = {}
    for prompt, key, score in samples.values_list("response__prompt_id", "response__key", "score"):
        scores.setdefault(prompt, {})[_slot(key)] = score
    wanted = sum(_number_of_pairs(run, written) for written in scores.values())
    made = Comparison.objects.filter(batch=run.batch, key__startswith=f"run{run.pk}:").count()
    known = Prompt.objects.filter(project=run.project).in_bulk(run.prompt_ids)
    run.result = {
        "samples": samples.count(),
        "finished": samples.filter(finished=True).count(),
        "comparisons": made,
        "identical": wanted - made,
        "unknown_prompts": len(run.prompt_ids) - len(known),
        **({"scores": sample_scores.summary(scores.values())} if run.reward_model_id else {}),
        **_own_words(folder_of(run) / "result.json"),
    }
    run.save(update_fields=["result"])


def _own_words(path: Path) -> dict[str, Any]:
    """What only the process knows: prompts it could not put to the model, its pace, on what it has computed, and who
    shared a backbone."""
    if not path.exists():
        return {}
    told = storable(json.loads(path.read_text(encoding="utf-8")))
    facts = {name: told[name] for name in ("device", "precision", "sharing") if told.get(name)}
    return {"skipped": told.get("skipped", []), "metrics": told.get("metrics", {}), **facts}


def _take_in_or_give_back(run: Run, lines: list[dict[str, Any]], tail: Tail) -> int:
    """All of them or none; the supervisor goes on with this tail once the database answers again."""
    try:
        with transaction.atomic():
            _wait_for_no_lock_too_long()
            return _take_in(run, lines)
    except Exception:
        tail.give_back()
        raise


def _wait_for_no_lock_too_long() -> None:
    """An import holds the project for minutes, and a supervisor that waits does not beat. SQLite has a limit of its
    own."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            limit = f"{settings.HEARTBEAT_TIMEOUT * 1000 // 6}ms"
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [limit])


def _take_in(run: Run, lines: list[dict[str, Any]]) -> int:
    prompts = Prompt.objects.filter(project=run.project).in_bulk({line["prompt"] for line in lines})
    groups = groupby(lines, key=lambda line: line["prompt"])
    return sum(_take_in_prompt(run, prompts[key], list(group)) for key, group in groups if key in prompts)


def _take_in_prompt(run: Run, prompt: Prompt, lines: list[dict[str, Any]]) -> int:
    for line in lines:
        _store(run, prompt, line)
    samples = Sample.objects.filter(run=run, response__prompt=prompt).select_related("response")
    written = {_slot(sample.response.key): sample for sample in samples}
    if _chooses(run):
        pairs = _chosen_pair(run, written)
    else:
        fresh = {(line["model"], line["index"]) for line in lines}
        pairs = [pair for pair in _pairs(run, written) if fresh.intersection(pair)]
    return sum(_compare(run, prompt, pair, written) for pair in pairs)


def _store(run: Run, prompt: Prompt, line: dict[str, Any]) -> None:
    artifact = run.reference_model if line["model"] == OLD else run.model
    response = intake.store_response(
        prompt=prompt,
        text=line["text"],
        source=artifact.name,
        key=f"run{run.pk}:{line['model']}:{line['index']}",
        metadata={"run": run.pk, "seed": line.get("seed")},
    )
    facts = {"tokens": line["tokens"], "finished": line["finished"], "score": line.get("score")}
    Sample.objects.get_or_create(response=response, defaults={"run": run, "artifact": artifact, **facts})


def _slot(key: str) -> Slot:
    _run, model, index = key.split(":")
    return model, int(index)


def _pairs(run: Run, written: Iterable[Slot]) -> list[tuple[Slot, Slot]]:
    """Which responses to a prompt are compared: new with old of the same index, or all with each other; or none."""
    slots = sorted(written)
    if run.config.get("pairs", ALL) == NONE:
        return []
    if run.reference_model_id is None:
        return list(combinations(slots, 2))
    return [((NEW, index), (OLD, index)) for model, index in slots if model == NEW and (OLD, index) in slots]


def _chooses(run: Run) -> bool:
    return run.config.get("pairs", ALL) in CHOICES


def _chosen_pair(run: Run, written: dict[Slot, Sample]) -> list[tuple[Slot, Slot]]:
    """One pair, by score, of responses that differ; none before all responses to the prompt are there."""
    slots = sorted(written)
    if len(slots) < run.config["samples_per_prompt"]:
        return []
    slots = [slots[place] for place in scored_pairs.distinct([written[slot].response.text for slot in slots])]
    if len(slots) < 2:
        return []
    one, other = CHOICES[run.config["pairs"]]([written[slot].score for slot in slots])
    return [(slots[one], slots[other])]


def _number_of_pairs(run: Run, written: Iterable[Slot]) -> int:
    """How many comparisons would come of these if no two texts were alike."""
    pairs = _pairs(run, written)
    return min(len(pairs), 1) if _chooses(run) else len(pairs)


def _compare(run: Run, prompt: Prompt, pair: tuple[Slot, Slot], written: dict[Slot, Sample]) -> bool:
    """A and B are drawn, so that neither letter says who wrote it; from the key, so that it is the same every time."""
    key = f"run{run.pk}:{prompt.pk}:" + "~".join(f"{model}{index}" for model, index in pair)
    sides = [written[slot].response for slot in pair]
    random.Random(f"{run.seed}:{key}").shuffle(sides)
    made = intake.compare(batch=run.batch, prompt=prompt, response_a=sides[0], response_b=sides[1], key=key)
    return made is not None
