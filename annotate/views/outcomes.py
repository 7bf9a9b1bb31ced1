"""Reports as JSON become what templates show: estimates, and reasons where there is none."""

from typing import Any

from annotate.statistics.estimate import Estimate, Outcome, Undefined


def with_outcomes(value: Any) -> Any:
    """The same lists and dictionaries; what has a `value` is an outcome."""
    if isinstance(value, list):
        return [with_outcomes(each) for each in value]
    if not isinstance(value, dict):
        return value
    return _outcome(value) if "value" in value else {name: with_outcomes(each) for name, each in value.items()}


def _outcome(found: dict[str, Any]) -> Outcome:
    return Undefined(found["reason"]) if found["value"] is None else Estimate(**found)
