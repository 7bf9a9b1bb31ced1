"""What a run will take, from a model's config.json alone: parameters, memory, disk and time; no torch, no Django."""

from training.recipes.estimate.adapters import parameters
from training.recipes.estimate.advice import Advice, nearest_that_fits
from training.recipes.estimate.answering import Answering, Loaded
from training.recipes.estimate.families import NAMELESS, read_architecture
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.loaded import loaded_memory
from training.recipes.estimate.memory import Memory
from training.recipes.estimate.players import Rewarder
from training.recipes.estimate.report import whole, whole_sampling
from training.recipes.estimate.sampling import Sampling, corrected, estimate_sampling, nearest_sampling
from training.recipes.estimate.table import ESTIMATED, Estimate, Machine, Question, estimate, every_method
from training.recipes.estimate.throughput import ITEMS, REFERENCED, Data, Durations, Kept, Speed
from training.recipes.estimate.workload import DRAWN

__all__ = [
    "DRAWN",
    "ESTIMATED",
    "ITEMS",
    "NAMELESS",
    "REFERENCED",
    "Advice",
    "Answering",
    "Architecture",
    "Data",
    "Durations",
    "Estimate",
    "Kept",
    "Loaded",
    "Machine",
    "Memory",
    "Question",
    "Rewarder",
    "Sampling",
    "Speed",
    "corrected",
    "estimate",
    "estimate_sampling",
    "every_method",
    "loaded_memory",
    "nearest_sampling",
    "nearest_that_fits",
    "parameters",
    "read_architecture",
    "whole",
    "whole_sampling",
]
