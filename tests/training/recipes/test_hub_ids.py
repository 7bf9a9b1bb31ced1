"""One rule for what is a hub id: that of the hub's own client."""

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from training.recipes.hub_ids import is_hub_id

IDS = ["owner/name-1.5B", "a/b", "HuggingFaceTB/SmolLM2-135M", "1/2", "own_er/_name", "a/" + "b" * 96]
WITHOUT_OWNER = ["gpt2", "bert-base-uncased", "x" * 96]
NONE = [
    "", "a/b/c", "a b", "/a/b", "./a", "~/x", "../x", "a/", "/b", "-a/b", "a/b-", ".a/b", "a/b.", "a/b--c", "a/b..c",
    "a/b.git", "Ünï/code", "a/文件夹", "a/b\n", "a/" + "b" * 97, 'x"\ninjected: yes',
]  # fmt: skip


def is_valid(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


@pytest.mark.parametrize("name", IDS + WITHOUT_OWNER + NONE)
def test_it_is_what_the_hubs_client_takes_for_one(name: str) -> None:
    assert is_hub_id(name, owned=False) == is_valid(name) == (name not in NONE)
    assert is_hub_id(name) == (name in IDS)


def test_a_file_that_is_not_there_is_no_hub_id() -> None:
    assert not is_hub_id("models/small.gguf") and not is_hub_id("small.GGUF", owned=False)
