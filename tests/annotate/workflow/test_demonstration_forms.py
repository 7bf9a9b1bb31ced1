"""Demonstrations in the forms that people have: TRL's conversations and completions, Alpaca's instructions."""

import json
from typing import Any

import pytest

from annotate.models import Demonstration, DemonstrationSet, Project
from annotate.workflow.comparison_records import checked_records
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.faults import Faults
from annotate.workflow.feedback import import_feedback
from annotate.workflow.intake import import_prompts

pytestmark = pytest.mark.django_db
ASKED = {"role": "user", "content": "Why?"}
ANSWERED = {"role": "assistant", "content": "Because."}
SYSTEM = {"role": "system", "content": "Be brief."}
SHARED = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]
Turns = list[dict[str, str]]


def _jsonl(*records: object) -> list[str]:
    return [json.dumps(record) + "\n" for record in records]


def _one(project: Project, record: dict[str, Any]) -> tuple[str, Turns, str]:
    brought = import_demonstrations(project=project, name="D", lines=_jsonl(record), test_share=0)
    row = Demonstration.objects.get(set=brought.set)
    ((form, lines),) = brought.forms.items()
    assert lines == 1
    return form, row.messages, row.response


@pytest.mark.parametrize(
    ("record", "form", "prompt"),
    [
        ({"prompt": "Why?", "response": "Because."}, "prompt_response", [ASKED]),
        ({"prompt": [SYSTEM, ASKED], "response": [ANSWERED]}, "prompt_response", [SYSTEM, ASKED]),
        ({"messages": [SYSTEM, ASKED], "prompt": "Why?", "response": "Because."}, "prompt_response", [SYSTEM, ASKED]),
        ({"prompt": "Why?", "completion": "Because."}, "prompt_completion", [ASKED]),
        ({"prompt": [SYSTEM, ASKED], "completion": [ANSWERED]}, "prompt_completion", [SYSTEM, ASKED]),
        ({"messages": [ASKED, ANSWERED]}, "conversation", [ASKED]),
        ({"messages": [SYSTEM, ASKED, ANSWERED], "prompt": "Why?"}, "conversation", [SYSTEM, ASKED]),
        ({"messages": [ASKED, ANSWERED], "response": "Because."}, "conversation", [ASKED]),
        (
            {"messages": [ASKED, {**ANSWERED, "content": "So."}, ASKED, ANSWERED], "prompt": "Why?"},
            "conversation",
            [ASKED, {**ANSWERED, "content": "So."}, ASKED],
        ),
        ({"instruction": "Why?", "input": "", "output": "Because."}, "instruction", [ASKED]),
        ({"instruction": "Why?", "output": "Because."}, "instruction", [ASKED]),
        (
            {"instruction": "Translate.", "input": "Tea", "output": "Because."},
            "instruction",
            [{"role": "user", "content": "Translate.\nTea"}],
        ),
        (
            {"instruction": "Why?", "output": "Because.", "system": "Be brief.", "history": [["Why?", "Because."]]},
            "instruction",
            [SYSTEM, ASKED, ANSWERED, ASKED],
        ),
        ({"conversations": SHARED, "system": "Be brief."}, "sharegpt", [SYSTEM, ASKED]),
        ({"conversations": [SYSTEM, ASKED, ANSWERED]}, "sharegpt", [SYSTEM, ASKED]),
    ],
)
def test_each_form_becomes_the_prompt_and_the_response_it_says(
    project: Project, record: dict[str, Any], form: str, prompt: Turns
) -> None:
    assert _one(project, record) == (form, prompt, "Because.")


def test_the_lines_of_a_file_need_not_be_alike(project: Project) -> None:
    lines = _jsonl(
        {"messages": [ASKED, ANSWERED]},
        {"messages": [SYSTEM, ASKED, ANSWERED]},
        {"prompt": "How?", "completion": "So."},
        {"instruction": "Name a tea.", "output": "Sencha."},
    )
    brought = import_demonstrations(project=project, name="D", lines=lines, test_share=0)
    assert brought.forms == {"conversation": 2, "prompt_completion": 1, "instruction": 1}
    assert brought.set.counts == {"train": 4, "test": 0}


def test_the_same_content_in_another_form_is_the_same_set(project: Project) -> None:
    first = import_demonstrations(project=project, name="D", lines=_jsonl({"messages": [ASKED, ANSWERED]}))
    lines = _jsonl({"instruction": "Why?", "input": "", "output": "Because."})
    again = import_demonstrations(project=project, name="E", lines=lines)
    assert (again.set, again.created, again.forms) == (first.set, False, {"instruction": 1})


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"prompt": "How?", "messages": [ASKED, ANSWERED]}, "prompt"),
        ({"prompt": "How?", "messages": [ASKED], "response": "So."}, "prompt"),
        ({"prompt": [SYSTEM, ASKED], "messages": [ASKED, ANSWERED]}, "prompt"),
        ({"prompt": "Why?", "response": "Because.", "completion": "Because."}, "completion"),
        ({"messages": [ASKED, ANSWERED], "response": "So."}, "response"),
        ({"messages": [ASKED, ANSWERED], "completion": "So."}, "completion"),
        ({"messages": [ANSWERED]}, "messages"),
        ({"messages": [ASKED, ANSWERED, ANSWERED]}, "messages"),
        ({"prompt": [ASKED, ANSWERED]}, "prompt"),
        ({"prompt": "Why?", "completion": [ANSWERED, ANSWERED]}, "completion"),
        ({"instruction": "Why?", "input": "x", "response": "Because."}, "response"),
        ({"instruction": "Why?", "prompt": "Why?", "output": "Because."}, "prompt"),
        ({"instruction": "Why?", "output": " "}, "output"),
        ({"instruction": "Why?", "input": 3, "output": "So."}, "input"),
        ({"instruction": "Why?", "output": "So.", "history": ["Why?"]}, "history"),
        ({"conversations": SHARED[:1]}, "conversations"),
        ({"conversations": SHARED[1:]}, "conversations"),
        ({"conversations": "Why?"}, "conversations"),
        ({"conversations": [*SHARED, {"from": "observation", "value": "{}"}]}, "conversations"),
        ({"conversations": [SHARED[0], {"from": "gpt"}]}, "conversations"),
        ({"conversations": SHARED, "messages": [ASKED, ANSWERED]}, "messages"),
        ({"conversations": SHARED, "response": "So."}, "response"),
        ({"conversations": SHARED, "instruction": "Why?", "output": "So."}, "conversations"),
        ({"conversations": [SYSTEM, *SHARED], "system": "Be brief."}, "system"),
    ],
)
def test_fields_that_contradict_each_other_are_refused_by_line(
    project: Project, record: dict[str, Any], field: str
) -> None:
    with pytest.raises(UploadRejected) as caught:
        import_demonstrations(project=project, name="D", lines=_jsonl({"prompt": "Hm?", "response": "Yes."}, record))
    assert [(error.line, error.field) for error in caught.value.errors] == [(2, field)]
    assert not DemonstrationSet.objects.exists()


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_is_named_once_with_what_makes_lines_of_it(project: Project, indent: int | None) -> None:
    lines = json.dumps([{"prompt": "Why?", "response": "So."}] * 3, indent=indent).splitlines(keepends=True)
    with pytest.raises(UploadRejected) as caught:
        import_demonstrations(project=project, name="D", lines=lines)
    ((line, message),) = [(error.line, error.message) for error in caught.value.errors]
    assert line == 1 and "jq -c '.[]'" in message


@pytest.mark.parametrize("header", ["prompt,completion", "instruction,output", "id,instruction,input,output"])
def test_a_csv_may_have_the_columns_of_another_form(project: Project, header: str) -> None:
    cells = {"id": "a", "prompt": "Why?", "instruction": "Why?", "completion": "So.", "output": "So.", "input": ""}
    lines = [header + "\n", ",".join(cells[name] for name in header.split(",")) + "\n"]
    brought = import_demonstrations(project=project, name="D", lines=lines, format="csv", test_share=0)
    row = Demonstration.objects.get(set=brought.set)
    assert (row.messages, row.response) == ([ASKED], "So.")


def test_every_import_refuses_a_prompt_that_its_messages_contradict(project: Project) -> None:
    both = {"id": "1", "prompt": "How?", "messages": [ASKED]}
    with pytest.raises(UploadRejected) as caught:
        import_prompts(project=project, lines=_jsonl(both))
    assert [(error.line, error.field) for error in caught.value.errors] == [(1, "prompt")]
    with pytest.raises(UploadRejected) as caught:
        import_feedback(project=project, name="F", lines=_jsonl({**both, "completion": "So.", "label": True}))
    assert [(error.line, error.field) for error in caught.value.errors] == [(1, "prompt")]
    faults = Faults()
    assert not list(checked_records([(1, {**both, "response_a": "A", "response_b": "B"})], faults))
    assert [(error.line, error.field) for error in faults.errors] == [(1, "prompt")]
    assert import_prompts(project=project, lines=_jsonl({**both, "prompt": "Why?"})).created == 1


def test_every_import_reads_a_transcript_that_stands_as_the_prompt(project: Project) -> None:
    told = "\n\nHuman: How?\n\nAssistant: So.\n\nHuman: Why?\n\nAssistant:"
    turns = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}, ASKED]
    import_prompts(project=project, lines=_jsonl({"prompt": told}))
    assert project.prompts.get().messages == turns
    for said in ("completion", "response"):
        assert _one(project, {"prompt": told, said: " Because."})[1:] == (turns, "Because.")
        project.demonstration_sets.all().delete()
    stored, _created = import_feedback(
        project=project,
        name="F",
        lines=_jsonl({"prompt": told, "completion": " Because.", "label": True}),
        test_share=0,
    )
    assert stored.votes.values_list("messages", "response").get() == (turns, "Because.")
    line = (1, {"id": "1", "prompt": told, "response_a": " A", "response_b": "B"})
    [record] = checked_records([line], Faults())
    assert (record.messages, record.responses) == (turns, ("A", "B"))
    # What is no transcript stays as it is, blanks too.
    assert _one(project, {"prompt": "Human: Why?", "response": " So."})[1:] == (
        [{"role": "user", "content": "Human: Why?"}],
        " So.",
    )
