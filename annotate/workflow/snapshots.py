"""Snapshots: judgments frozen into (prompt, chosen, rejected), split by prompt, hashed (invariant 5)."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotate.models import Aggregation, Comparison, Judgment, Project, Snapshot, SnapshotItem, Split, User
from annotate.statistics.judgments import TIE, A
from annotate.workflow.aggregation import Decision
from annotate.workflow.exceptions import EmptySnapshot, WorkflowError
from annotate.workflow.final_words import Word, decisions_of, words_of
from annotate.workflow.parquet_folder import write_folder
from annotate.workflow.snapshot_rows import Row, Vote, pseudonym, schema_of

FORMAT = 2  # of the hash: 1 had neither votes, annotators, tags and languages nor ties in it


@dataclass(frozen=True)
class Selection:
    """What a freeze would hold: pairs, beside them what was called a tie, and all that it would leave out, counted."""

    rows: list[Row]
    ties: list[Row]
    counts: dict[str, int]
    guideline_versions: list[int]
    adjudicated_first: bool = False

    @property
    def columns(self) -> dict[str, bool]:
        """Which columns there are beside those that are always there."""
        graded = any(vote.degree for row in (*self.rows, *self.ties) for vote in row.votes)
        return {"adjudicated_first": self.adjudicated_first, "with_degrees": graded}


def select(
    *,
    project: Project,
    aggregation: str = Aggregation.MAJORITY,
    test_share: float = 0.2,
    seed: int = 0,
    adjudicated_first: bool = False,
) -> Selection:
    """One label for every judged comparison. Ties and splits are no pairs, and counted; ties stand apart. Reads only.

    With `adjudicated_first` a final word goes before the votes, and bad items are left out, and counted.
    Raises NothingToInferFrom as `aggregation.decide` does.
    """
    votes = _votes(project)
    words = words_of(project) if adjudicated_first else {}
    known = project.comparisons.filter(pk__in=votes.keys() | words.keys())
    comparisons = known.select_related("prompt", "response_a", "response_b")
    ordered = sorted(comparisons.iterator(chunk_size=2000), key=lambda comparison: comparison.key)
    rows: list[Row] = []
    ties: list[Row] = []
    counts: Counter[str] = Counter(dict.fromkeys(("ties", "splits", "won_by_a", "won_by_b", "train", "test"), 0))
    counts.update(dict.fromkeys(("adjudicated", "bad") if adjudicated_first else (), 0))
    decisions = decisions_of(aggregation, ordered, votes, words)
    for comparison in ordered:
        word = words.get(comparison.pk)
        if word and word.is_bad:
            counts["bad"] += 1
            continue
        decision = decisions[comparison.pk]
        split = split_of(comparison.prompt.content_hash, test_share, seed)
        counts["judgments"] += decision.votes
        if word:
            counts["adjudicated"] += 1
        if decision.label is None:
            counts["splits"] += 1
        elif decision.label != TIE and comparison.response_a.text == comparison.response_b.text:
            # Imports may hold such; a pair of equal texts teaches nothing, whatever was said of it.
            counts["identical"] += 1
        elif decision.label == TIE:
            counts["ties"] += 1
            ties.append(_row(comparison, Decision(A, 0.5, decision.votes), votes, split, word))
        else:
            rows.append(_row(comparison, decision, votes, split, word))
            counts["won_by_a" if rows[-1].a_wins else "won_by_b"] += 1
            counts[split] += 1
    counts["comparisons"], counts["pairs"] = len(ordered), len(rows)
    return Selection(rows, ties, dict(counts), _guideline_numbers(project, words), adjudicated_first)


def freeze(
    *,
    project: Project,
    aggregation: str = Aggregation.MAJORITY,
    test_share: float = 0.2,
    seed: int = 0,
    adjudicated_first: bool = False,
    actor: User | None = None,
) -> tuple[Snapshot, bool]:
    """The snapshot of the project as it is now, and whether it is new: the same state has the same hash.

    Not to be called within a transaction: it would not be one state that is read then. Files of the snapshot that do
    not read back are written again.

    Raises:
        EmptySnapshot: no comparison is decided.
        NothingToInferFrom: the aggregation asks for more than the judgments can tell.
        WorkflowError: an unknown aggregation, or a test share outside 0 to 0.9.
    """
    _check_query(aggregation, test_share)
    query: dict[str, Any] = {"aggregation": str(aggregation), "test_share": test_share, "seed": seed}
    if adjudicated_first:
        query["adjudicated_first"] = True
    with _one_state():
        selection = select(project=project, **query)
    if not selection.rows:
        raise EmptySnapshot(
            _("There is nothing to freeze: of %(n)s judged comparison(s) none is decided.")
            % {"n": selection.counts["comparisons"]},
            _("Judge more comparisons; ties and split votes do not make a (chosen, rejected) pair."),
        )
    digest = _content_hash(selection, query)
    existing = project.snapshots.filter(content_hash=digest).first()
    # The files before the row that names them, and with no lock held: a disk takes its time.
    folder = _write_files(Path(existing.folder) if existing else Path(settings.SNAPSHOTS_DIR) / digest, selection)
    if existing:
        return existing, False
    with transaction.atomic():
        # Two managers at once get one number each, or the same snapshot.
        Project.objects.select_for_update().get(pk=project.pk)
        if existing := project.snapshots.filter(content_hash=digest).first():
            return existing, False
        return _store(project, selection, query, digest, folder, actor), True


def split_of(prompt_hash: str, test_share: float, seed: int) -> Split:
    """By prompt, never by pair; a prompt keeps its side in every later snapshot with the same seed and share."""
    digest = hashlib.sha256(f"{seed}:{prompt_hash}".encode()).digest()
    return Split.TEST if int.from_bytes(digest[:8], "big") / 2**64 < test_share else Split.TRAIN


def parquet_path(snapshot: Snapshot, split: str) -> Path:
    return Path(snapshot.folder) / f"{Split(split)}.parquet"


@contextmanager
def _one_state() -> Iterator[None]:
    """All that is read within is of one moment, whatever is judged meanwhile.

    On SQLite a transaction holds that by itself. PostgreSQL has to be told before the first statement, which in tests
    that run in a transaction of their own has long been.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(durable=True):
        if connection.vendor == "postgresql" and is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _check_query(aggregation: str, test_share: float) -> None:
    if aggregation not in Aggregation.values:
        raise WorkflowError(
            _("Unknown aggregation “%(name)s”.") % {"name": aggregation},
            _("Use one of: %(names)s.") % {"names": ", ".join(Aggregation.values)},
        )
    if not 0 <= test_share <= 0.9:
        raise WorkflowError(_("The test share is %(x)s.") % {"x": test_share}, _("Use a number from 0 to 0.9."))


def _row(
    comparison: Comparison, decision: Decision, votes: dict[int, list[Vote]], split: Split, word: Word | None
) -> Row:
    a_wins = decision.label == A
    soft_label = decision.probability_a if a_wins else 1 - decision.probability_a
    adjudication = word.adjudication if word else None
    return Row(comparison, a_wins, soft_label, votes.get(comparison.pk, []), split, adjudication)


def _votes(project: Project) -> dict[int, list[Vote]]:
    """By comparison, everything that counts, in the order of the judgments."""
    rows = Judgment.objects.counted().filter(comparison__project=project)
    columns = rows.values_list("comparison_id", "id", "choice", "degree", "annotator__username")
    votes: dict[int, list[Vote]] = defaultdict(list)
    known: dict[str, str] = {}
    for comparison, judgment, choice, degree, username in columns.iterator(chunk_size=5000):
        if username not in known:
            known[username] = pseudonym(project.slug, username)
        votes[comparison].append(Vote(judgment, choice, known[username], degree))
    return votes


def _guideline_numbers(project: Project, words: dict[int, Word]) -> list[int]:
    rows = Judgment.objects.counted().filter(comparison__project=project, guideline_version__isnull=False)
    numbers = set(rows.order_by().values_list("guideline_version__number", flat=True).distinct())
    return sorted(numbers | {word.version for word in words.values() if word.version is not None})


def _content_hash(selection: Selection, query: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    head = {"format": FORMAT, "query": query, "guideline_versions": selection.guideline_versions}
    digest.update(json.dumps(head, sort_keys=True).encode())
    columns = selection.columns
    for name, rows in _files(selection).items():
        for row in rows:
            line = {"file": name, **row.canonical(**columns)}
            digest.update(b"\n" + json.dumps(line, sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


def _files(selection: Selection) -> dict[str, list[Row]]:
    """What each file of the folder holds; both splits are always there, ties where there are any."""
    files = {str(split): [row for row in selection.rows if row.split == split] for split in Split}
    ties = {f"ties_{split}": [row for row in selection.ties if row.split == split] for split in Split}
    return {**files, **{name: rows for name, rows in ties.items() if rows}}


def _write_files(folder: Path, selection: Selection) -> Path:
    """A snapshot's folder is whole or not there."""
    columns = selection.columns
    files = {name: [row.canonical(**columns) for row in rows] for name, rows in _files(selection).items()}
    return write_folder(folder, files, schema_of(**columns))


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
    chosen, rejected = row.responses
    return SnapshotItem(
        snapshot=snapshot,
        comparison=row.comparison,
        chosen=chosen,
        rejected=rejected,
        split=row.split,
        soft_label=row.soft_label,
        judgments=sorted(vote.judgment for vote in row.votes),
        adjudication_id=row.adjudication,
    )
