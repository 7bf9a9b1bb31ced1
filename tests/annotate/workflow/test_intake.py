"""Uploads of prompts: all or nothing, every problem named by line and field."""

import json

import pytest

from annotate.models import Project, SkipReason, User
from annotate.workflow.assignment import expire_leases, lease_next
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.intake import compare, import_prompts, open_batch, store_response
from annotate.workflow.judging import skip
from annotate.workflow.projects import change_overlap
from tests.factories import judge, make_comparisons, make_prompts, run_out, take

pytestmark = pytest.mark.django_db


def _jsonl(*records: object) -> list[str]:
    return [json.dumps(record) + "\n" for record in records]


def test_prompts_come_as_text_or_as_chat(project: Project) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    report = import_prompts(
        project=project, lines=_jsonl({"prompt": "Why?"}, {"id": "x", "messages": chat, "tags": ["a"]})
    )
    assert report.created == 2
    assert project.prompts.get(key="x").messages == chat


def test_the_same_file_twice_changes_nothing(project: Project) -> None:
    lines = _jsonl({"prompt": "Why?"}, {"prompt": "How?"})
    import_prompts(project=project, lines=lines)
    report = import_prompts(project=project, lines=lines)
    assert (report.created, report.unchanged, project.prompts.count()) == (0, 2, 2)


def test_one_bad_line_and_nothing_is_stored(project: Project) -> None:
    lines = [
        *_jsonl({"prompt": "Good"}),
        "{broken\n",
        *_jsonl({"prompt": ""}, {"messages": [{"role": "robot", "content": "x"}]}, 7),
    ]
    with pytest.raises(UploadRejected) as rejected:
        import_prompts(project=project, lines=lines)
    assert [error.line for error in rejected.value.errors] == [2, 3, 4, 5]
    assert rejected.value.errors[2].field == "messages"
    assert project.prompts.count() == 0


def test_a_prompt_that_ends_with_the_assistant_is_refused(project: Project) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    with pytest.raises(UploadRejected, match="Nothing was imported"):
        import_prompts(project=project, lines=_jsonl({"messages": messages}))


def test_a_duplicate_within_the_file_names_the_first_line(project: Project) -> None:
    with pytest.raises(UploadRejected) as rejected:
        import_prompts(project=project, lines=_jsonl({"prompt": "A"}, {"prompt": "B"}, {"prompt": "A"}))
    assert rejected.value.errors[0].line == 3 and "1" in rejected.value.errors[0].message


@pytest.mark.parametrize("record", [{"prompt": "a\x00b"}, {"prompt": "a", "source": "\x00"}])
def test_a_nul_character_is_refused_wherever_it_stands(project: Project, record: dict) -> None:
    with pytest.raises(UploadRejected) as rejected:
        import_prompts(project=project, lines=_jsonl(record))
    assert "NUL" in rejected.value.errors[0].message


def test_an_empty_file_is_refused(project: Project) -> None:
    with pytest.raises(UploadRejected):
        import_prompts(project=project, lines=["\n"])


def test_csv_with_tags_and_further_columns(project: Project) -> None:
    lines = ["\ufeffid,prompt,tags,level\n", 'c1,"Explain, please",short;code,3\n']
    import_prompts(project=project, lines=lines, format="csv")
    prompt = project.prompts.get()
    assert (prompt.key, prompt.last_turn, prompt.tags, prompt.metadata) == (
        "c1",
        "Explain, please",
        ["short", "code"],
        {"level": "3"},
    )


def test_csv_without_a_prompt_column(project: Project) -> None:
    with pytest.raises(UploadRejected) as rejected:
        import_prompts(project=project, lines=["question\n", "x\n"], format="csv")
    assert rejected.value.errors[0].field == "prompt"


def test_a_csv_line_with_a_missing_column_is_named(project: Project) -> None:
    with pytest.raises(UploadRejected) as rejected:
        import_prompts(project=project, lines=["id,prompt\n", "1,x\n", "2\n"], format="csv")
    assert [error.line for error in rejected.value.errors] == [3]


def test_the_error_report_is_bounded_and_counts_the_rest(project: Project) -> None:
    with pytest.raises(UploadRejected) as rejected:
        import_prompts(project=project, lines=["nonsense\n"] * 500)
    assert len(rejected.value.errors) == 100 and rejected.value.total == 500


def test_identical_responses_make_no_comparison(project: Project) -> None:
    [prompt] = make_prompts(project, 1)
    pair = [store_response(prompt=prompt, text="same", source="m", key=key) for key in "01"]
    batch = open_batch(project=project, name="b")
    assert compare(batch=batch, prompt=prompt, response_a=pair[0], response_b=pair[1], key="k") is None


def test_storing_a_response_twice_gives_one_row(project: Project) -> None:
    [prompt] = make_prompts(project, 1)
    one, two = (store_response(prompt=prompt, text="t", source="m", key="k") for _ in range(2))
    assert one == two


def test_a_change_of_the_overlap_holds_for_the_next_pair_of_a_long_run(project: Project) -> None:
    """A run of sampling keeps its batch, and with it the project as it was at the start."""
    [prompt] = make_prompts(project, 1)
    responses = [store_response(prompt=prompt, text=text, source="m", key=text) for text in "xyz"]
    batch = open_batch(project=project, name="b")
    compare(batch=batch, prompt=prompt, response_a=responses[0], response_b=responses[1], key="before")
    change_overlap(project=Project.objects.get(pk=project.pk), overlap=7)
    compare(batch=batch, prompt=prompt, response_a=responses[0], response_b=responses[2], key="after")
    assert dict(project.comparisons.values_list("key", "overlap")) == {"before": 7, "after": 7}


def test_a_lower_overlap_asks_for_no_more_where_judging_has_begun(
    project: Project, ann: User, ben: User, reviewer: User
) -> None:
    change_overlap(project=project, overlap=3)
    begun, fresh = make_comparisons(project, 2)
    for person in (ann, ben):
        judge(project, person, "a")
    assert change_overlap(project=project, overlap=1) == 2
    assert dict(project.comparisons.values_list("key", "overlap")) == {begun.key: 2, fresh.key: 1}
    assert judge(project, reviewer, "a").comparison == fresh, "nobody is asked for the first one again"
    assert change_overlap(project=project, overlap=1) == 0, "what is as low as it can be has not changed"
    assert change_overlap(project=project, overlap=4) == 2


@pytest.mark.parametrize("how", ["the lease runs out", "it is skipped"])
def test_an_overlap_held_up_by_leases_follows_them_down(
    project: Project, ann: User, ben: User, reviewer: User, how: str
) -> None:
    change_overlap(project=project, overlap=4)
    make_comparisons(project, 1)
    judge(project, ann, "a")
    lease = take(project, ben)
    change_overlap(project=project, overlap=1)
    assert project.comparisons.get().overlap == 2
    if how == "it is skipped":
        skip(assignment_id=lease.pk, annotator=ben, reason=SkipReason.LANGUAGE)
    else:
        run_out()
        expire_leases()
    assert project.comparisons.values_list("overlap", "taken", "judged").get() == (1, 1, 1)
    assert lease_next(project=project, annotator=reviewer) is None
