"""Addresses of the right wing: rounds, runs, sampling, models."""

from django.urls import path

from training.views import models, rounds, run_files, runs, sampling

urlpatterns = [
    path("p/<slug:slug>/rounds/", rounds.list_rounds, name="rounds"),
    path("p/<slug:slug>/rounds/new/", rounds.create_round, name="round_create"),
    path("p/<slug:slug>/rounds/<int:number>/", rounds.show_round, name="round"),
    path("p/<slug:slug>/runs/", runs.list_runs, name="runs"),
    path("p/<slug:slug>/runs/<int:run_id>/", runs.show_run, name="run"),
    path("p/<slug:slug>/runs/<int:run_id>/progress.json", run_files.run_progress, name="run_progress"),
    path("p/<slug:slug>/runs/<int:run_id>/log.txt", run_files.run_log, name="run_log"),
    path("p/<slug:slug>/runs/<int:run_id>/cancel/", runs.cancel_run, name="run_cancel"),
    path("p/<slug:slug>/runs/<int:run_id>/resume/", runs.resume_run, name="run_resume"),
    path("p/<slug:slug>/sampling/new/", sampling.create_sampling, name="sampling_create"),
    path("p/<slug:slug>/models/", models.list_models, name="models"),
    path("p/<slug:slug>/models/register/", models.register_model, name="model_register"),
    path("p/<slug:slug>/models/<int:artifact_id>/", models.show_model, name="model"),
]
