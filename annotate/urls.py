"""Addresses of the left wing: projects, judging, guideline, prompts, comparisons, agreement, snapshots."""

from django.urls import path

from annotate.views import (
    agreement,
    agreement_csv,
    comparisons,
    comparisons_upload,
    demonstrations,
    guidelines,
    home,
    judging,
    members,
    overview,
    project_settings,
    prompts,
    snapshots,
)

urlpatterns = [
    path("", home.show_home, name="home"),
    path("projects/new/", home.create_project, name="project_create"),
    path("p/<slug:slug>/", overview.show_overview, name="project_overview"),
    path("p/<slug:slug>/judge/", judging.show_card, name="judge"),
    path("p/<slug:slug>/judge/next/", judging.take_next, name="judge_next"),
    path("p/<slug:slug>/judge/submit/", judging.submit, name="judge_submit"),
    path("p/<slug:slug>/judge/skip/", judging.skip_card, name="judge_skip"),
    path("p/<slug:slug>/judge/undo/", judging.undo, name="judge_undo"),
    path("p/<slug:slug>/judge/read-guideline/", judging.read_guideline, name="judge_read_guideline"),
    path("p/<slug:slug>/guideline/", guidelines.show_guideline, name="guideline"),
    path("p/<slug:slug>/guideline/draft/", guidelines.edit_draft, name="guideline_draft"),
    path("p/<slug:slug>/guideline/publish/", guidelines.publish_guideline, name="guideline_publish"),
    path("p/<slug:slug>/guideline/v<int:number>/", guidelines.show_version, name="guideline_version"),
    path(
        "p/<slug:slug>/guideline/v<int:older>..v<int:newer>/", guidelines.show_difference, name="guideline_difference"
    ),
    path("p/<slug:slug>/agreement/", agreement.show_agreement, name="agreement"),
    path("p/<slug:slug>/agreement/refresh/", agreement.refresh_agreement, name="agreement_refresh"),
    path("p/<slug:slug>/agreement/parts.csv", agreement_csv.download_parts, name="agreement_parts"),
    path("p/<slug:slug>/agreement/pairs.csv", agreement_csv.download_pairs, name="agreement_pairs"),
    path("p/<slug:slug>/prompts/", prompts.list_prompts, name="prompts"),
    path("p/<slug:slug>/prompts/upload/", prompts.upload_prompts, name="prompts_upload"),
    path("p/<slug:slug>/comparisons/", comparisons.list_comparisons, name="comparisons"),
    path("p/<slug:slug>/comparisons/upload/", comparisons_upload.upload_comparisons, name="comparisons_upload"),
    path("p/<slug:slug>/comparisons/<int:comparison_id>/", comparisons.show_comparison, name="comparison"),
    path("p/<slug:slug>/demonstrations/", demonstrations.list_demonstrations, name="demonstrations"),
    path("p/<slug:slug>/demonstrations/upload/", demonstrations.upload_demonstrations, name="demonstrations_upload"),
    path("p/<slug:slug>/demonstrations/<int:set_id>/", demonstrations.show_demonstrations, name="demonstration_set"),
    path("p/<slug:slug>/snapshots/", snapshots.list_snapshots, name="snapshots"),
    path("p/<slug:slug>/snapshots/new/", snapshots.create_snapshot, name="snapshot_create"),
    path("p/<slug:slug>/snapshots/<int:number>/", snapshots.show_snapshot, name="snapshot"),
    path(
        "p/<slug:slug>/snapshots/<int:number>/<slug:split>.<slug:fmt>",
        snapshots.download_snapshot,
        name="snapshot_download",
    ),
    path("p/<slug:slug>/members/", members.manage_members, name="members"),
    path("p/<slug:slug>/members/<int:user_id>/", members.change_member, name="member"),
    path("p/<slug:slug>/settings/", project_settings.edit_settings, name="project_settings"),
]
