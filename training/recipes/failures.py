"""The words of a failure that both sides may have to tell: the process of a run, or whoever finds that it could not."""

from training.recipes.words import gettext_noop

DISK_FULL = "disk_full"
DISK_IS_FULL = gettext_noop("The disk that holds %(directory)s or the model cache is full.")
MAKE_ROOM = gettext_noop("Make room on it and resume the run.")
