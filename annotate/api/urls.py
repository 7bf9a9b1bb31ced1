"""Addresses of the left wing's API, below /api/v1/."""

from django.urls import path

from annotate.api import adjudication, demonstrations, feedback, judging, projects

PROJECT = "projects/<slug:slug>/"
urlpatterns = [
    path("projects/", projects.project_list, name="api_projects"),
    path(PROJECT, projects.project_detail, name="api_project"),
    path(PROJECT + "prompts/", projects.prompt_list, name="api_prompts"),
    path(PROJECT + "comparisons/", projects.comparison_list, name="api_comparisons"),
    path(PROJECT + "agreement/", projects.agreement, name="api_agreement"),
    path(PROJECT + "disputes/", adjudication.dispute_list, name="api_disputes"),
    path(PROJECT + "adjudications/", adjudication.adjudication_list, name="api_adjudications"),
    path(PROJECT + "demonstrations/", demonstrations.demonstration_list, name="api_demonstrations"),
    path(PROJECT + "feedback/", feedback.feedback_list, name="api_feedback"),
    path(PROJECT + "snapshots/", projects.snapshot_list, name="api_snapshots"),
    path(PROJECT + "snapshots/<int:number>/", projects.snapshot_detail, name="api_snapshot"),
    path(PROJECT + "snapshots/<int:number>/export/", projects.snapshot_export, name="api_snapshot_export"),
    path(PROJECT + "guideline/", judging.guideline, name="api_guideline"),
    path(PROJECT + "next/", judging.next_card, name="api_next"),
    path(PROJECT + "undo/", judging.undo, name="api_undo"),
    path(PROJECT + "cards/<int:assignment_id>/judgment/", judging.answer, name="api_answer"),
    path(PROJECT + "cards/<int:assignment_id>/skip/", judging.skip_card, name="api_skip"),
]
