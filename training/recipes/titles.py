"""What recipes, adapters and choices are called where people read: marked for translation, translated by the pages."""

from training.recipes.words import gettext_noop

TITLES = {
    "sample": gettext_noop("Samples"),
    "sft": gettext_noop("Fine-tuning on demonstrations (SFT)"),
    "reward": gettext_noop("Reward model"),
    "dpo": gettext_noop("Policy (DPO)"),
    "kto": gettext_noop("Policy (KTO)"),
    "orpo": gettext_noop("Policy (ORPO)"),
    "simpo": gettext_noop("Policy (SimPO)"),
    "ppo": gettext_noop("Policy (PPO)"),
    "rloo": gettext_noop("Policy (RLOO)"),
    "grpo": gettext_noop("Policy (GRPO)"),
    "merge": gettext_noop("Merging"),
    "export": gettext_noop("Export"),
    "playground": gettext_noop("Playground"),
}

METHODS = {
    "dpo": gettext_noop("DPO"),
    "kto": gettext_noop("KTO"),
    "orpo": gettext_noop("ORPO"),
    "simpo": gettext_noop("SimPO"),
    "ppo": gettext_noop("PPO"),
    "rloo": gettext_noop("RLOO"),
    "grpo": gettext_noop("GRPO"),
}

# One line each: when to take it.
WHEN = {
    "sft": gettext_noop("There are responses to imitate, and no comparisons yet."),
    "reward": gettext_noop("A score for responses: to judge any text by, and to reward PPO, RLOO and GRPO."),
    "dpo": gettext_noop("Learns from the pairs directly. Quick and steady: begin with this one."),
    "kto": gettext_noop("Every response counts by itself, wanted or unwanted: for pairs of which one is no use."),
    "orpo": gettext_noop("Imitates and compares in one run, without a reference: for a start that is not fine-tuned."),
    "simpo": gettext_noop("Compares likelihoods per token, without a reference: when responses only become longer."),
    "ppo": gettext_noop("Writes, is scored by the reward model, and learns several times from each response. Slowest."),
    "rloo": gettext_noop(
        "As PPO, but measures responses to one prompt against each other. Fewer settings, less memory."
    ),
    "grpo": gettext_noop("As RLOO, with differences scaled within each prompt: for rewards of very different size."),
}

ADAPTERS = {
    "lora": gettext_noop("LoRA"),
    "qlora": gettext_noop("QLoRA (in 4 bits)"),
    "ia3": gettext_noop("(IA)³"),
    "houlsby": gettext_noop("Houlsby adapter"),
    "prefix": gettext_noop("Prefix-Tuning"),
    "p_tuning": gettext_noop("P-Tuning v1"),
    "p_tuning_v2": gettext_noop("P-Tuning v2"),
    "prompt_tuning": gettext_noop("Prompt Tuning"),
    "last_layers": gettext_noop("Last layers only"),
    "bias": gettext_noop("Biases only"),
    "full": gettext_noop("Full fine-tuning (every weight)"),
    "head": gettext_noop("Score head only, on features kept for every text"),
}

# What stays beside a model, by its method; of several LoRAs in one model none is the one to be merged.
ENSEMBLE = "ensemble"
STAYING = {**ADAPTERS, ENSEMBLE: gettext_noop("an ensemble of adapters")}

# By setting; what has no words here is shown as it is written.
CHOICES: dict[str, dict[str, str]] = {
    "adapter": ADAPTERS,
    "encoder": {"mlp": gettext_noop("MLP"), "lstm": gettext_noop("LSTM")},
    "parallel": {"ddp": gettext_noop("DDP"), "fsdp": gettext_noop("FSDP"), "deepspeed": gettext_noop("DeepSpeed")},
    "gradient_checkpointing": {
        "auto": gettext_noop("where memory asks for it"),
        "on": gettext_noop("on"),
        "off": gettext_noop("off"),
    },
    "packing": {
        "auto": gettext_noop("where the GPU has kernels for it"),
        "on": gettext_noop("on"),
        "off": gettext_noop("off"),
    },
    "schedule": {
        "linear": gettext_noop("linear"),
        "cosine": gettext_noop("cosine"),
        "constant": gettext_noop("constant"),
    },
    "kl_control": {"adaptive": gettext_noop("adaptive"), "fixed": gettext_noop("fixed")},
    "ensemble_of": {"heads": gettext_noop("heads"), "adapters": gettext_noop("adapters")},
    "ensemble": {
        "mean": gettext_noop("mean"),
        "worst": gettext_noop("the worst"),
        "uncertainty": gettext_noop("mean less disagreement"),
    },
    "ties": {
        "drop": gettext_noop("left out"),
        "davidson": gettext_noop("learned from (Davidson)"),
        "rao_kupper": gettext_noop("learned from (Rao–Kupper)"),
    },
    "form": {
        "merged": gettext_noop("the whole model (adapters merged)"),
        "adapter": gettext_noop("the adapter alone"),
    },
    "pairs": {
        "all": gettext_noop("all of them"),
        "closest": gettext_noop("the two closest in score"),
        "best_and_worst": gettext_noop("the best and the worst"),
        "best_two": gettext_noop("the best two"),
        "none": gettext_noop("none of them"),
    },
    "reward_scaling": {
        "running": gettext_noop("running"),
        "first": gettext_noop("by the first step"),
        "none": gettext_noop("none"),
    },
    "loss_type": {
        "dapo": gettext_noop("mean over all tokens (DAPO)"),
        "grpo": gettext_noop("mean over responses (GRPO)"),
        "bnpo": gettext_noop("mean over the tokens of a batch (BNPO)"),
        "dr_grpo": gettext_noop("by the longest response (Dr. GRPO)"),
    },
    "scale_rewards": {
        "group": gettext_noop("the deviation within a group"),
        "batch": gettext_noop("the deviation of all rewards"),
        "none": gettext_noop("nothing"),
    },
}
