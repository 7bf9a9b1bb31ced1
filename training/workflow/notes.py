"""What is to be known beside the figures of a run: on what they rest, what was left out, and what takes their worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from annotate.lists import listed
from annotate.shares import as_percent
from training.models import Run
from training.workflow import left_out
from training.workflow.figures import ENOUGH_PROMPTS, ROLLOUTS

# Beyond these a figure is read wrongly by whoever has not seen the note: it stands above the figures then.
MUCH_LEFT_OUT = 0.1
FEW_PROMPTS = 20
MUCH_CUT = 0.5

# What an example of a recipe is, where it is no pair.
TRAINED_ON = {
    "sft": ngettext_lazy(
        "Trained on %(train)s demonstration, evaluated on %(test)s.",
        "Trained on %(train)s demonstrations, evaluated on %(test)s.",
        "train",
    ),
    "kto": ngettext_lazy(
        "Trained on %(train)s single response, evaluated on %(test)s.",
        "Trained on %(train)s single responses, evaluated on %(test)s.",
        "train",
    ),
    **dict.fromkeys(
        ROLLOUTS,
        ngettext_lazy(
            "Trained on %(train)s prompt; %(test)s were held out.",
            "Trained on %(train)s prompts; %(test)s were held out.",
            "train",
        ),
    ),
}
ON_PAIRS = ngettext_lazy(
    "Trained on %(train)s pair, evaluated on %(test)s.", "Trained on %(train)s pairs, evaluated on %(test)s.", "train"
)
LEFT_OUT = {
    "sft": gettext_lazy("%(n)s of %(total)s demonstrations (%(share)s) left out: %(reasons)s."),
    "kto": gettext_lazy("%(n)s of %(total)s single responses (%(share)s) left out: %(reasons)s."),
    **dict.fromkeys(ROLLOUTS, gettext_lazy("%(n)s of %(total)s prompts (%(share)s) left out: %(reasons)s.")),
}
PAIRS_LEFT_OUT = gettext_lazy("%(n)s of %(total)s pairs (%(share)s) left out: %(reasons)s.")
# Where examples share prompts: that these are too few, few, or enough.
HELD_OUT = {
    "sft": (
        ngettext_lazy(
            "The held-out demonstrations are of only %(prompts)s prompt: intervals say nothing of other prompts.",
            "The held-out demonstrations are of only %(prompts)s prompts: intervals say nothing of other prompts.",
            "prompts",
        ),
        gettext_lazy(
            "The held-out demonstrations are of only %(prompts)s prompts: the figures tell little of other prompts."
        ),
        gettext_lazy(
            "The held-out demonstrations are of %(prompts)s prompts: intervals allow for what those of a prompt share."
        ),
    ),
    "kto": (
        ngettext_lazy(
            "The held-out responses are of only %(prompts)s prompt: intervals say nothing of other prompts.",
            "The held-out responses are of only %(prompts)s prompts: intervals say nothing of other prompts.",
            "prompts",
        ),
        gettext_lazy(
            "The held-out responses are of only %(prompts)s prompts: the figures tell little of other prompts."
        ),
        gettext_lazy(
            "The held-out responses are of %(prompts)s prompts: intervals allow for what those of a prompt share."
        ),
    ),
}
PAIRS_HELD_OUT = (
    ngettext_lazy(
        "The held-out pairs are of only %(prompts)s prompt: intervals say nothing of other prompts.",
        "The held-out pairs are of only %(prompts)s prompts: intervals say nothing of other prompts.",
        "prompts",
    ),
    gettext_lazy("The held-out pairs are of only %(prompts)s prompts: the figures tell little of other prompts."),
    gettext_lazy(
        "The held-out pairs are of %(prompts)s prompts: intervals allow for what the pairs of a prompt share."
    ),
)
UNREAD = ngettext_lazy(
    "Of %(n)s response the reward model could not read the end: its score is of what it could.",
    "Of %(n)s responses the reward model could not read the end: their scores are of what it could.",
    "n",
)


@dataclass(frozen=True)
class Note:
    """`warns`: the figures cannot be read without it. `left_out`: it says how much of the data was not used."""

    text: str
    warns: bool = False
    left_out: bool = False


def lost_of(notes: Iterable[Note]) -> str:
    """How much was left out, where it was so much that figures may be missing for that; else ""."""
    return next((note.text for note in notes if note.left_out and note.warns), "")


def notes_on_product(manifest: dict[str, Any]) -> list[Note]:
    data, recipe = manifest.get("data") or {}, manifest.get("recipe")
    sizes = {"train": data.get("train", 0), "test": data.get("test", 0)}
    notes = [Note(TRAINED_ON.get(recipe, ON_PAIRS) % sizes)]
    said = HELD_OUT.get(recipe, PAIRS_HELD_OUT)
    notes += _on_prompts(said, sizes["test"], data.get("test_prompts", sizes["test"]))
    notes += _on_seen((manifest.get("lineage") or {}).get("seen_before"))
    if dropped := data.get("dropped"):
        said = LEFT_OUT.get(recipe, PAIRS_LEFT_OUT)
        notes.append(_on_left_out(str(said), dropped, sum(sizes.values()) + len(dropped)))
    if data.get("truncated"):
        notes.append(Note(UNREAD % {"n": data["truncated"]}))
    notes += _on_cut_rollouts(manifest)
    return notes + _on_reference(manifest.get("reference") or {}) + _on_reward(manifest)


def notes_on_samples(run: Run) -> list[Note]:
    result = run.result
    if not result.get("samples"):
        return []
    written, made = result["samples"], result.get("comparisons", 0)
    texts = ngettext("%(n)s response written", "%(n)s responses written", written) % {"n": written}
    pairs = ngettext("%(n)s comparison made", "%(n)s comparisons made", made) % {"n": made}
    notes = [Note(_("%(responses)s, %(comparisons)s.") % {"responses": texts, "comparisons": pairs})]
    if cut := written - result.get("finished", 0):
        notes.append(_on_cut(cut / written, cut))
    if identical := result.get("identical"):
        said = ngettext(
            "%(n)s pair of identical texts was left out.", "%(n)s pairs of identical texts were left out.", identical
        )
        notes.append(Note(said % {"n": identical}))
    if skipped := result.get("skipped"):
        said = _("%(n)s of %(total)s prompts (%(share)s) could not be put to the model: %(reasons)s.")
        notes.append(_on_left_out(said, skipped, max(len(run.prompt_ids), len(skipped))))
    if truncated := (result.get("metrics") or {}).get("truncated"):
        notes.append(Note(UNREAD % {"n": truncated}))
    if unknown := result.get("unknown_prompts"):
        said = ngettext(
            "%(n)s prompt had been deleted in the meantime.", "%(n)s prompts had been deleted in the meantime.", unknown
        )
        notes.append(Note(said % {"n": unknown}))
    return notes


def _on_left_out(said: str, rows: list[dict[str, Any]], total: int) -> Note:
    share = len(rows) / total
    facts = {"n": len(rows), "total": total, "share": as_percent(share), "reasons": left_out.in_words(rows)}
    return Note(said % facts, warns=share > MUCH_LEFT_OUT, left_out=True)


def _on_prompts(words: tuple[Promise, Promise, Promise], examples: int, prompts: int) -> list[Note]:
    too_few, few, enough = words
    if examples == prompts:
        if not ENOUGH_PROMPTS <= prompts < FEW_PROMPTS:  # of fewer the figures themselves say that they are too few
            return []
        said = _("Only %(prompts)s prompts are held out: the figures tell little.")
    elif prompts < ENOUGH_PROMPTS:
        said = too_few
    else:
        said = few if prompts < FEW_PROMPTS else enough
    return [Note(said % {"prompts": prompts}, warns=prompts < FEW_PROMPTS)]


def _on_seen(seen: dict[str, Any] | None) -> list[Note]:
    if not seen:
        return []
    said = ngettext(
        "%(n)s of %(total)s held-out prompts had been trained on before, by %(names)s: the figures flatter this model.",
        "%(n)s of %(total)s held-out prompts had been trained on before, by %(names)s: the figures flatter this model.",
        seen["seen"],
    )
    names = listed(f"“{name}”" for name in seen["by"])
    return [Note(said % {"n": seen["seen"], "total": seen["prompts"], "names": names}, warns=True)]


def _on_cut(share: float, n: int) -> Note:
    said = ngettext(
        "%(n)s response (%(share)s) was cut at the maximum length.",
        "%(n)s responses (%(share)s) were cut at the maximum length.",
        n,
    )
    return Note(said % {"n": n, "share": as_percent(share)}, warns=share > MUCH_CUT)


def _on_cut_rollouts(manifest: dict[str, Any]) -> list[Note]:
    """Of a policy that was trained on its own responses: most of them never came to an end."""
    ended = (manifest.get("metrics") or {}).get("eos_rate_after")
    ended = ended.get("value") if isinstance(ended, dict) else ended
    if ended is None or 1 - ended <= MUCH_CUT:
        return []
    said = _("%(share)s of the policy's responses to held-out prompts were cut at the maximum length.")
    return [Note(said % {"share": as_percent(1 - ended)}, warns=True)]


def _on_reference(reference: dict[str, Any]) -> list[Note]:
    notes = []
    if "computed" in reference:
        said = _("Reference log-probabilities: %(computed)s computed, %(reused)s reused from earlier runs.")
        notes.append(Note(said % {name: reference[name] for name in ("computed", "reused")}))
    if reference.get("moved_at_start"):
        said = _("Virtual tokens change the model before the first step, so the policy did not start at its reference.")
        notes.append(Note(said))
    return notes


def _on_reward(manifest: dict[str, Any]) -> list[Note]:
    notes = []
    if features := manifest.get("features"):
        notes.append(Note(_("Features: %(computed)s computed, %(reused)s reused from earlier runs.") % features))
    if ties := manifest.get("ties"):
        said = ngettext(
            "Learned from %(n)s tie; between equals it expects %(share)s of them.",
            "Learned from %(n)s ties; between equals it expects %(share)s of them.",
            ties.get("train", 0),
        )
        facts = {"n": ties.get("train", 0), "share": as_percent(ties.get("between_equals", 0))}
        notes.append(Note(said % facts))
    return notes
