"""The verbs of the right wing: models, runs and their supervisor, sampling, rounds, evaluation, lineage."""
