"""Addresses of the right wing's API, below /api/v1/."""

from django.urls import path

from training.api import artifacts, benches, estimates, playground, probes, recipes, reports, runs, sampling

PROJECT = "projects/<slug:slug>/"
urlpatterns = [
    path("recipes/", recipes.recipe_list, name="api_recipes"),
    path("recipes/<str:name>/", recipes.recipe_detail, name="api_recipe"),
    path(PROJECT + "runs/", runs.run_list, name="api_runs"),
    path(PROJECT + "runs/<int:run_id>/", runs.run_detail, name="api_run"),
    path(PROJECT + "runs/<int:run_id>/pin/", runs.pin, name="api_run_pin"),
    path(PROJECT + "runs/<int:run_id>/priority/", runs.change_priority, name="api_run_priority"),
    path(PROJECT + "runs/<int:run_id>/cancel/", runs.cancel, name="api_run_cancel"),
    path(PROJECT + "runs/<int:run_id>/resume/", runs.resume, name="api_run_resume"),
    path(PROJECT + "runs/<int:run_id>/alignment-tax/", probes.run_tax, name="api_run_tax"),
    path(PROJECT + "runs/<int:run_id>/ranking/", sampling.ranking, name="api_run_ranking"),
    path(PROJECT + "runs/<int:run_id>/best/", sampling.best, name="api_run_best"),
    path(PROJECT + "sampling/", sampling.sampling, name="api_sampling"),
    path(PROJECT + "probes/", probes.probe_list, name="api_probes"),
    path(PROJECT + "probes/<int:set_id>/", probes.probe_detail, name="api_probe_set"),
    path(PROJECT + "rounds/<int:number>/alignment-tax/", probes.round_tax, name="api_round_tax"),
    path(PROJECT + "rounds/", runs.round_list, name="api_rounds"),
    path(PROJECT + "rounds/<int:number>/", runs.round_detail, name="api_round"),
    path(PROJECT + "benches/", benches.bench_list, name="api_benches"),
    path(PROJECT + "benches/<int:number>/", benches.bench_detail, name="api_bench"),
    path(PROJECT + "benches/<int:number>/resume/", benches.resume, name="api_bench_resume"),
    path(PROJECT + "benches/<int:number>/cancel/", benches.cancel, name="api_bench_cancel"),
    path(PROJECT + "models/", runs.model_list, name="api_models"),
    path(PROJECT + "models/<int:artifact_id>/", artifacts.model_detail, name="api_model"),
    path(PROJECT + "models/<int:artifact_id>/dependents/", artifacts.model_dependents, name="api_model_dependents"),
    path(PROJECT + "models/<int:artifact_id>/card/", artifacts.model_card, name="api_model_card"),
    path(PROJECT + "models/<int:artifact_id>/merge/", artifacts.merge, name="api_model_merge"),
    path(PROJECT + "models/<int:artifact_id>/exports/", artifacts.export, name="api_model_exports"),
    path(PROJECT + "playground/", playground.playground_list, name="api_playgrounds"),
    path(PROJECT + "playground/<int:run_id>/", playground.playground_detail, name="api_playground"),
    path(PROJECT + "playground/<int:run_id>/messages/", playground.messages, name="api_playground_messages"),
    path(PROJECT + "playground/<int:run_id>/messages/<int:number>/", playground.message, name="api_playground_message"),
    path(PROJECT + "playground/<int:run_id>/messages/<int:number>/stop/", playground.stop, name="api_playground_stop"),
    path(
        PROJECT + "playground/<int:run_id>/messages/<int:number>/comparison/",
        playground.comparison,
        name="api_playground_comparison",
    ),
    path(PROJECT + "playground/<int:run_id>/scores/", playground.scores, name="api_playground_scores"),
    path(PROJECT + "playground/<int:run_id>/scores/<int:number>/", playground.scored, name="api_playground_score"),
    path(PROJECT + "playground/<int:run_id>/reveal/", playground.reveal, name="api_playground_reveal"),
    path(PROJECT + "playground/<int:run_id>/end/", playground.end, name="api_playground_end"),
    path(PROJECT + "disk/", artifacts.disk, name="api_disk"),
    path(PROJECT + "ratings/", reports.ratings, name="api_ratings"),
    path(PROJECT + "label-value/", reports.label_value, name="api_label_value"),
    path(PROJECT + "estimate/", estimates.estimate, name="api_estimate"),
]
