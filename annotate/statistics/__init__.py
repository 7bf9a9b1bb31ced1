"""Statistics of judgments: plain arrays in, estimates with their uncertainty out; numpy and scipy only."""
