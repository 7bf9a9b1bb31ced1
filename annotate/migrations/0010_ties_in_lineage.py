"""Ties, and what annotators held out said, become items of their snapshots, those of before too: out of their files."""

import hashlib
import logging
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import migrations, models
from django.db.models import Q

FILES = {'ties_train': 'tie', 'ties_test': 'tie', 'test_annotators': 'held_out'}
COLUMNS = ['id', 'chosen', 'soft_label', 'annotators', 'votes_chosen', 'votes_tie', 'votes_rejected']
log = logging.getLogger(__name__)


def fill(apps, schema_editor):
    """Who said what of a row is in no file, but it can be told from what is there: the last revision before the
    snapshot of each annotator named, if these are the votes that the row counts. Rows of which it cannot be told, and
    snapshots whose folder is not here, stay without items: what they hold does not lead back to judgments."""
    for snapshot in apps.get_model('annotate', 'Snapshot').objects.select_related('project').iterator():
        folder = Path(snapshot.folder)
        if not folder.exists():
            log.warning('%s is not there: ties of this snapshot stay out of the lineage.', folder)
            continue
        for path in (folder / f'{name}.parquet' for name in FILES):
            if path.exists():
                _fill_from(apps, snapshot, path)


def _fill_from(apps, snapshot, path):
    try:
        rows = _rows(path)
    except (OSError, KeyError, pa.ArrowException) as error:
        log.warning('%s cannot be read (%s): its rows stay out of the lineage.', path, error)
        return
    items = _items(apps, snapshot, FILES[path.stem], 'train' if path.stem == 'ties_train' else 'test', rows)
    apps.get_model('annotate', 'SnapshotItem').objects.bulk_create(items, batch_size=1000)
    if len(items) < len(rows):
        log.warning('%s: %s of %s rows stay out of the lineage.', path, len(rows) - len(items), len(rows))


def _rows(path):
    with pq.ParquetFile(path) as file:
        marked = [name for name in file.schema_arrow.names if name == 'adjudicated']
        return file.read(columns=[*COLUMNS, *marked]).to_pylist()


def _items(apps, snapshot, kind, split, rows):
    Comparison = apps.get_model('annotate', 'Comparison')
    known = {}
    for first in range(0, len(rows), 500):
        keys = [row['id'] for row in rows[first : first + 500]]
        found = Comparison.objects.filter(project=snapshot.project_id, key__in=keys)
        for comparison in found.select_related('response_a', 'response_b'):
            known[comparison.key] = comparison
    judged = _last_judgments(apps, snapshot, [comparison.pk for comparison in known.values()])
    items = [_item(apps, snapshot, kind, split, row, known.get(row['id']), judged) for row in rows]
    return [item for item in items if item]


def _last_judgments(apps, snapshot, comparisons):
    """By comparison and pseudonym: the judgment that stood when the snapshot was made."""
    last = defaultdict(dict)
    for first in range(0, len(comparisons), 500):
        rows = apps.get_model('annotate', 'Judgment').objects.filter(
            comparison__in=comparisons[first : first + 500], created_at__lte=snapshot.created_at
        )
        for judgment in rows.order_by('revision').select_related('annotator'):
            last[judgment.comparison_id][_pseudonym(snapshot.project.slug, judgment.annotator.username)] = judgment
    return last


def _item(apps, snapshot, kind, split, row, comparison, judged):
    if comparison is None:
        return None
    a_wins = kind == 'tie' or row['chosen'][0]['content'] == comparison.response_a.text
    sides = ('a', 'tie', 'b') if a_wins else ('b', 'tie', 'a')
    of_this = judged[comparison.pk]
    votes = [of_this[name] for name in row['annotators'] if name in of_this and not of_this[name].is_surplus]
    choices = [vote.choice for vote in votes]
    counted = [row['votes_chosen'], row['votes_tie'], row['votes_rejected']]
    word = _last_word(apps, snapshot, comparison) if row.get('adjudicated') and kind == 'tie' else None
    if len(votes) != len(row['annotators']) or [choices.count(side) for side in sides] != counted:
        return None
    responses = [comparison.response_a_id, comparison.response_b_id]
    chosen, rejected = responses if a_wins else reversed(responses)
    return apps.get_model('annotate', 'SnapshotItem')(
        snapshot=snapshot, comparison=comparison, chosen_id=chosen, rejected_id=rejected, kind=kind, split=split,
        soft_label=row['soft_label'], judgments=sorted(vote.pk for vote in votes), adjudication=word,
    )  # fmt: skip


def _last_word(apps, snapshot, comparison):
    words = apps.get_model('annotate', 'Adjudication').objects.filter(comparison=comparison)
    word = words.filter(created_at__lte=snapshot.created_at).order_by('-revision').first()
    return word if word and word.verdict == 'tie' else None


def _pseudonym(slug, username):
    """As `annotate/workflow/snapshot_rows.py` made them when this was written."""
    return hashlib.sha256(f'{slug}\n{username}'.encode()).hexdigest()[:16]


def leave_pairs(apps, schema_editor):
    apps.get_model('annotate', 'SnapshotItem').objects.exclude(kind='pair').delete()


class Migration(migrations.Migration):

    dependencies = [
        ('annotate', '0009_names_in_the_admin'),
    ]

    operations = [
        migrations.AddField(
            model_name='snapshotitem',
            name='kind',
            field=models.CharField(choices=[('pair', 'Pair'), ('tie', 'Tie'), ('held_out', 'By annotators held out')], default='pair', max_length=8),
        ),
        migrations.RemoveConstraint(
            model_name='snapshotitem',
            name='snapshot_item_once',
        ),
        migrations.AddConstraint(
            model_name='snapshotitem',
            constraint=models.UniqueConstraint(condition=~Q(('kind', 'held_out')), fields=('snapshot', 'comparison'), name='snapshot_item_once'),
        ),
        migrations.AddConstraint(
            model_name='snapshotitem',
            constraint=models.UniqueConstraint(condition=Q(('kind', 'held_out')), fields=('snapshot', 'comparison'), name='snapshot_item_held_out_once'),
        ),
        migrations.RunPython(fill, leave_pairs),
    ]
