"""The only room that imports torch, transformers and peft; runs as `python -m training.ml.run JOB_DIR`."""
