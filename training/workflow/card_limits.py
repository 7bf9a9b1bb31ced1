"""The limits that a model card says in words: too little data, no difference from chance, other texts than its own."""

from collections.abc import Iterator

from training.workflow.alignment_tax import MEASURES_COMPARED
from training.workflow.card_contents import Facts, counted, plain
from training.workflow.evaluation import ROLLOUTS, Figure
from training.workflow.figures import half_width

# Reward models and policies are commonly trained on tens of thousands of comparisons (Ouyang et al. 2022, table 6).
FEW_EXAMPLES = 1000
SHORT_STEPS = 100
FEW_ANNOTATORS = 5
# What a model that has learned nothing would show.
CHANCE = {"accuracy": 0.5, "win_rate": 0.5, "margin": 0.0, "reward_gain": 0.0}
BASELINES = {"accuracy_longer_wins": "“the longer one wins”"}


def limits_of(facts: Facts) -> list[str]:
    """Sentences, the most serious first."""
    return [
        *_of_figures(facts),
        *_of_tax(facts),
        *_of_data(facts),
        *_of_kind(facts),
        *_of_weights(facts),
        *_of_ensemble(facts),
        _of_base(facts),
    ]


def _of_figures(facts: Facts) -> Iterator[str]:
    if facts.recipe and not any(figure.value is not None for figure in facts.figures):
        yield "There are no held-out numbers: nothing is known of how well it does."
    if seen := facts.seen_before:
        names = ", ".join(plain(name) for name in seen["by"])
        yield (
            f"The numbers flatter it: {seen['seen']} of {counted(seen['prompts'], 'held-out prompt')} had been trained "
            f"on before, by {names}."
        )
    known = {figure.name: figure for figure in facts.figures}
    for name, chance in CHANCE.items():
        if _covers(known.get(name), chance):
            label, value = known[name].label, _said(name, chance)
            yield f"“{label}” is not shown to differ from chance: its interval covers {value}."
    for name, words in BASELINES.items():
        if name in known and _covers(known.get("accuracy"), known[name].value):
            yield f"Its accuracy is not shown to differ from that of {words}: it may have learned little but length."
    sizes = [figure.n for figure in facts.figures if figure.is_share and figure.n]
    if sizes and min(sizes) < FEW_EXAMPLES:
        half = half_width(min(sizes))
        yield f"With {counted(min(sizes), 'held-out example')} a share is known to about ±{half:.0f} points, no better."


def _covers(figure: Figure | None, value: float | None) -> bool:
    if figure is None or value is None or figure.low is None or figure.high is None:
        return False
    return figure.low <= value <= figure.high


def _said(name: str, chance: float) -> str:
    return "zero" if chance == 0 else f"{100 * chance:.0f} %"


def _of_tax(facts: Facts) -> Iterator[str]:
    """Where it is shown to do worse than its start; of a set's measures one, by which no length counts."""
    worse = [
        one.name for one in facts.tax for row in one.rows if row.verdict == "worse" and row.measure in MEASURES_COMPARED
    ]
    if worse:
        names = ", ".join(plain(name) for name in dict.fromkeys(worse))
        yield f"The training has cost something elsewhere: it does worse than its start on {names}."


def _of_data(facts: Facts) -> Iterator[str]:
    if 0 < facts.train < FEW_EXAMPLES:
        yield f"Few data: it was trained on {counted(facts.train, 'example')}, and may know little beyond them."
    if 0 < facts.steps < SHORT_STEPS:
        yield f"Short training: {counted(facts.steps, 'step')} of the optimizer."
    data = facts.data
    if data is None:
        return
    if data.annotators < FEW_ANNOTATORS:
        yield f"The preferences are those of {counted(data.annotators, 'person')}, who may not be like your readers."
    named = [name for name in data.languages if name != "not recorded"]
    if named:
        yield f"Nothing is known of it in other languages than those of its prompts ({', '.join(sorted(named))})."
    else:
        yield "The language of the prompts was not recorded; nothing is known of it in others."


def _of_kind(facts: Facts) -> Iterator[str]:
    if facts.task == "reward":
        yield (
            "A reward model is right only near its data: prompts of this kind, answered by models like those that were "
            "compared. A policy that is optimised against it will find texts it wrongly likes."
        )
    if facts.recipe in ROLLOUTS:
        yield "Scores and win rate are the reward model's opinion of its own pupil; only people can confirm them."


def _of_weights(facts: Facts) -> Iterator[str]:
    if facts.dtype in ("bfloat16", "float16"):
        yield f"The weights were rounded to {facts.dtype} after the numbers above were measured."
    if facts.adapter == "qlora" and (facts.merged or facts.form == "merged"):
        yield "It was trained beside a base in 4 bits and merged into what these 4 bits stand for, not into the base."


def _of_ensemble(facts: Facts) -> Iterator[str]:
    if facts.separate_adapters > 1:
        yield (
            f"It is an ensemble of {facts.separate_adapters} adapters, and its score the mean of theirs, each with its "
            "row of the score head. PEFT loads the first one alone: load the base with "
            f"num_labels={facts.separate_adapters}, and read logits[:, 0]. The others are in member_1.safetensors and "
            "so on, and the head's other rows are theirs."
        )


def _of_base(facts: Facts) -> str:
    return "What the base model gets wrong it may still get wrong; the base model's licence holds for this one, too."
