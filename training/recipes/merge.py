"""Settings of a merge: adapters become part of their base's weights, in float32; there is nothing to choose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MergeConfig:
    """Nothing is trained."""
