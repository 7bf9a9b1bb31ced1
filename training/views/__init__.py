"""Pages of the right wing, one file a noun."""
