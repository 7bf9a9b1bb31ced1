"""Builds a tiny real Llama with its own byte-level BPE, as a safetensors directory: a fixture, not a language model."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 800
SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

CORPUS = """
First, open the window. Second, let the air in. Then close it again and sit down.
How do I bake bread? Mix flour, water, salt and yeast; wait an hour; shape it; bake it until it sounds hollow.
Step one: read the question. Step two: think about what is asked. Step three: answer in plain words.
Please explain why the sky is blue. Short waves of light are scattered more than long ones, so we see blue.
Write a small function that adds two numbers. def add(a, b): return a + b
Plan a day in the mountains: get up early, take the train, walk to the hut, eat there, and come back by the river.
Rewrite this sentence so that it sounds friendly. Of course! Here is a kinder version of the same sentence.
What is the capital of the country, and how many people live in it? It depends on which country you mean.
The cat sat on the mat, the dog lay by the door, and nobody said a word until the kettle began to sing.
A list of useful things: paper, pencil, string, a knife, a map, some bread, and a friend who knows the way.
请用简单的话解释什么是重力。首先,所有物体都互相吸引。其次,地球很大,所以它把我们拉向地面。
怎样学好一门语言?第一步,每天听。第二步,每天说。第三步,不要怕犯错。
"""


def build_fixture_model(path: Path, *, pad_is_eos: bool = False, seed: int = 0, layers: int = 2) -> Path:
    """Write model and tokenizer into `path` and return it; the same seed gives the same weights."""
    tokenizer = build_tokenizer(pad_is_eos=pad_is_eos)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def build_tokenizer(*, pad_is_eos: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the text above; ChatML turns, ended by EOS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.strip().splitlines(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>" if pad_is_eos else "<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
    )
