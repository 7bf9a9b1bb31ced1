"""Addresses of the right wing's API, below /api/v1/."""

from django.urls import path

from training.api import artifacts, estimates, reports, runs

PROJECT = "projects/<slug:slug>/"
urlpatterns = [
    path(PROJECT + "runs/", runs.run_list, name="api_runs"),
    path(PROJECT + "runs/<int:run_id>/", runs.run_detail, name="api_run"),
    path(PROJECT + "runs/<int:run_id>/pin/", runs.pin, name="api_run_pin"),
    path(PROJECT + "runs/<int:run_id>/priority/", runs.change_priority, name="api_run_priority"),
    path(PROJECT + "runs/<int:run_id>/cancel/", runs.cancel, name="api_run_cancel"),
    path(PROJECT + "runs/<int:run_id>/resume/", runs.resume, name="api_run_resume"),
    path(PROJECT + "rounds/", runs.round_list, name="api_rounds"),
    path(PROJECT + "rounds/<int:number>/", runs.round_detail, name="api_round"),
    path(PROJECT + "models/", runs.model_list, name="api_models"),
    path(PROJECT + "models/<int:artifact_id>/", artifacts.model_detail, name="api_model"),
    path(PROJECT + "models/<int:artifact_id>/dependents/", artifacts.model_dependents, name="api_model_dependents"),
    path(PROJECT + "models/<int:artifact_id>/card/", artifacts.model_card, name="api_model_card"),
    path(PROJECT + "models/<int:artifact_id>/merge/", artifacts.merge, name="api_model_merge"),
    path(PROJECT + "models/<int:artifact_id>/exports/", artifacts.export, name="api_model_exports"),
    path(PROJECT + "disk/", artifacts.disk, name="api_disk"),
    path(PROJECT + "ratings/", reports.ratings, name="api_ratings"),
    path(PROJECT + "label-value/", reports.label_value, name="api_label_value"),
    path(PROJECT + "estimate/", estimates.estimate, name="api_estimate"),
]
