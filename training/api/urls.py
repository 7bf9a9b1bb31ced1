"""Addresses of the right wing's API, below /api/v1/."""

from django.urls import path

from training.api import runs

PROJECT = "projects/<slug:slug>/"
urlpatterns = [
    path(PROJECT + "runs/", runs.run_list, name="api_runs"),
    path(PROJECT + "runs/<int:run_id>/", runs.run_detail, name="api_run"),
    path(PROJECT + "runs/<int:run_id>/cancel/", runs.cancel, name="api_run_cancel"),
    path(PROJECT + "runs/<int:run_id>/resume/", runs.resume, name="api_run_resume"),
    path(PROJECT + "rounds/", runs.round_list, name="api_rounds"),
    path(PROJECT + "rounds/<int:number>/", runs.round_detail, name="api_round"),
    path(PROJECT + "models/", runs.model_list, name="api_models"),
]
