"""Forms of the right wing, one file a page; a recipe's settings become fields by reading its dataclass."""

from training.forms.estimate import DeviceForm
from training.forms.fields import seed_field
from training.forms.finding import FindRunsForm
from training.forms.model import RegisterModelForm
from training.forms.recipe import RecipeForm
from training.forms.round import RoundForm
from training.forms.run import RunForm
from training.forms.sampling import SamplingForm

__all__ = [
    "DeviceForm",
    "FindRunsForm",
    "RecipeForm",
    "RegisterModelForm",
    "RoundForm",
    "RunForm",
    "SamplingForm",
    "seed_field",
]
