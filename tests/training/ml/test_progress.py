"""progress.jsonl is whole lines of valid JSON, and a resumed run's curve has no doubles."""

import json

import psutil

from training.ml.progress import Progress, append, drop_torn_line, eta_seconds, read_lines


def test_every_line_has_time_kind_and_stage(tmp_path):
    progress = Progress(tmp_path)
    progress.status("loading")
    progress.step("training", step=1, steps=4, metrics={"loss": 0.7}, tokens_per_second=12.5)
    progress.evaluation(metrics={"accuracy": 0.9})
    lines = list(read_lines(progress.path))
    assert [(line["kind"], line["stage"]) for line in lines] == [
        ("status", "loading"),
        ("step", "training"),
        ("eval", "evaluating"),
    ]
    assert all(line["time"] > 0 for line in lines)


def test_a_number_that_json_does_not_know_is_null(tmp_path):
    progress = Progress(tmp_path)
    progress.step("training", step=1, steps=1, metrics={"loss": float("nan"), "margin": float("inf"), "all": [1e999]})
    assert "NaN" not in progress.path.read_text()
    assert json.loads(progress.path.read_text())["metrics"] == {"loss": None, "margin": None, "all": [None]}


def test_lines_after_the_checkpoint_are_dropped_and_the_others_stay(tmp_path):
    progress = Progress(tmp_path)
    progress.status("training")
    for step in range(1, 6):
        progress.step("training", step=step, steps=5)
    progress.evaluation(stage="training", step=5, metrics={})
    progress.truncate_after(3)
    progress.step("training", step=4, steps=5)
    assert [line.get("step") for line in read_lines(progress.path)] == [None, 1, 2, 3, 4]


def test_a_line_torn_by_a_kill_is_dropped_before_the_next_is_written(tmp_path):
    Progress(tmp_path).status("loading")
    path = tmp_path / "progress.jsonl"
    with path.open("a") as file:
        file.write('{"time": 1, "ki')
    Progress(tmp_path).status("sampling")
    assert [line["stage"] for line in read_lines(path)] == ["loading", "sampling"]


def test_a_reader_never_sees_half_a_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    append(path, [{"a": 1}, {"a": 2}])
    with path.open("a") as file:
        file.write('{"a": 3')
    assert [row["a"] for row in read_lines(path)] == [1, 2]
    drop_torn_line(path)
    assert path.read_text() == '{"a": 1}\n{"a": 2}\n'


def test_a_spoilt_line_does_not_keep_a_run_from_being_resumed(tmp_path):
    progress = Progress(tmp_path)
    progress.step("training", step=1, steps=2)
    with progress.path.open("ab") as file:
        file.write(b'{"time": 1, "ki\n\xff\0\0\n[]\n')
    progress.step("training", step=2, steps=2)
    progress.truncate_after(1)
    assert [line["step"] for line in read_lines(progress.path)] == [1]


def test_a_text_with_exotic_line_ends_stays_one_line(tmp_path):
    text = "one\u2028two\x85three\r\nfour 你好"
    append(tmp_path / "rows.jsonl", [{"text": text}])
    [line] = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == text


def test_the_time_left_follows_the_pace():
    assert eta_seconds(done=0, total=4, seconds=1) is None
    assert eta_seconds(done=1, total=4, seconds=2) == 6.0
    assert eta_seconds(done=4, total=4, seconds=2) == 0.0


def test_samples_are_dropped_with_the_steps_that_a_resumed_run_takes_again(tmp_path):
    progress = Progress(tmp_path)
    row = {"prompt": [{"role": "user", "content": "Hi"}], "text": "Hello.", "reward": 0.5}
    for step in (1, 2):
        progress.step("training", step=step, steps=2)
        progress.samples(step, [row])
    progress.truncate_after(1)
    told = [(line["kind"], line["step"]) for line in read_lines(tmp_path / "progress.jsonl")]
    assert told == [("step", 1), ("samples", 1)]
    assert [line["samples"] for line in read_lines(tmp_path / "progress.jsonl") if line["kind"] == "samples"] == [[row]]


def test_every_step_tells_the_memory_that_the_process_holds(tmp_path):
    Progress(tmp_path).step("training", step=1, steps=1)
    [line] = read_lines(tmp_path / "progress.jsonl")
    resident = psutil.Process().memory_info().rss
    assert 0.5 * resident < line["memory_bytes"] < 2 * resident
