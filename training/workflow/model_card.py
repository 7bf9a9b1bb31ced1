"""The model card as text: Markdown with a front matter, out of plain facts; no name breaks out of its line."""

import re
import shlex
import unicodedata
from collections.abc import Iterator

from training.recipes.adapters import SELECTIVE, VIRTUAL_TOKENS
from training.recipes.export import MERGED
from training.recipes.hub_ids import is_hub_id
from training.workflow.card_contents import Data, Facts, counted, plain
from training.workflow.card_limits import limits_of
from training.workflow.evaluation import Figure


def card_of(facts: Facts) -> str:
    """The whole README.md."""
    parts = [front_matter(facts), f"# {plain(facts.name)}", _what_it_is(facts)]
    for title, lines in _sections(facts):
        if lines:
            parts.append(f"## {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def body_of(card: str) -> str:
    """Without the front matter, for a page."""
    return card.split("\n---\n", 1)[1].strip()


def front_matter(facts: Facts) -> str:
    """Only words of ours and ids in a known form, so that nobody's name can break the YAML."""
    library = "transformers" if facts.form == MERGED else "peft"
    lines = ["---"]
    if is_hub_id(facts.base):  # the hub refuses a card whose base model is no id of its own
        lines.append(f'base_model: "{facts.base}"')
        lines.append(f"base_model_relation: {'finetune' if facts.form == MERGED else 'adapter'}")
    lines.append(f"library_name: {library}")
    lines.append(f"pipeline_tag: {'text-classification' if facts.task == 'reward' else 'text-generation'}")
    tags = ["plumbline", facts.recipe, facts.adapter, "reward-model" if facts.task == "reward" else ""]
    lines += ["tags:", *(f"- {tag.replace('_', '-')}" for tag in tags if tag), "datasets: []", "---"]
    return "\n".join(lines)


def code_block(lines: list[str], language: str = "") -> str:
    """A fence longer than any in the text."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def command_line(words: list[str]) -> str:
    """As a shell takes it; control characters become blanks."""
    kept = ("".join(" " if unicodedata.category(char)[0] == "C" else char for char in word) for word in words)
    return shlex.join(list(kept))


def _what_it_is(facts: Facts) -> str:
    kind = "A reward model" if facts.task == "reward" else "A policy"
    whole = "as a whole model" if facts.form == MERGED else "as an adapter"
    if not facts.recipe:
        return f"{kind}, {whole}, as it was registered in Plumbline: nothing was trained here."
    return f"{kind}, {whole}, trained from human preference data in a Plumbline workbench."


def _sections(facts: Facts) -> Iterator[tuple[str, list[str]]]:
    yield "What it was made from", _origin(facts)
    yield "Settings that differ from the defaults", _settings(facts)
    yield "Numbers", _numbers(facts)
    yield "What it has unlearned", _tax(facts)
    yield "How a score is read" if facts.task == "reward" else "How it is used", _use(facts)
    yield "Limits", [f"- {sentence}" for sentence in limits_of(facts)]
    yield "How to make it again", _again(facts)


def _origin(facts: Facts) -> list[str]:
    lines = [f"- Base model: {plain(facts.base)}"]
    if len(facts.parents) > 1:
        lines.append("- Made from, the nearest first: " + ", ".join(plain(name) for name in facts.parents))
    if facts.recipe:
        lines.append(f"- Method: {facts.title}, trained: {facts.adapter_title}")
    if facts.merged:
        lines.append("- Its adapters were merged into the weights of the base in float32.")
    if facts.form == MERGED and facts.dtype:
        lines.append(f"- Precision of the weights: {facts.dtype}")
    if facts.reward_model:
        lines.append(f"- Rewarded by the reward model {plain(facts.reward_model)}")
    if facts.demonstrations:
        lines.append(f"- Imitates the demonstrations {plain(facts.demonstrations)}")
    if facts.feedback:
        lines.append(f"- Learned from single votes on responses, the feedback {plain(facts.feedback)}")
    lines += _data(facts.data) if facts.data else []
    if facts.train:
        left_out = f", {facts.left_out} left out" if facts.left_out else ""
        lines.append(f"- Examples: {facts.train} to train, {facts.test} held out{left_out}")
    return lines


def _data(data: Data) -> list[str]:
    versions = ", ".join(map(str, data.guideline_versions)) or "none"
    lines = [
        f"- Preference data: snapshot {data.number}, `{data.content_hash}`",
        f"- {counted(data.judgments, 'judgment')} by {counted(data.annotators, 'annotator')}, aggregated by: "
        f"{data.aggregation.lower()}",
        f"- Versions of the guideline they judged by: {versions}",
    ]
    if data.languages:
        named = ", ".join(f"{plain(name)} ({n})" for name, n in data.languages.items())
        lines.append(f"- Language of the prompts: {named}")
    return lines


def _settings(facts: Facts) -> list[str]:
    if not facts.settings:
        return ["None."] if facts.recipe else []
    return ["| setting | value |", "| --- | --- |", *(f"| {plain(k)} | {plain(v)} |" for k, v in facts.settings)]


def _numbers(facts: Facts) -> list[str]:
    if not facts.figures:
        return []
    rows = [
        f"| {plain(figure.label)} | {_value(figure)} | {_interval(figure)} | {'' if figure.n is None else figure.n} |"
        for figure in facts.figures
    ]
    said = "On held-out data, with 95 % intervals; measured on the model as it was trained"
    said += ", before its adapters were merged." if facts.merged or facts.form == MERGED else "."
    return [said, "", "| figure | value | 95 % interval | n |", "| --- | --- | --- | --- |", *rows]


def _tax(facts: Facts) -> list[str]:
    """Against the model that this training began with; a line for each set and measure that there is a number of."""
    numbers = [(probed.name, row) for probed in facts.tax for row in probed.rows if row.change.value is not None]
    rows = [
        f"| {plain(name)} | {plain(row.label)} | {_value(row.before)} | {_value(row.after)} | {_change(row.change)} "
        f"| {row.change.n} |"
        for name, row in numbers
    ]
    if not rows:
        return []
    said = (
        "Before and after this training, on the same questions and texts, with 95 % intervals of the change: the share "
        "of questions whose right choice was the likeliest, in points, and the perplexity of texts, as a factor."
    )
    head = ["| set | measure | before | after | change | n |", "| --- | --- | --- | --- | --- | --- |"]
    return [said, "", *head, *rows]


def _change(figure: Figure) -> str:
    if figure.name == "ratio":
        return f"× {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
    return f"{100 * figure.value:+.1f} ({100 * figure.low:+.1f} to {100 * figure.high:+.1f})"


def _value(figure: Figure) -> str:
    if figure.value is None:
        return "too few to say"
    return f"{100 * figure.value:.1f} %" if figure.is_share else f"{figure.value:.4g}"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    if figure.is_share:
        return f"{100 * figure.low:.1f} to {100 * figure.high:.1f} %"
    return f"{figure.low:.4g} to {figure.high:.4g}"


def _use(facts: Facts) -> list[str]:
    lines = _how_scores_are_read(facts) if facts.task == "reward" else ["Messages go through the chat template."]
    if facts.form == MERGED:
        return [*lines, "", code_block(_score_code(facts) if facts.task == "reward" else _text_code(), "python")]
    return [*lines, "", *_adapter_use(facts)]


def _how_scores_are_read(facts: Facts) -> list[str]:
    where = (
        "The score is read at the last real token, which is that EOS: without it the model is asked something it was "
        "not trained on. Pad on the right, with the tokenizer's pad token."
    )
    if facts.encoder:
        where = (
            "The encoder reads the whole text at once: the score is the head on the mean of the last layer's states "
            "over the text's tokens, padding left out."
        )
    members = f" It is the mean of {facts.members} members." if facts.members > 1 else ""
    return [
        "A text to score is the prompt in the chat template, up to where the assistant's turn begins, then the "
        f"response, then the end-of-sequence token. {where}{members} A score has no unit and no zero: only differences "
        "between responses to the same prompt mean anything. Special tokens that are spelled out in a message or a "
        "response were text in training: encode those with `split_special_tokens=True`."
    ]


ON_ENCODER = (
    "It stands on an encoder under a head of Plumbline's own (`training.ml.encoder.EncoderForReward`), which PEFT "
    "alone does not build: export the whole model for a program that has transformers only."
)
TEXT_TO_SCORE = [
    'messages = [{"role": "user", "content": "How do I bake bread?"}]',
    "prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)",
    'text = prompt + "Mix flour and water." + tokenizer.eos_token',
    'tokens = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
]


def _score_code(facts: Facts) -> list[str]:
    """Programs that run as they stand (tests/training/ml/test_export.py runs them)."""
    if facts.encoder:
        return _encoder_code()
    return [
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("DIRECTORY")',
        'model = AutoModelForSequenceClassification.from_pretrained("DIRECTORY").eval()',
        *TEXT_TO_SCORE,
        f"score = model(**tokens).logits{'[0].mean()' if facts.members > 1 else '[0, 0]'}",
    ]


def _encoder_code() -> list[str]:
    """transformers has no class of a head on the mean of the tokens: its own body, and the head beside it."""
    return [
        "from safetensors.torch import load_file",
        "from transformers import AutoConfig, AutoModel, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("DIRECTORY")',
        'weights = load_file("DIRECTORY/model.safetensors")',
        'head = weights.pop("score.weight").float()',
        'body = AutoModel.from_config(AutoConfig.from_pretrained("DIRECTORY")).float().eval()',
        'of_body = {name.removeprefix("encoder."): weight for name, weight in weights.items()}',
        "left_out = body.load_state_dict(of_body, strict=False).missing_keys",
        'assert all(name.startswith("pooler.") for name in left_out)  # a layer that no score goes through',
        *TEXT_TO_SCORE,
        "score = (head @ body(**tokens).last_hidden_state[0].mean(dim=0)).mean()",
    ]


def _text_code() -> list[str]:
    return [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("DIRECTORY")',
        'model = AutoModelForCausalLM.from_pretrained("DIRECTORY").eval()',
        'messages = [{"role": "user", "content": "How do I bake bread?"}]',
        "inputs = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
        ")",
        "answer = model.generate(**inputs, max_new_tokens=200, do_sample=True, temperature=0.7, top_p=0.9)",
    ]


def _adapter_use(facts: Facts) -> list[str]:
    lines = [f"These are the files of an adapter; load them with PEFT onto the base model {plain(facts.base)}."]
    if facts.before:
        lines.append(
            f"It was trained on the base with {counted(facts.before, 'other adapter')} merged in: merge `before-1` and "
            "those after it into the base first, in that order. On the bare base it computes something else."
        )
    if facts.encoder:
        return [*lines, ON_ENCODER]
    if facts.adapter == "houlsby":
        lines.append("PEFT has no Houlsby adapters: `import training.ml.houlsby` of Plumbline registers them.")
    if facts.adapter in SELECTIVE:
        lines.append("PEFT does not know this method: the weights stand under the model's own names.")
    if facts.adapter in VIRTUAL_TOKENS:
        lines.append("Virtual tokens take room in the context, and cannot be merged into the weights.")
    if facts.adapter == "qlora":
        lines.append("It learned beside a base in 4 bits (NF4, double quantisation): load the base so.")
    if facts.task == "reward" and _peft_alone_loads(facts):
        lines += ["", code_block(_adapter_score_code(facts), "python")]
    return lines


def _peft_alone_loads(facts: Facts) -> bool:
    known = facts.adapter not in (*SELECTIVE, "houlsby", "qlora")
    return known and not facts.before and facts.separate_adapters == 1


def _adapter_score_code(facts: Facts) -> list[str]:
    base = facts.base if is_hub_id(facts.base) else "BASE"
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("DIRECTORY")',
        f'base = AutoModelForSequenceClassification.from_pretrained("{base}", num_labels={facts.members})',
        "base.config.pad_token_id = tokenizer.pad_token_id  # the score is read before the first of these",
        'model = PeftModel.from_pretrained(base, "DIRECTORY").eval()',
        *TEXT_TO_SCORE,
        "score = model(**tokens).logits[0].mean()",
    ]


def _again(facts: Facts) -> list[str]:
    lines = [f"- Seed: {facts.seed}"] if facts.recipe else []
    if facts.weights_sha256:
        lines.append(f"- SHA-256 of the weights as trained: `{facts.weights_sha256}`")
    if facts.packages:
        lines.append("- Packages: " + ", ".join(f"{name} {plain(v)}" for name, v in sorted(facts.packages.items())))
    if facts.device:
        lines.append(f"- Device: {plain(facts.device)}, {plain(facts.precision)}")
    if facts.commands:
        lines += ["", code_block([command_line(words) for words in facts.commands], "sh")]
    return lines
