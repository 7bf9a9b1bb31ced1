"""The only room that imports torch, transformers and peft; runs as `python -m training.ml.run JOB_DIR`."""

import logging
import sys

# Nothing is fetched at run time, and nothing fetched is run: with the package `kernels` installed, bitsandbytes (which
# peft imports) and transformers would load compiled code from the hub. Unset it reads as not installed.
sys.modules["kernels"] = None  # type: ignore[assignment]
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # "please pip install kernels"
