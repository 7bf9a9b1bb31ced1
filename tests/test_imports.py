"""The web process stays small: it never loads the training stack."""

import subprocess
import sys

from django.conf import settings

SCRIPT = """
import django, sys
django.setup()
from django.urls import get_resolver
import workbench.wsgi
def walk(patterns):
    for entry in patterns:
        if hasattr(entry, "url_patterns"):
            walk(entry.url_patterns)
walk(get_resolver().url_patterns)
unwanted = "torch transformers trl peft datasets accelerate pandas scipy.optimize".split()
heavy = [name for name in unwanted if name in sys.modules]
rss = int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024
print(",".join(heavy), rss)
"""


def test_the_whole_url_configuration_loads_without_torch_and_below_200_mb() -> None:
    environment = {"DJANGO_SETTINGS_MODULE": "workbench.settings", "PLUMBLINE_HOME": str(settings.HOME), "PATH": ""}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True)
    heavy, megabytes = done.stdout.split(" ")
    assert heavy == ""
    assert int(megabytes) < 200
