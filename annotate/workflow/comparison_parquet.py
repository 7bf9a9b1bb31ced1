"""The rows of a Parquet file, never more of them in memory than their text allows.

A value that repeats stands once in the file: a few kilobytes may say a gigabyte. So text is read as dictionaries, which
Arrow leaves as they are, and becomes Python's only once its length has been added up.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from annotate.workflow.record_limits import RecordLimits
from annotate.workflow.uploaded_lines import Problem

ROWS_AT_ONCE = 500
# Bytes of a row group, which is read as a whole in the worst case.
LARGEST_GROUP = 512 * 2**20
BYTES_OF_NUMBER = 8


def parquet_rows(stream: BinaryIO, limits: RecordLimits) -> Iterator[dict[str, Any]]:
    """Raises Problem, `limits` telling the row at fault, and ArrowException where the file is damaged."""
    metadata = pq.read_metadata(stream)
    _check_groups(metadata, limits)
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    file = pq.ParquetFile(stream, metadata=metadata, pre_buffer=False, read_dictionary=texts)
    number = 1
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        for part in _in_parts(batch, number, limits):
            yield from part.to_pylist()
            number += part.num_rows


def _check_groups(metadata: pq.FileMetaData, limits: RecordLimits) -> None:
    number = 1
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if _unpacked(metadata, group) > LARGEST_GROUP:
            limits.begin(number)
            said = _("from here on a row group has more than %(n)s MB unpacked: write the file with smaller row groups")
            raise Problem("", said % {"n": LARGEST_GROUP // 2**20})
        number += group.num_rows


def _unpacked(metadata: pq.FileMetaData, group: pq.RowGroupMetaData) -> int:
    """Bytes: the different values, and a number for every one that there is."""
    total = 0
    for index in range(group.num_columns):
        chunk, width = group.column(index), metadata.schema.column(index).length or BYTES_OF_NUMBER
        total += chunk.total_uncompressed_size + chunk.num_values * width
    return total


def _in_parts(batch: pa.RecordBatch, number: int, limits: RecordLimits) -> Iterator[pa.RecordBatch]:
    """Halved until a part has no more text than one record may have; the batch begins at row `number`."""
    length = sum(_length(column) for column in batch.columns)
    if length > limits.longest and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _in_parts(batch.slice(0, half), number, limits)
        yield from _in_parts(batch.slice(half), number + half, limits)
        return
    limits.begin(number)
    limits.add(length)
    yield batch


def _length(array: pa.Array) -> int:
    """Characters of text, bytes of anything else."""
    if pa.types.is_dictionary(array.type):
        is_text = pa.types.is_string(array.type.value_type) or pa.types.is_large_string(array.type.value_type)
        lengths = (pc.utf8_length if is_text else pc.binary_length)(array.dictionary)
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_map(array.type):
        first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return sum(_length(part.slice(first, last - first)) for part in (array.keys, array.items))
    if pa.types.is_nested(array.type):
        parts = array.flatten()
        return sum(map(_length, parts)) if pa.types.is_struct(array.type) else _length(parts)
    return array.nbytes
