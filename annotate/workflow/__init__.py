"""One verb file a step of the flow: intake, demonstrations, assignment, judging, guidelines, agreement, snapshots,
export."""
