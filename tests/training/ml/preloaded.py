"""What the fork server imports once for all its children, and puts out of sight of their garbage collectors."""

import gc
import importlib

gc.disable()
for module in ("run", "adapters", "load", "reward", "dpo", "sampling"):
    importlib.import_module(f"training.ml.{module}")
importlib.import_module("tests.training.ml.short_answers").shorten()
gc.freeze()
gc.enable()
