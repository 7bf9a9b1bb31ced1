"""Snapshots: judgments frozen into (prompt, chosen, rejected), split by prompt, hashed (invariant 5)."""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotate.models import Aggregation, Comparison, Judgment, Project, Snapshot, SnapshotItem, Split, User
from annotate.statistics.judgments import TIE, A, B
from annotate.statistics.majority import majority_votes
from annotate.workflow.exceptions import EmptySnapshot, WorkflowError

CODES = {"a": A, "tie": TIE, "b": B}
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.list_(MESSAGE)),
        ("chosen", pa.list_(MESSAGE)),
        ("rejected", pa.list_(MESSAGE)),
        ("weight", pa.float64()),
        ("soft_label", pa.float64()),
        ("n_votes", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Row:
    """One decided comparison."""

    comparison: Comparison
    a_wins: bool
    soft_label: float
    judgments: list[int]
    split: Split

    def canonical(self) -> dict[str, Any]:
        """What is hashed and written; only content, no ids of this database."""
        pair = (self.comparison.response_a.text, self.comparison.response_b.text)
        chosen, rejected = pair if self.a_wins else pair[::-1]
        return {
            "id": self.comparison.key,
            "prompt": self.comparison.prompt.messages,
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
            "weight": 1.0,
            "soft_label": self.soft_label,
            "n_votes": len(self.judgments),
        }


@dataclass(frozen=True)
class Selection:
    """What a freeze would hold, and what it would leave out, counted."""

    rows: list[Row]
    counts: dict[str, int]
    guideline_versions: list[int]


def select(*, project: Project, test_share: float = 0.2, seed: int = 0) -> Selection:
    """Majority votes of all judged comparisons; ties and splits are dropped and counted. Reads only."""
    votes = _votes(project)
    comparisons = project.comparisons.filter(pk__in=votes).select_related("prompt", "response_a", "response_b")
    ordered = sorted(comparisons.iterator(chunk_size=2000), key=lambda comparison: comparison.key)
    rows: list[Row] = []
    counts: Counter[str] = Counter(dict.fromkeys(("ties", "splits", "won_by_a", "won_by_b", "train", "test"), 0))
    matrix = np.array([_count_row(votes[c.pk]) for c in ordered], dtype=np.int64).reshape(-1, 3)
    for comparison, vote in zip(ordered, majority_votes(matrix), strict=True):
        counts["judgments"] += vote.votes
        if vote.label is None or vote.label == TIE:
            counts["splits" if vote.label is None else "ties"] += 1
            continue
        a_wins = vote.label == A
        row = Row(
            comparison=comparison,
            a_wins=a_wins,
            soft_label=vote.probability_a if a_wins else 1 - vote.probability_a,
            judgments=sorted(judgment for judgment, _choice in votes[comparison.pk]),
            split=split_of(comparison.prompt.content_hash, test_share, seed),
        )
        rows.append(row)
        counts["won_by_a" if a_wins else "won_by_b"] += 1
        counts[row.split] += 1
    counts["comparisons"], counts["pairs"] = len(ordered), len(rows)
    return Selection(rows, dict(counts), _guideline_numbers(project))


def freeze(
    *,
    project: Project,
    aggregation: str = Aggregation.MAJORITY,
    test_share: float = 0.2,
    seed: int = 0,
    actor: User | None = None,
) -> tuple[Snapshot, bool]:
    """The snapshot of the project as it is now, and whether it is new: the same state has the same hash.

    Raises:
        EmptySnapshot: no comparison is decided.
        WorkflowError: an unknown aggregation, or a test share outside 0 to 0.9.
    """
    _check_query(aggregation, test_share)
    query = {"aggregation": str(aggregation), "test_share": test_share, "seed": seed}
    # One transaction, so that all rows are read from one state and two managers get one number each.
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        selection = select(project=project, test_share=test_share, seed=seed)
        if not selection.rows:
            raise EmptySnapshot(
                _("There is nothing to freeze: of %(n)s judged comparison(s) none has a majority.")
                % {"n": selection.counts["comparisons"]},
                _("Judge more comparisons; ties and split votes do not make a (chosen, rejected) pair."),
            )
        digest = _content_hash(selection, query)
        if existing := project.snapshots.filter(content_hash=digest).first():
            return existing, False
        folder = _write_files(digest, selection)
        return _store(project, selection, query, digest, folder, actor), True


def split_of(prompt_hash: str, test_share: float, seed: int) -> Split:
    """By prompt, never by pair; a prompt keeps its side in every later snapshot with the same seed and share."""
    digest = hashlib.sha256(f"{seed}:{prompt_hash}".encode()).digest()
    return Split.TEST if int.from_bytes(digest[:8], "big") / 2**64 < test_share else Split.TRAIN


def parquet_path(snapshot: Snapshot, split: str) -> Path:
    return Path(snapshot.folder) / f"{Split(split)}.parquet"


def _check_query(aggregation: str, test_share: float) -> None:
    if aggregation not in Aggregation.values:
        raise WorkflowError(
            _("Unknown aggregation “%(name)s”.") % {"name": aggregation},
            _("Use one of: %(names)s.") % {"names": ", ".join(Aggregation.values)},
        )
    if not 0 <= test_share <= 0.9:
        raise WorkflowError(_("The test share is %(x)s.") % {"x": test_share}, _("Use a number from 0 to 0.9."))


def _votes(project: Project) -> dict[int, list[tuple[int, str]]]:
    """Comparison id -> [(judgment id, choice)] of everything that counts."""
    rows = Judgment.objects.counted().filter(comparison__project=project)
    votes: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for comparison, judgment, choice in rows.values_list("comparison_id", "id", "choice").iterator(chunk_size=5000):
        votes[comparison].append((judgment, choice))
    return votes


def _count_row(votes: list[tuple[int, str]]) -> list[int]:
    counts = [0, 0, 0]
    for _judgment, choice in votes:
        counts[CODES[choice]] += 1
    return counts


def _guideline_numbers(project: Project) -> list[int]:
    rows = Judgment.objects.counted().filter(comparison__project=project, guideline_version__isnull=False)
    return sorted(rows.order_by().values_list("guideline_version__number", flat=True).distinct())


def _content_hash(selection: Selection, query: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    head = {"format": 1, "query": query, "guideline_versions": selection.guideline_versions}
    digest.update(json.dumps(head, sort_keys=True).encode())
    for row in selection.rows:
        line = {"split": str(row.split), **row.canonical()}
        digest.update(b"\n" + json.dumps(line, sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


def _write_files(digest: str, selection: Selection) -> Path:
    """Both splits into a temporary folder that is renamed into place: a snapshot is whole or not there."""
    final = Path(settings.SNAPSHOTS_DIR) / digest
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{digest[:12]}.", dir=final.parent))
    try:
        for split in Split:
            rows = [row.canonical() for row in selection.rows if row.split == split]
            pq.write_table(_table(rows), temporary / f"{split}.parquet")
        os.chmod(temporary, 0o755)
        os.rename(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows in SCHEMA, by way of JSON: `Table.from_pylist` would load pandas, 45 MB, into the web process."""
    if not rows:
        return SCHEMA.empty_table()
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    # A row has to fit into a block of the reader.
    reading = pyarrow.json.ReadOptions(block_size=max(2**20, 2 * max(map(len, lines))))
    parsing = pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error")
    return pyarrow.json.read_json(pa.BufferReader(b"".join(lines)), reading, parsing)


def _store(
    project: Project, selection: Selection, query: dict[str, Any], digest: str, folder: Path, actor: User | None
) -> Snapshot:
    snapshot = Snapshot.objects.create(
        project=project,
        number=(project.snapshots.aggregate(last=Max("number"))["last"] or 0) + 1,
        content_hash=digest,
        aggregation=query["aggregation"],
        query=query,
        guideline_versions=selection.guideline_versions,
        counts=selection.counts,
        folder=str(folder),
        created_by=actor,
    )
    items = (_item(snapshot, row) for row in selection.rows)
    SnapshotItem.objects.bulk_create(items, batch_size=1000)
    return snapshot


def _item(snapshot: Snapshot, row: Row) -> SnapshotItem:
    pair = (row.comparison.response_a, row.comparison.response_b)
    chosen, rejected = pair if row.a_wins else pair[::-1]
    return SnapshotItem(
        snapshot=snapshot,
        comparison=row.comparison,
        chosen=chosen,
        rejected=rejected,
        split=row.split,
        soft_label=row.soft_label,
        judgments=row.judgments,
    )
