"""One verb file a step of the flow: intake, assignment, judging, guidelines, agreement, snapshots, export."""
