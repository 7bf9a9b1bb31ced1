"""Says in words and round figures what an estimate has found: sizes, durations, what fits and what does not."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from annotate.lists import labelled, listed
from annotate.models import FeedbackSet
from training.recipes import RECIPES, load
from training.recipes.estimate import DRAWN, NAMELESS, Advice, Architecture, Estimate, Question, Sampling
from training.recipes.titles import ADAPTERS
from training.workflow.device import SHARE_OF_PRODUCTS
from training.workflow.estimates import Answer
from training.workflow.sampling_estimates import SamplingAnswer
from training.workflow.sizes import size
from training.workflow.told import in_readers_language

PART_NAMES = {
    "weights": gettext_noop("Weights"),
    "gradients": gettext_noop("Gradients"),
    "optimizer": gettext_noop("Optimizer"),
    "activations": gettext_noop("Activations"),
    "reference": gettext_noop("Reference"),
    "value": gettext_noop("Value model"),
    "reward": gettext_noop("Reward model"),
    "kv_cache": gettext_noop("Cache of keys and values"),
}
TIME_NAMES = {
    "loading": gettext_noop("loading"),
    "reading": gettext_noop("reading the texts once"),
    "training": gettext_noop("training"),
    "answers": gettext_noop("answers on the way"),
    "drawing": gettext_noop("drawing the responses"),
    "scoring": gettext_noop("scoring them"),
    "evaluation": gettext_noop("evaluation"),
}


def unbalanced(recipe: str, settings: dict[str, Any], feedback: FeedbackSet | None) -> str:
    """Of votes that weigh more on one side, with the weight that would balance them."""
    if recipe != "kto" or feedback is None:
        return ""
    found = load(recipe, settings).unbalanced(feedback.desirable, feedback.undesirable)
    return _(found[0]) % found[1] if found else ""


def part_name(name: str) -> str:
    return _(PART_NAMES[name])


def share(percent: float) -> str:
    """Of few weights, too, it is more than none."""
    return "< 0.001" if 0 < percent < 0.0005 else f"{percent:.3f}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return _("not known")
    if seconds < 60:
        return _("under a minute")
    minutes = round(seconds / 60)
    if minutes < 60:
        return ngettext("about %(count)s minute", "about %(count)s minutes", minutes) % {"count": minutes}
    hours = seconds / 3600
    if hours < 48:
        return _("about %(count)s hours") % {"count": f"{hours:.1f}"}
    return _("about %(count)s days") % {"count": f"{hours / 24:.1f}"}


def refusal(one: Estimate) -> str:
    """Why there are no figures of it."""
    error = one.refused or one.unknown
    return in_readers_language(error.message, error.template, error.values) if error else ""


def speed_words(question: Question | Sampling) -> str:
    """Where the time comes from."""
    speed = question.speed
    if speed.source == "earlier run":
        return _("Time by how long “%(run)s” took, in proportion to the operations.") % {"run": speed.told}
    if speed.source == "matrix product":
        said = _(
            "Time by the operations of the tokens, at %(rate)s GFLOP/s: %(share)s %% of what a matrix product did here."
        )
        share = f"{100 * SHARE_OF_PRODUCTS:.0f}"
        return said % {"rate": f"{speed.operations_per_second / 1e9:.0f}", "share": share}
    if speed.source == "given":
        said = _("Time from the operations of the tokens, at the %(rate)s GFLOP/s that were given.")
        return said % {"rate": f"{speed.operations_per_second / 1e9:.0f}"}
    if not question.data.examples:
        return _("The time is not known without the data that it learns from.")
    return _("The time is not known: no run of this kind has been made on such a device yet.")


def times(one: Estimate) -> str:
    """The parts of its time; nothing where it is not known."""
    if one.durations is None:
        return ""
    parts = (f"{_(TIME_NAMES[name])} {in_short(spent)}" for name, spent in one.durations.parts.items() if spent)
    return _("Of the time: %(parts)s.") % {"parts": listed(parts)}


def in_short(seconds: float) -> str:
    """To two digits at most."""
    if seconds < 100:
        return _("%(seconds)s s") % {"seconds": f"{seconds:.0f}"}
    if seconds < 6000:
        return _("%(minutes)s min") % {"minutes": f"{seconds / 60:.0f}"}
    return _("%(hours)s h") % {"hours": f"{seconds / 3600:.0f}"}


def assumptions(found: Answer) -> str:
    """What the memory is for: the longest batch that the settings let through. And what the time is made of."""
    work = found.question.work(found.chosen.config)
    said = _("Memory for a batch of %(rows)s texts of %(length)s tokens, %(response)s of them response.")
    words = [said % {"rows": work.rows, "length": work.length, "response": work.response}, kept_words(found)]
    if work.recipe in DRAWN and found.question.reward is None:
        words.append(_("Its reward model is not known, and taken for a LoRA on the policy's base."))
    if getattr(found.chosen.config, "group_by_prompt", False) and not found.question.data.responses:
        words.append(_("How many responses a prompt has is not known; two are taken for it."))
    words.append(shared_words(found.question))
    return " ".join(filter(None, [*words, times(found.chosen)]))


def kept_words(found: Answer | SamplingAnswer) -> str:
    """What a process takes beside the memory that is told."""
    machine = found.question.machine
    if machine.device == "gpu" and machine.process:
        return _("CUDA itself is taken to keep %(context)s of a GPU.") % {"context": size(machine.process)}
    if found.chosen.memory is None or not found.chosen.memory.heap:
        return ""
    said = _("On a CPU a process keeps up to %(heap)s of freed memory beside it; Python takes %(libraries)s.")
    beside = {"heap": found.chosen.memory.heap, "libraries": machine.process}
    return said % {name: size(number) for name, number in beside.items()}


def sampling_assumptions(found: SamplingAnswer) -> str:
    """What memory and time of a sampling run are for."""
    asked, config = found.question, found.chosen.config
    said = _(
        "Memory for %(rows)s responses side by side, of up to %(response)s tokens, to prompts of up to %(longest)s."
    )
    rows = min(config.batch_size, asked.data.examples) * config.samples_per_prompt
    words = [said % {"rows": rows, "response": config.max_new_tokens, "longest": asked.longest}]
    if asked.loaded.sharing:
        words.append(_("Models that differ only in an adapter are loaded on one base."))
    if asked.response is None and found.chosen.durations:
        words.append(_("Time as if every response were as long as it may be."))
    return " ".join(filter(None, [*words, kept_words(found), times(found.chosen)]))


def shared_words(question: Question) -> str:
    """For how many devices the figures are, where there are several."""
    devices, on_gpus = question.machine.devices, question.machine.device == "gpu"
    if devices == 1:
        return ""
    if question.processes == 1:
        return _("The run takes one of the %(devices)s devices.") % {"devices": devices}
    if on_gpus:
        said = _("The run takes %(devices)s devices: the memory is that of each of them, the time that of one alone.")
    else:
        said = _(
            "The run is computed by %(devices)s processes: the memory is that of each, and the machine has to hold "
            "them all; the time is that of one alone."
        )
    return said % {"devices": devices}


def about_model(model: Architecture) -> str:
    """What is not known of a model, and what of it is not counted."""
    words = []
    if not model.known and model.family == NAMELESS:
        said = _("The config.json names no architecture: it was counted as if it were built like a Llama.")
        words.append(said)
    elif not model.known:
        said = _("The architecture “%(family)s” is not known here: it was counted as if it were built like a Llama.")
        words.append(said % {"family": model.family})
    if {"vision_config", "audio_config"} & set(model.left_out):
        words.append(_("What the model sees or hears with is not counted."))
    if "quantization_config" in model.left_out:
        words.append(
            _("Its weights are quantised as they are published. That is not counted: memory is that of whole weights.")
        )
    return " ".join(words)


def unsaid(question: Question | Sampling) -> str:
    """What the figures leave open."""
    if question.machine.memory is not None:
        return ""
    return _(
        "The memory of this device is not known here, so whether it fits is not told. Give its memory to learn it."
    )


def advice_words(found: Answer | SamplingAnswer) -> str:
    """What does not fit, and the nearest thing that does."""
    machine, memory = found.question.machine, found.chosen.memory
    needed = machine.taken(memory, found.question.processes) if memory else 0
    figures = {"needed": size(needed), "there": size(machine.memory or 0)}
    lacking = _("This does not fit: it takes %(needed)s, and the device has %(there)s.") % figures
    if found.advice is None:
        return f"{lacking} {_('No smaller batch, length or adapter fits either: take a smaller model.')}"
    return f"{lacking} {changes(found.advice, found.question)}"


def changes(advice: Advice, question: Question | Sampling) -> str:
    named = listed(labelled(_label(question.recipe, name), _value(value)) for name, value in advice.changed.items())
    memory = advice.found.memory
    said = _("The nearest that fits takes %(total)s: %(changes)s.")
    taken = question.machine.taken(memory, question.processes) if memory else 0
    words = [said % {"total": size(taken), "changes": named}]
    if "batch_size" in advice.changed and not getattr(advice.found.config, "by_item", True):
        words.append(_("Its loss looks at all of a batch: with a smaller one it learns a little differently."))
    return " ".join(words)


def _label(recipe: str, name: str) -> str:
    return _(RECIPES[recipe].__dataclass_fields__[name].metadata.get("label", name))


def _value(value: Any) -> str:
    if value is True:
        return _("yes")
    return _(ADAPTERS[value]) if value in ADAPTERS else str(value)
