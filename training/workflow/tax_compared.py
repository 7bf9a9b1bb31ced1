"""What several policies have unlearned, side by side: a line for each set that one of them was probed with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from training.models import Run
from training.workflow.alignment_tax import MEASURES_COMPARED, Change, tax_of
from training.workflow.best import best_of


@dataclass(frozen=True)
class TaxCell:
    """The change of one run against its own start, or none; `best` only where its interval lies apart from all."""

    change: Change | None
    best: bool = False


@dataclass(frozen=True)
class TaxRow:
    """`kind` "probes" or "texts"; two sets of one name are told apart by the first digits of their hash, `mark`."""

    kind: str
    name: str
    mark: str
    cells: list[TaxCell]


def tax_side_by_side(runs: Sequence[Run]) -> list[TaxRow]:
    """The runs come with their artifact. A set is the same where its hash is; changes are marked only of runs that
    began with the same model."""
    names: dict[tuple[str, str], str] = {}
    found: list[dict[tuple[str, str], Change]] = []
    for run in runs:
        artifact = getattr(run, "artifact", None)
        sets = tax_of(artifact) if artifact else []
        names |= {(one.kind, one.hash): one.name for one in sets}
        found.append(
            {(one.kind, one.hash): row for one in sets for row in one.rows if row.measure in MEASURES_COMPARED}
        )
    often = Counter(names.values())
    one_start = len({run.model_id for run in runs}) == 1
    return [
        TaxRow(
            key[0], name, key[1][:8] if often[name] > 1 else "", _cells([each.get(key) for each in found], one_start)
        )
        for key, name in names.items()
    ]


def _cells(changes: list[Change | None], one_start: bool) -> list[TaxCell]:
    best = best_of([one.change if one else None for one in changes]) if one_start else None
    return [TaxCell(one, one is not None and one.change is best) for one in changes]
