"""Takes passwords and tokens out of what a library says, before it is written where others read it."""

from __future__ import annotations

import os
import re

LOGIN_IN_ADDRESS = re.compile(r"(?<=://)[^\s/?#'\"<>]+@")
SECRETS = ("HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "WANDB_API_KEY")


def without_secrets(text: str) -> str:
    """`text` with dots for logins in addresses and for the secrets of this process's environment."""
    text = LOGIN_IN_ADDRESS.sub("…@", text)
    for name in SECRETS:
        if secret := os.environ.get(name, "").strip():
            text = text.replace(secret, "…")
    return text
