"""Forms of the right wing, one file a page; a recipe's settings become fields by reading its dataclass."""

from training.forms.bench import BenchForm
from training.forms.estimate import DeviceForm
from training.forms.fields import seed_field
from training.forms.finding import FindRunsForm
from training.forms.model import RegisterModelForm
from training.forms.playground import PlaygroundForm, ScoreForm, TalkForm
from training.forms.probes import ProbesForm
from training.forms.recipe import RecipeForm
from training.forms.round import RoundForm
from training.forms.run import RunForm
from training.forms.sampling import SamplingForm

__all__ = [
    "BenchForm",
    "DeviceForm",
    "FindRunsForm",
    "PlaygroundForm",
    "ProbesForm",
    "RecipeForm",
    "RegisterModelForm",
    "RoundForm",
    "RunForm",
    "SamplingForm",
    "ScoreForm",
    "TalkForm",
    "seed_field",
]
