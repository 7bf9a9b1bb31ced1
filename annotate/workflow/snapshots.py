"""Snapshots: judgments frozen into (prompt, chosen, rejected), split by prompt, hashed (invariant 5)."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Aggregation, Comparison, ItemKind, Project, Snapshot, SnapshotItem, Split, User
from annotate.statistics.judgments import TIE, A
from annotate.workflow.aggregation import Decision
from annotate.workflow.counted_votes import guideline_numbers, votes_of
from annotate.workflow.exceptions import EmptySnapshot, WorkflowError
from annotate.workflow.final_words import Word, words_come_first, words_of
from annotate.workflow.held_out import TEST_ANNOTATORS, Labels, Votes, counts_of, draw, labels_by_split, labels_of
from annotate.workflow.one_state import one_state
from annotate.workflow.parquet_folder import write_folder
from annotate.workflow.snapshot_rows import Row, schema_of

FORMAT = 2  # of the hash: 1 had neither votes, annotators, tags and languages nor ties in it


@dataclass(frozen=True)
class Selection:
    """What a freeze would hold: pairs, beside them what was called a tie, and all that it would leave out, counted.

    `held_out`: the test comparisons as annotators who are held out judged them; None where nobody is.
    """

    rows: list[Row]
    ties: list[Row]
    counts: dict[str, int]
    guideline_versions: list[int]
    adjudicated_first: bool = False
    held_out: list[Row] | None = None

    @property
    def columns(self) -> dict[str, bool]:
        """Which columns there are beside those that are always there."""
        graded = any(vote.degree for row in (*self.rows, *self.ties, *(self.held_out or ())) for vote in row.votes)
        return {"adjudicated_first": self.adjudicated_first, "with_degrees": graded}


def select(
    *,
    project: Project,
    aggregation: str = Aggregation.MAJORITY,
    test_share: float = 0.2,
    seed: int = 0,
    adjudicated_first: bool | None = None,
    annotator_share: float = 0,
) -> Selection:
    """One label for every judged comparison. Ties and splits are no pairs, and counted; ties stand apart. Reads only.

    With `adjudicated_first` a final word goes before the votes, and bad items are left out, and counted; None: where
    `words_come_first`. With an `annotator_share` that many people have no part in the training split.
    Raises NothingToInferFrom as `aggregation.decide` does, and NobodyHeldOut as `held_out.draw`.
    """
    adjudicated_first = words_come_first(project) if adjudicated_first is None else adjudicated_first
    votes = votes_of(project)
    words = words_of(project) if adjudicated_first else {}
    known = project.comparisons.filter(pk__in=votes.keys() | words.keys())
    comparisons = known.select_related("prompt", "response_a", "response_b")
    ordered = sorted(comparisons.iterator(chunk_size=2000), key=lambda comparison: comparison.key)
    counts: Counter[str] = Counter(dict.fromkeys(("ties", "splits", "won_by_a", "won_by_b", "train", "test"), 0))
    counts.update(dict.fromkeys(("adjudicated", "bad") if adjudicated_first else (), 0))
    people = draw(votes, annotator_share, seed) if annotator_share else frozenset()
    labels = labels_by_split(aggregation, ordered, votes, words, people)
    splits = {each.pk: split_of(each.prompt.content_hash, test_share, seed) for each in ordered}
    held_out = _as_judged_by(people, ordered, splits, votes, words, counts) if people else None
    rows, ties = _decided(ordered, splits, labels, counts)
    counts["comparisons"], counts["pairs"] = len(ordered), len(rows)
    return Selection(rows, ties, dict(counts), guideline_numbers(project, words), adjudicated_first, held_out)


def _decided(
    comparisons: list[Comparison], splits: dict[int, Split], labels: dict[Split, Labels], counts: Counter[str]
) -> tuple[list[Row], list[Row]]:
    """Pairs, and ties; everything is counted."""
    rows: list[Row] = []
    ties: list[Row] = []
    for comparison in comparisons:
        split = splits[comparison.pk]
        word = labels[split].words.get(comparison.pk)
        if word and word.is_bad:
            counts["bad"] += 1
            continue
        decision, counted = labels[split].decisions.get(comparison.pk), labels[split].votes
        if decision is None:
            counts["held_out_only"] += 1
            continue
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
            ties.append(_row(comparison, Decision(A, 0.5, decision.votes), counted, split, word))
        else:
            rows.append(_row(comparison, decision, counted, split, word))
            counts["won_by_a" if rows[-1].a_wins else "won_by_b"] += 1
            counts[split] += 1
    return rows, ties


def freeze(
    *,
    project: Project,
    aggregation: str = Aggregation.MAJORITY,
    test_share: float = 0.2,
    seed: int = 0,
    adjudicated_first: bool | None = None,
    annotator_share: float = 0,
    actor: User | None = None,
) -> tuple[Snapshot, bool]:
    """The snapshot of the project as it is now, and whether it is new: the same state has the same hash.

    Not to be called within a transaction: it would not be one state that is read then. Files of the snapshot that do
    not read back are written again.

    Raises:
        EmptySnapshot: no comparison is decided.
        NothingToInferFrom: the aggregation asks for more than the judgments can tell.
        NobodyHeldOut: the annotators to hold out are none or all of them.
        WorkflowError: an unknown aggregation, a test share outside 0 to 0.9 or an annotator share outside 0 to 0.5.
    """
    _check_query(aggregation, test_share, annotator_share)
    query: dict[str, Any] = {"aggregation": str(aggregation), "test_share": test_share, "seed": seed}
    asked: dict[str, Any] = {"adjudicated_first": adjudicated_first, "annotator_share": annotator_share}
    with one_state():
        selection = select(project=project, **query, **asked)
    asked["adjudicated_first"] = selection.adjudicated_first  # also where it was not said
    query |= {name: value for name, value in asked.items() if value}
    _require_pairs(selection)
    digest = _content_hash(selection, query)
    existing = project.snapshots.filter(content_hash=digest).first()
    # The files before the row that names them, and with no lock held: a disk takes its time.
    folder = _write_files(Path(existing.folder) if existing else Path(settings.SNAPSHOTS_DIR) / digest, selection)
    if existing:
        return existing, False
    with transaction.atomic():
        # Two managers at once get one number each, or the same snapshot.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        if existing := project.snapshots.filter(content_hash=digest).first():
            return existing, False
        return _store(project, selection, query, digest, folder, actor), True


def split_of(prompt_hash: str, test_share: float, seed: int) -> Split:
    """By prompt, never by pair; a prompt keeps its side in every later snapshot with the same seed and share."""
    digest = hashlib.sha256(f"{seed}:{prompt_hash}".encode()).digest()
    return Split.TEST if int.from_bytes(digest[:8], "big") / 2**64 < test_share else Split.TRAIN


def parquet_path(snapshot: Snapshot, split: str) -> Path:
    return Path(snapshot.folder) / f"{Split(split)}.parquet"


def _check_query(aggregation: str, test_share: float, annotator_share: float) -> None:
    if aggregation not in Aggregation.values:
        raise WorkflowError(
            _("Unknown aggregation “%(name)s”.") % {"name": aggregation},
            _("Use one of: %(names)s.") % {"names": ", ".join(Aggregation.values)},
        )
    if not 0 <= test_share <= 0.9:
        raise WorkflowError(_("The test share is %(x)s.") % {"x": test_share}, _("Use a number from 0 to 0.9."))
    if not 0 <= annotator_share <= 0.5:
        said = _("The share of annotators held out is %(x)s.") % {"x": annotator_share}
        raise WorkflowError(said, _("Use a number from 0 to 0.5."))


def _require_pairs(selection: Selection) -> None:
    judged = selection.counts["comparisons"]
    if selection.held_out is not None and not selection.counts["train"]:
        raise EmptySnapshot(
            ngettext(
                "Without the annotators held out, none of %(n)s judged comparison is left to train on.",
                "Without the annotators held out, none of %(n)s judged comparisons is left to train on.",
                judged,
            )
            % {"n": judged},
            _("Hold out fewer annotators, or let the others judge more."),
        )
    if not selection.rows:
        raise EmptySnapshot(
            ngettext(
                "There is nothing to freeze: of %(n)s judged comparison none is decided.",
                "There is nothing to freeze: of %(n)s judged comparisons none is decided.",
                judged,
            )
            % {"n": judged},
            _("Judge more comparisons; ties and split votes do not make a (chosen, rejected) pair."),
        )


def _as_judged_by(
    people: frozenset[str],
    comparisons: list[Comparison],
    splits: dict[int, Split],
    votes: Votes,
    words: dict[int, Word],
    counts: Counter[str],
) -> list[Row]:
    """The test comparisons labelled by those held out alone; what is left out for them is counted."""
    by_split = {split: [each for each in comparisons if splits[each.pk] == split] for split in Split}
    counts.update(counts_of(people, by_split[Split.TRAIN], votes))
    labels = labels_of(people, by_split[Split.TEST], votes)
    rows: list[Row] = []
    for comparison in by_split[Split.TEST]:
        decision, word = labels.decisions.get(comparison.pk), words.get(comparison.pk)
        # What is bad or has two equal texts is counted with the other rows.
        if decision is None or (word and word.is_bad) or comparison.response_a.text == comparison.response_b.text:
            continue
        if decision.label in (None, TIE):
            counts["test_annotators_undecided"] += 1
        else:
            rows.append(_row(comparison, decision, labels.votes, Split.TEST, None))
    counts[TEST_ANNOTATORS] = len(rows)
    return rows


def _row(comparison: Comparison, decision: Decision, votes: Votes, split: Split, word: Word | None) -> Row:
    a_wins = decision.label == A
    soft_label = decision.probability_a if a_wins else 1 - decision.probability_a
    adjudication = word.adjudication if word else None
    return Row(comparison, a_wins, soft_label, votes.get(comparison.pk, []), split, adjudication)


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
    """What each file of the folder holds; both splits are always there, ties where there are any, and what held-out
    annotators said where any are held out."""
    files = {str(split): [row for row in selection.rows if row.split == split] for split in Split}
    ties = {f"ties_{split}": [row for row in selection.ties if row.split == split] for split in Split}
    held_out = {} if selection.held_out is None else {TEST_ANNOTATORS: selection.held_out}
    return {**files, **{name: rows for name, rows in ties.items() if rows}, **held_out}


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
    rows = {ItemKind.PAIR: selection.rows, ItemKind.TIE: selection.ties, ItemKind.HELD_OUT: selection.held_out or []}
    items = (_item(snapshot, row, kind) for kind, of_kind in rows.items() for row in of_kind)
    SnapshotItem.objects.bulk_create(items, batch_size=1000)
    return snapshot


def _item(snapshot: Snapshot, row: Row, kind: ItemKind) -> SnapshotItem:
    chosen, rejected = row.responses
    return SnapshotItem(
        snapshot=snapshot,
        comparison=row.comparison,
        chosen=chosen,
        rejected=rejected,
        kind=kind,
        split=row.split,
        soft_label=row.soft_label,
        judgments=sorted(vote.judgment for vote in row.votes),
        adjudication_id=row.adjudication,
    )
