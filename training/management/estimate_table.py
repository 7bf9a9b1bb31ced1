"""An estimate as a table for a terminal."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from training.recipes.estimate import Estimate
from training.workflow.estimate_words import (
    advice_words,
    assumptions,
    duration,
    refusal,
    sampling_assumptions,
    share,
    size,
    speed_words,
    unsaid,
)
from training.workflow.estimates import Answer
from training.workflow.sampling_estimates import SamplingAnswer


def table_of(found: Answer) -> str:
    """Every method a line, the chosen one marked; then the parts of its memory, and what fits where it does not."""
    head = ["", _("adapter"), _("trained"), "%", _("memory"), _("disk"), _("time")]
    rows = [head, *(_row(one, found.chosen.adapter) for one in found.methods)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head) - 1)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)) + "  " + row[-1] for row in rows
    ]
    return "\n".join([*lines, "", *_about(found)])


def sampling_lines(found: SamplingAnswer) -> str:
    """Of a sampling run: what it takes, the parts of its memory, and what fits where it does not."""
    one = found.chosen
    lines = [_("The model has %(base)s parameters.") % {"base": f"{one.base:,}"}]
    if one.memory and one.disk:
        facts = {"memory": size(one.memory.total), "disk": size(one.disk["total"]), "time": duration(one.seconds)}
        lines.append(_("Memory %(memory)s, disk %(disk)s, time: %(time)s.") % facts)
        lines.append(", ".join(f"{name} {size(part)}" for name, part in one.memory.parts.items() if part))
    lines += [sampling_assumptions(found), *_time_of(found), *filter(None, [unsaid(found.question)])]
    return "\n".join(lines if one.fits else [*lines, advice_words(found)])


def _row(one: Estimate, chosen: str) -> Sequence[str]:
    mark = "*" if one.adapter == chosen else " "
    if one.parameters is None or one.memory is None or one.disk is None:
        return [mark, one.adapter, "-", "-", "-", "-", refusal(one)]
    warned = "" if one.fits else " !"
    counted = one.parameters
    return [
        mark,
        one.adapter,
        f"{counted.trainable:,}",
        share(counted.percent),
        size(one.memory.total) + warned,
        size(one.disk["total"]),
        duration(one.seconds),
    ]


def _about(found: Answer) -> list[str]:
    memory = found.chosen.memory
    lines = [_("The model has %(base)s parameters.") % {"base": f"{found.chosen.base:,}"}]
    if memory:
        shown = ", ".join(f"{name} {size(part)}" for name, part in memory.parts.items() if part)
        lines.append(_("Memory of %(adapter)s: %(parts)s") % {"adapter": found.chosen.adapter, "parts": shown})
    lines += [assumptions(found), *_time_of(found), *filter(None, [unsaid(found.question)])]
    if not found.chosen.fits:
        lines.append(advice_words(found))
    return lines


def _time_of(found: Answer | SamplingAnswer) -> list[str]:
    """Of how much data the time is, which nobody has named here as a form does; and what it rests on."""
    said = _("The time is for %(examples)s examples (--examples).") % {"examples": f"{found.question.data.examples:,}"}
    return [*([said] if found.chosen.durations else []), speed_words(found.question)]
