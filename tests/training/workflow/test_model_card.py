"""The text of a model card: what it says of data, numbers and limits, and that no name breaks out of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.rendering import render_markdown
from training.workflow.alignment_tax import Change, Probed
from training.workflow.card_contents import Data, Facts
from training.workflow.evaluation import Figure
from training.workflow.model_card import body_of, card_of, code_block, command_line, front_matter, plain

pytestmark = pytest.mark.not_db

DATA = Data(
    number=3,
    content_hash="ab" * 32,
    judgments=60,
    annotators=2,
    guideline_versions=[1, 2],
    aggregation="Majority",
    languages={"en": 20, "not recorded": 4},
)
REWARD = Facts(
    name="Round 1 reward model",
    task="reward",
    form="merged",
    dtype="float32",
    base="HuggingFaceTB/SmolLM2-135M-Instruct",
    parents=["SmolLM2"],
    recipe="reward",
    title="Reward model",
    adapter="lora",
    adapter_title="LoRA",
    merged=True,
    data=DATA,
    train=24,
    test=6,
    left_out=1,
    steps=3,
    settings=[("Epochs (epochs)", "2")],
    figures=[
        Figure("accuracy", "Held-out accuracy", 0.6, 0.3, 0.83, 6),
        Figure("accuracy_longer_wins", "Accuracy of “the longer one wins”", 0.5, 0.2, 0.8, 6),
        Figure("accuracy_chance", "Accuracy of chance", 0.5, 0.2, 0.8, 6),
        Figure("margin", "Margin between chosen and rejected", 0.25, 0.125, 0.375, 6),
    ],
    seed=7,
    weights_sha256="cd" * 32,
    packages={"torch": "2.13.0", "peft": "0.21.2"},
    device="cpu",
    precision="fp32",
    commands=[["python", "manage.py", "train", "garden", "--recipe", "reward", "--model", "Small one"]],
)


def test_the_front_matter_is_what_the_hub_reads():
    assert front_matter(REWARD).splitlines() == [
        "---",
        'base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"',
        "base_model_relation: finetune",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags:",
        "- plumbline",
        "- reward",
        "- lora",
        "- reward-model",
        "datasets: []",
        "---",
    ]


def test_an_adapter_names_its_library_and_its_relation():
    text = front_matter(replace(REWARD, form="adapter", task="policy", recipe="dpo"))
    assert "base_model_relation: adapter\nlibrary_name: peft\npipeline_tag: text-generation" in text


@pytest.mark.parametrize("base", ["/home/me/model", "Small one", "a/b/c", 'x"\ninjected: yes', "Ünï/code"])
def test_a_base_that_is_no_hub_id_is_left_out_of_the_front_matter(base):
    assert "base_model" not in front_matter(replace(REWARD, base=base))


def test_it_says_what_it_was_made_from_in_numbers_and_without_names():
    card = card_of(REWARD)
    for passage in (
        "- Method: Reward model, trained: LoRA",
        f"- Preference data: snapshot 3, `{'ab' * 32}`",
        "- 60 judgments by 2 annotators, aggregated by: majority",
        "- Versions of the guideline they judged by: 1, 2",
        "- Language of the prompts: en (20), not recorded (4)",
        "- Examples: 24 to train, 6 held out, 1 left out",
        "| Epochs \\(epochs\\) | 2 |",
        "- Seed: 7",
        "- Packages: peft 0\\.21\\.2, torch 2\\.13\\.0",
        "python manage.py train garden --recipe reward --model 'Small one'",
    ):
        assert passage in card, passage


def test_numbers_stand_with_interval_and_n_beside_the_baselines():
    card = card_of(REWARD)
    assert "| Held\\-out accuracy | 60.0 % | 30.0 to 83.0 % | 6 |" in card
    assert "| Accuracy of “the longer one wins” | 50.0 % | 20.0 to 80.0 % | 6 |" in card
    assert "| Margin between chosen and rejected | 0.25 | 0.125 to 0.375 | 6 |" in card


def test_it_says_how_a_score_is_read():
    card = card_of(REWARD)
    assert "## How a score is read" in card
    assert "The score is read at the last real token, which is that EOS" in card
    assert "AutoModelForSequenceClassification" in card and "tokenizer.eos_token" in card
    assert "How a score is read" not in card_of(replace(REWARD, task="policy", recipe="dpo"))


def test_limits_are_said_in_words():
    card = card_of(REWARD)
    for sentence in (
        "- “Held-out accuracy” is not shown to differ from chance: its interval covers 50 %.",
        "- Its accuracy is not shown to differ from that of “the longer one wins”: it may have learned",
        "- With 6 held-out examples a share is known to about ±40 points, no better.",
        "- Few data: it was trained on 24 examples, and may know little beyond them.",
        "- Short training: 3 steps of the optimizer.",
        "- The preferences are those of 2 persons, who may not be like your readers.",
        "- Nothing is known of it in other languages than those of its prompts (en).",
        "- A reward model is right only near its data: prompts of this kind",
    ):
        assert sentence in card, sentence
    assert "“Margin between chosen and rejected” is not shown" not in card


def test_a_model_with_much_data_and_clear_numbers_is_not_talked_down():
    good = Figure("accuracy", "Held-out accuracy", 0.8, 0.78, 0.82, 2000)
    longer = Figure("accuracy_longer_wins", "Longer", 0.55, 0.53, 0.57, 2000)
    data = replace(DATA, annotators=12)
    card = card_of(replace(REWARD, figures=[good, longer], train=20_000, steps=2500, data=data))
    for words in ("chance:", "little but length", "Few data", "Short training", "persons, ", "points, no better"):
        assert words not in card, words


def test_a_model_without_numbers_says_so():
    assert "There are no held-out numbers" in card_of(replace(REWARD, figures=[]))


def test_rounded_weights_and_adapters_before_this_one_are_told():
    assert "rounded to bfloat16 after the numbers above" in card_of(replace(REWARD, dtype="bfloat16"))
    card = card_of(replace(REWARD, form="adapter", merged=False, before=1, task="policy", recipe="dpo", dtype=""))
    assert "trained on the base with 1 other adapter merged in" in card


def test_an_adapter_that_is_several_says_what_peft_makes_of_it():
    assert "an ensemble of" not in card_of(REWARD)
    card = card_of(replace(REWARD, form="adapter", merged=False, dtype="", separate_adapters=3))
    assert "It is an ensemble of 3 adapters" in card and "PEFT loads the first one alone" in card


EVIL = "x](http://evil) <script>alert(1)</script>\n---\ninjected: true\n# Heading | cell `code` @everyone https://a.b"


def test_a_name_stays_text_wherever_it_stands():
    facts = replace(REWARD, name=EVIL, base=EVIL, parents=[EVIL, EVIL], reward_model=EVIL, demonstrations=EVIL)
    card = card_of(facts)
    assert card.count("\n---\n") == 1, "the front matter ends once"
    assert not any(line.startswith(("injected", "# Heading")) for line in card.splitlines())
    html = render_markdown(body_of(card))
    assert "<script" not in html and 'href="http://evil"' not in html and "<h3>Heading" not in html


@given(st.text())
def test_any_text_is_one_line_that_markdown_shows_as_it_is(text):
    escaped = plain(text)
    assert len(escaped.splitlines()) <= 1
    html = str(render_markdown(f"a {escaped} b"))
    assert html.count("<") == 2, "a paragraph and nothing in it"


@given(st.lists(st.text(), min_size=1))
def test_a_command_is_one_line_in_its_fence(words):
    block = code_block([command_line(words)])
    lines = block.split("\n")
    assert len(lines) == 3 and lines[0] == lines[2] and lines[0] not in lines[1]


def unlearned(name: str, value: float, verdict: str) -> Probed:
    share = Figure("accuracy", "", 0.5, 0.4, 0.6, 84)
    change = Figure("difference", "", value, value - 0.05, value + 0.05, 84)
    return Probed("probes", name, "h", [Change("per_byte", "likeliest per byte", "", share, share, change, verdict)])


def test_it_says_what_the_training_has_cost_elsewhere_and_no_name_of_a_set_breaks_out():
    sets = [unlearned("Our | questions <b>", -0.1, "worse"), unlearned("Others", 0.01, "unclear")]
    card = card_of(replace(REWARD, task="policy", recipe="dpo", tax=sets))
    line = r"| Our \| questions \<b\> | likeliest per byte | 50.0 % | 50.0 % | -10.0 (-15.0 to -5.0) | 84 |"
    assert "## What it has unlearned\n\nBefore and after" in card and line in card
    assert r"does worse than its start on Our \| questions \<b\>." in card
    assert "unlearned" not in card_of(REWARD) and "worse than its start" not in card_of(replace(REWARD, tax=sets[1:]))
