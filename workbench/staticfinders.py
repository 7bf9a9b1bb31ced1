"""Serves plotly.min.js out of the plotly package, so that no JavaScript of others lies in this repository."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

FOLDER = "plotly"
FILE = "plotly.min.js"


class PlotlyFinder(BaseFinder):
    """Finds `plotly/plotly.min.js` without importing plotly (the web process would pay for it)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        spec = importlib.util.find_spec("plotly")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("The plotly package is missing: pip install -r requirements.txt")
        self.folder = Path(spec.submodule_search_locations[0]) / "package_data"
        self.storage = FileSystemStorage(location=str(self.folder))
        self.storage.prefix = FOLDER  # type: ignore[attr-defined]

    def find(self, path: str, find_all: bool = False) -> str | list[str]:
        found = str(self.folder / FILE) if path == f"{FOLDER}/{FILE}" else ""
        if find_all:
            return [found] if found else []
        return found

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[tuple[str, FileSystemStorage]]:
        yield FILE, self.storage
