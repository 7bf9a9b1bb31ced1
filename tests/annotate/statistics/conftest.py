"""Properties are not timed: on a busy machine a deadline fails by chance; what must be fast has its own test."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
