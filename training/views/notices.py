"""What a training process has to say beside its numbers: the lines of notices.jsonl, in the reader's language."""

from training.models import Run
from training.recipes.storable import storable
from training.workflow.folders import folder_of
from training.workflow.run_lines import read_rows
from training.workflow.told import in_readers_language


def notices_of(run: Run) -> list[str]:
    """Each once, in the order in which they were said."""
    rows = [storable(row) for row in read_rows(folder_of(run) / "notices.jsonl", 0)["rows"]]
    told = [
        in_readers_language(str(row["text"]), str(row.get("template") or ""), row.get("values"))
        for row in rows
        if row.get("text")
    ]
    return list(dict.fromkeys(told))
