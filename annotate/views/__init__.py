"""Pages of the left wing, one file a noun."""
