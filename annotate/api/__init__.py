"""The left wing over HTTP: the same verbs and the same door as the pages."""
