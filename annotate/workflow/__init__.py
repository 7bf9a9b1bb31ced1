"""One verb file a step of the flow: intake, demonstrations, feedback, assignment, judging, guidelines, agreement,
snapshots, export."""
