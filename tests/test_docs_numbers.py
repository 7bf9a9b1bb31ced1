"""Numbers that the guides name are those of the code."""

import pytest
from django.conf import settings

from annotate import rendering
from annotate.api import asked
from annotate.statistics import dawid_skene, mace
from annotate.workflow import agreement, agreement_parts, agreement_summary, comparison_parquet, record_limits
from training.recipes import playground
from training.views import differences
from training.workflow import demo_project, disk_use, label_value, presence, probes, probing, ratings, reports, rounds
from workbench import sign_ins

LONGEST = playground.PlaygroundConfig.__dataclass_fields__["idle_minutes"].metadata["max"]
WINDOW = sign_ins.WINDOW.seconds // 60
IN_WORDS = {8: "eight", 10: "ten", 100: "a hundred"}
# What a page says of a number that the code has under a name.
NUMBERS = [
    ("README.md", f"the first {demo_project.SAMPLED_PROMPTS} of the demo's prompts"),
    ("api.md", f"at most {asked.LONGEST_PAGE})"),
    ("api.md", f"more than {agreement_summary.LIVE:,} judgments"),
    ("api.md", f"A body may have {settings.LARGEST_BODY // 2**20} MB"),
    ("api.md", f"{rounds.FRESH_PROMPTS} if not given"),
    ("architecture.md", f"worth {dawid_skene.STRENGTH:g} votes a row (Dawid–Skene) or {mace.STRENGTH:g} votes (MACE)"),
    ("operator-guide.md", f"After {sign_ins.MOST_OF_ACCOUNT} failures of an account from one address"),
    ("operator-guide.md", f"or {sign_ins.MOST_OF_ADDRESS} of an address, within {WINDOW} minutes"),
    ("operator-guide.md", f"may have {record_limits.LONGEST_RECORD // 10**6} million characters"),
    ("operator-guide.md", f"a row group of a Parquet file {comparison_parquet.LARGEST_GROUP // 2**20} MB unpacked"),
    ("operator-guide.md", f"may unpack to {record_limits.LARGEST_UNPACKED // 10**6} million characters"),
    ("operator-guide.md", f"idle minutes ({playground.PlaygroundConfig().idle_minutes}, at most {LONGEST}"),
    ("operator-guide.md", f"says every {IN_WORDS.get(presence.SECONDS)} seconds that it lives"),
    ("operator-guide.md", f"Sizes on pages are those of the last {IN_WORDS.get(disk_use.SECONDS // 60)} minutes"),
    ("statistics.md", f"Up to {agreement.FEW_ANNOTATORS} annotators every two who share a comparison are listed"),
    ("statistics.md", f"the {agreement.MOST_PAIRS:,} pairs with most in common"),
    ("statistics.md", f"more than {IN_WORDS.get(ratings.MOST_MODELS)} models are named"),
    ("user-guide.md", f"up to {rendering.LONGEST_CODE:,} characters a text"),
    ("user-guide.md", f"answers faster than {agreement_parts.FASTEST:g} seconds"),
    ("user-guide.md", f"a list of the {agreement_parts.MOST_PAIRS} pairs with most in common"),
    ("user-guide.md", f"Up to {agreement_summary.LIVE:,} judgments the page computes its numbers"),
    ("user-guide.md", f"Up to {reports.LABEL_VALUE.live:,} judgments the page computes its numbers"),
    ("user-guide.md", f"Up to {reports.RATINGS.live:,} judgments it is computed at once"),
    ("user-guide.md", f"worth to you ({label_value.WORTH:g} if you do not)"),
    ("user-guide.md", f"Tick two to {IN_WORDS.get(differences.MOST)} runs"),
    ("user-guide.md", f"At most {probes.MOST_QUESTIONS:,} questions a set"),
    ("user-guide.md", f"the newest set; at most {probing.MOST_TEXTS})"),
]  # fmt: skip


@pytest.mark.parametrize(("page", "words"), NUMBERS, ids=[f"{page}: {words}" for page, words in NUMBERS])
def test_numbers_are_those_of_the_code(page: str, words: str) -> None:
    text = (settings.BASE_DIR / ("" if page == "README.md" else "docs") / page).read_text()
    assert words in " ".join(text.split())
