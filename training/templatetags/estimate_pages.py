"""How the pages say what an estimate has found."""

from django import template

from training.recipes.estimate import Estimate, Question, Sampling
from training.workflow import estimate_words, sizes
from training.workflow.estimates import Answer
from training.workflow.sampling_estimates import SamplingAnswer

register = template.Library()
register.filter("as_size", sizes.size)
register.filter("as_duration", estimate_words.duration)
register.filter("part_name", estimate_words.part_name)


@register.filter
def as_count(number: int) -> str:
    return f"{number:,}"


@register.filter
def memory_part(one: Estimate, name: str) -> str:
    size = one.memory.parts[name] if one.memory else 0
    return sizes.size(size) if size else "–"


@register.filter
def refused_because(one: Estimate) -> str:
    return estimate_words.refusal(one)


@register.filter
def speed_from(question: Question | Sampling) -> str:
    return estimate_words.speed_words(question)


@register.filter
def as_share(percent: float) -> str:
    return estimate_words.share(percent)


@register.filter
def rests_on(answer: Answer) -> str:
    return estimate_words.assumptions(answer)


@register.filter
def sampling_rests_on(answer: SamplingAnswer) -> str:
    return estimate_words.sampling_assumptions(answer)


@register.filter
def nearest(answer: Answer | SamplingAnswer) -> str:
    return estimate_words.advice_words(answer)


@register.filter
def not_counted(question: Question | Sampling) -> str:
    return estimate_words.about_model(question.model)


@register.filter
def left_open(question: Question | Sampling) -> str:
    return estimate_words.unsaid(question)
