"""What names a repository on the Hugging Face hub, by the rules of its own client (`validate_repo_id`).

ASCII alone: to `re` every letter there is would be a word character."""

import re

NAME = r"\w(?:[\w.-]{0,94}\w)?"
HUB_ID = re.compile(rf"(?P<owner>{NAME}/)?{NAME}", re.ASCII)
# What the client has in none, and a GGUF file, which is no repository but may be written like one.
NOT_IN_IT, NOT_AT_ITS_END = ("--", ".."), (".git", ".gguf")


def is_hub_id(text: str, *, owned: bool = True) -> bool:
    """`owner/name`, as people write it. Files of other programs also name the few old models without an owner, such as
    gpt2: with `owned` off those are ids as well."""
    found = HUB_ID.fullmatch(text)
    if found is None or (owned and not found["owner"]):
        return False
    return not any(part in text for part in NOT_IN_IT) and not text.lower().endswith(NOT_AT_ITS_END)
