"""The parts of the agreement page as JSON: headline, filtered, breakdowns, pairs, confusion, split comparisons."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.models import Project
from annotate.statistics.against_reference import AgainstReference
from annotate.statistics.agreement_difference import agreement_difference
from annotate.statistics.cohen_kappa import cohen_kappa
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Estimate
from annotate.statistics.gwet_ac import gwet_ac1
from annotate.statistics.intervals import LEVEL, REPLICATES
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.leave_one_out import leave_one_out, majority_of_others
from annotate.statistics.pairs_of_annotators import contingency_tables, same_label
from annotate.statistics.raw_agreement import raw_agreement
from annotate.statistics.suite import agreement_suite
from annotate.workflow.agreement import FEW_ANNOTATORS, names_of
from annotate.workflow.agreement_adjudicated import AgainstFinalWords, against_final_words
from annotate.workflow.agreement_degrees import alpha_of_degrees
from annotate.workflow.agreement_groups import groups_of
from annotate.workflow.judgment_columns import NO_VERSION, JudgmentColumns

FASTEST = 2.0
"""Seconds: nobody reads two responses in less."""
LEAST_AGREEMENT = 0.5
LEAST_COMPARED = 10
MOST_GROUPS = 60
MOST_PAIRS = 100
MOST_SPLIT = 30


def parts_of(project: Project, columns: JudgmentColumns, breakdowns: Iterable[str]) -> dict[str, Any]:
    """`left_out` counts by breakdown the groups that are too small to be among its largest."""
    judgments = columns.judgments()
    names = names_of(judgments)
    people = leave_one_out(judgments).annotators
    adjudicated = against_final_words(project, columns, replicates=REPLICATES)
    groups = {
        by: (_people(people, names, adjudicated), 0) if by == "annotator" else _breakdown(project, columns, by)
        for by in breakdowns
    }
    return {
        "overall": _overall(columns, judgments),
        "filtered": _filtered(columns, people),
        "breakdowns": {by: shown for by, (shown, _left_out) in groups.items()},
        "left_out": {by: left_out for by, (_shown, left_out) in groups.items()},
        "differences": _differences(columns),
        "adjudicated": _adjudicated(adjudicated, people, names),
        "pairs": _pairs(judgments, names),
        "confusion": _confusion(judgments),
        "split": _split(judgments),
    }


def _overall(columns: JudgmentColumns, judgments: Judgments) -> dict[str, Any]:
    degrees = alpha_of_degrees(columns)
    graded = {"alpha_of_degrees": degrees.as_json()} if degrees else {}
    return {**agreement_suite(judgments, most_pairs=0).as_json(), **graded}


def _headline(judgments: Judgments) -> dict[str, Any]:
    counts = count_matrix(judgments)
    return {
        "n_items": judgments.items.size,
        "n_judgments": len(judgments),
        "raw": raw_agreement(counts).as_json(),
        "alpha": krippendorff_alpha(counts).as_json(),
        "ac1": gwet_ac1(counts).as_json(),
    }


def _filtered(columns: JudgmentColumns, people: list[AgainstReference]) -> dict[str, Any]:
    """Without judgments faster than FASTEST, and without people who rarely say what the others say."""
    with np.errstate(invalid="ignore"):
        fast = columns.seconds < FASTEST
    unlike = np.array([each.annotator for each in people if _is_unlike(each)], dtype=np.int64)
    theirs = np.isin(columns.annotator, unlike)
    kept = columns.where(~(fast | theirs))
    removed = {"fast": int(fast.sum()), "people": unlike.size, "theirs": int(theirs.sum())}
    return {**_headline(kept.judgments()), "removed": removed}


def _is_unlike(each: AgainstReference) -> bool:
    share = each.raw_agreement
    return isinstance(share, Estimate) and each.n >= LEAST_COMPARED and share.value < LEAST_AGREEMENT


def _people(
    people: list[AgainstReference], names: dict[int, str], adjudicated: AgainstFinalWords
) -> list[dict[str, Any]]:
    """Each person against the majority of the others, as `corrected` Cohen's kappa with it; those with most judgments
    first."""
    return [
        {
            "group": names[each.annotator],
            "n_judgments": each.n_judgments,
            "raw": each.raw_agreement.as_json(),
            "corrected": each.kappa.as_json(),
            "adjudicated": adjudicated.share_of(each.annotator).as_json(),
        }
        for each in sorted(people, key=lambda each: -each.n_judgments)
    ]


def _breakdown(project: Project, columns: JudgmentColumns, by: str) -> tuple[list[dict[str, Any]], int]:
    """The largest groups, in their order, and how many there are beside them: each has bootstraps of its own."""
    groups = list(groups_of(project, columns, by))
    sizes = sorted((int(mask.sum()) for _name, mask in groups), reverse=True)
    least = sizes[MOST_GROUPS - 1] if len(sizes) > MOST_GROUPS else 0
    shown = [(name, mask) for name, mask in groups if mask.sum() >= least]
    return [_group(name, columns.where(mask).judgments()) for name, mask in shown], len(groups) - len(shown)


def _group(name: str | None, judgments: Judgments) -> dict[str, Any]:
    """Raw agreement, and as `corrected` alpha."""
    counts = count_matrix(judgments)
    raw, alpha = raw_agreement(counts), krippendorff_alpha(counts)
    return {"group": name, "n_judgments": len(judgments), "raw": raw.as_json(), "corrected": alpha.as_json()}


def _adjudicated(found: AgainstFinalWords, people: list[AgainstReference], names: dict[int, str]) -> dict[str, Any]:
    """Those with most judgments of adjudicated comparisons first, each also against the majority of the others."""
    others = {each.annotator: each.raw_agreement for each in people}
    return {
        "n": found.n_adjudicated,
        "seen": found.n_votes_seen,
        "bad": found.n_bad,
        "overall": found.overall.as_json(),
        "people": [
            {
                "name": names[each.annotator],
                "words": each.raw_agreement.as_json(),
                "others": others[each.annotator].as_json(),
            }
            for each in sorted(found.compared, key=lambda each: -each.n)
        ],
    }


def _differences(columns: JudgmentColumns) -> list[dict[str, Any]]:
    """Each guideline version against the one before it, over the comparisons judged under either."""
    versions = [number for number in np.unique(columns.version).tolist() if number != NO_VERSION]
    found = []
    for older, newer in pairwise(versions):
        part = columns.where((columns.version == older) | (columns.version == newer))
        before, after = (_counts(part, part.version == version) for version in (older, newer))
        found.append(
            {
                "older": older,
                "newer": newer,
                "raw": agreement_difference(before, after, "raw_agreement").as_json(),
                "alpha": agreement_difference(before, after).as_json(),
            }
        )
    return found


def _counts(columns: JudgmentColumns, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Votes of the judgments in `mask` on all items of the columns, (items, 3)."""
    items, item = np.unique(columns.item, return_inverse=True)
    return np.bincount(item[mask] * 3 + columns.label[mask], minlength=items.size * 3).reshape(-1, 3)


def _pairs(judgments: Judgments, names: dict[int, str]) -> dict[str, Any]:
    """Of few people every two who share a comparison, of many those with most in common."""
    pairs, tables = contingency_tables(judgments)
    is_matrix = judgments.annotators.size <= FEW_ANNOTATORS
    common = tables.sum(axis=(1, 2))
    order = np.argsort(-common, kind="stable")[: None if is_matrix else MOST_PAIRS]
    ids = judgments.annotators.tolist()
    rows = [
        {
            "first": names[ids[first]],
            "second": names[ids[second]],
            "raw": same_label(table, LEVEL).as_json(),
            "kappa": cohen_kappa(table).as_json(),
        }
        for (first, second), table in zip(pairs[order].tolist(), tables[order], strict=True)
    ]
    return {
        "is_matrix": is_matrix,
        "people": sorted(names.values()) if is_matrix else [],
        "n": len(pairs),
        "rows": rows,
    }


def _confusion(judgments: Judgments) -> list[list[int]]:
    """[said][majority of the others], where these have one."""
    reference = majority_of_others(judgments)
    known = reference >= 0
    cells = judgments.label[known] * 3 + reference[known]
    return np.bincount(cells, minlength=9).reshape(3, 3).tolist()


def _split(judgments: Judgments) -> list[dict[str, int]]:
    """The comparisons that people agreed on least, those with most votes first."""
    counts = count_matrix(judgments)
    total = counts.sum(axis=1)
    pairs = total * (total - 1)
    equal = (counts * (counts - 1)).sum(axis=1)
    agreement = np.divide(equal, pairs, out=np.ones(total.size), where=pairs > 0)
    order = np.lexsort((judgments.items, -total, agreement))[:MOST_SPLIT]
    return [
        {"comparison": int(judgments.items[row]), "a": int(a), "tie": int(tie), "b": int(b)}
        for row in order.tolist()
        if agreement[row] < 1
        for a, tie, b in [counts[row].tolist()]
    ]
