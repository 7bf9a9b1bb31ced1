#!/usr/bin/env python3
"""Django's command line for Plumbline."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - older versions are what this line is for
    sys.exit("Plumbline needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
    execute_from_command_line(sys.argv)
