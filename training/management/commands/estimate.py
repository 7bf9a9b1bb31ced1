"""manage.py estimate: what a run will take, from a config.json alone."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from annotate.management.telling import TellingCommand
from training.management import options
from training.management.described_sampling import described_sampling
from training.management.estimate_table import sampling_lines, table_of
from training.recipes.estimate import DRAWN, ESTIMATED, ITEMS, Data, Question, Sampling, Speed, whole, whole_sampling
from training.recipes.reward import METHODS
from training.workflow import configs, device, estimates
from training.workflow.estimate_words import about_model
from training.workflow.rewarders import described
from training.workflow.sampling_estimates import answer_sampling

GIGABYTE = 10**9
# Options that are settings of every recipe under a shorter way to write them.
SETTINGS = ("adapter", "rank", "alpha", "targets", "bottleneck", "layers", "virtual_tokens", "epochs")
BATCH = ("batch_size", "gradient_accumulation", "max_length", "max_new_tokens")


class Command(TellingCommand):
    help = "Estimate parameters, memory, disk and time of a run from a model's config.json; no weights, no GPU."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config", required=True, type=Path, metavar="FILE", help="config.json of the model, or its folder."
        )
        parser.add_argument("--recipe", required=True, choices=(*ESTIMATED, "sample"), help="What to train, or sample.")
        parser.add_argument("--adapter", choices=METHODS, help="What is trained of it (default: lora).")
        for name in ("rank", "bottleneck", "layers", "virtual-tokens", "epochs", *(n.replace("_", "-") for n in BATCH)):
            parser.add_argument(f"--{name}", type=int, help="A setting of the recipe.")
        parser.add_argument("--alpha", type=float, help="A setting of the recipe.")
        parser.add_argument("--targets", help="Layers that get a LoRA, by commas (default: all).")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="A setting; repeatable.")
        parser.add_argument("--device", choices=("cpu", "gpu"), default="", help="Default: what this machine has.")
        parser.add_argument(
            "--memory", type=options.positive(1e6), metavar="GB", help="Of the device (default: as found here)."
        )
        parser.add_argument(
            "--devices",
            type=options.whole_number(1, 1024),
            help="How many a run is given (default: as many as the largest device slot of this host).",
        )
        parser.add_argument(
            "--examples",
            type=options.whole_number(1, 10**12),
            default=1000,
            help="Examples to learn from (default: 1000).",
        )
        parser.add_argument(
            "--tokens", type=options.positive(1e7, zero=True), default=0.0, help="Of an example (default: the longest)."
        )
        parser.add_argument(
            "--held-out",
            type=options.whole_number(0, 10**12),
            default=0,
            help="Examples that it is measured on (default: none).",
        )
        parser.add_argument(
            "--response-tokens",
            type=options.whole_number(1, 10**7),
            help="Of the longest example (default: half of it).",
        )
        parser.add_argument(
            "--reward-config", type=Path, metavar="FILE", help="config.json of what rewards, or scores."
        )
        parser.add_argument(
            "--reference-config", type=Path, metavar="FILE", help="config.json of a second model that answers (sample)."
        )
        parser.add_argument(
            "--operations", type=options.positive(1e9), metavar="TERA", help="The device computes in a second."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **given: Any) -> None:
        memory = None if given["memory"] is None else int(given["memory"] * GIGABYTE)
        with options.clear_errors():
            settings = settings_of(given)
            if given["recipe"] == "sample":
                machine = device.machine(given["device"], memory, 1)
                sampled = answer_sampling(*described_sampling(given, settings, machine))
                facts = whole_sampling(sampled.question, sampled.chosen, sampled.advice)
                self._report(given["json"], sampled.question, facts, sampling_lines(sampled))
                return
            # Of the reward model, as `round` takes them: --set reward.members=3
            trained = given["recipe"] in DRAWN and isinstance(settings.get("reward"), dict)
            reward = settings.pop("reward") if trained else {}
            machine = device.machine(given["device"], memory, given["devices"])
            operations = given["operations"]
            speed = Speed("given", operations * 1e12) if operations else device.speed(machine.device)
            asked = estimates.question(
                configs.read_config(given["config"]),
                given["recipe"],
                machine,
                Data(
                    given["examples"], given["tokens"], held_out=given["held_out"], items=ITEMS.get(given["recipe"], 1)
                ),
                speed,
                given["response_tokens"],
                described(given["recipe"], given["reward_config"], reward, given["config"]),
            )
            found = estimates.answer(asked, settings)
        facts = whole(asked, found.chosen, found.methods, found.advice)
        self._report(given["json"], asked, facts, "" if given["json"] else table_of(found))

    def _report(self, as_json: bool, asked: Question | Sampling, facts: dict[str, Any], text: str) -> None:
        options.report(self, as_json, facts, text)
        if said := about_model(asked.model):
            self.stderr.write(said)


def settings_of(given: dict[str, Any]) -> dict[str, Any]:
    named = {name: given[name] for name in (*SETTINGS, *BATCH) if given[name] is not None}
    return {**named, **options.settings_of(given["set"])}
