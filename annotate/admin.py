"""The left wing in Django's admin: accounts and roles are made here; what was said and frozen is only looked at."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from annotate.models import IMPORTED, GuidelineVersion, Judgment, Membership, Project, Snapshot, User

# What a person may do in a project is their role there; groups would decide nothing.
admin.site.unregister(Group)
admin.site.site_header = admin.site.site_title = "Plumbline"


class ReadOnly:
    """Neither add nor change nor delete."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Roles(admin.TabularInline):
    model = Membership
    extra = 1
    verbose_name, verbose_name_plural = _("role in a project"), _("roles in projects")


@admin.register(User)
class AccountAdmin(UserAdmin):
    """People who sign in. Annotators known from an import only are left out: nobody can give them a password.

    Accounts are switched off, never deleted: what was done stays under the name of who did it.
    """

    list_display = ["username", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "memberships__role", "memberships__project"]
    inlines = [Roles]
    # Django's own asks also whether there is to be a password; without one nobody could sign in here.
    add_form = UserCreationForm
    add_fieldsets = [(None, {"fields": ["username", "password1", "password2"]})]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (_("Personal info"), {"fields": ["first_name", "last_name", "email"]}),
        (
            _("Permissions"),
            {
                "fields": ["is_active", "is_staff", "is_superuser"],
                "description": _(
                    "An account that is not active cannot sign in; its judgments stay. Staff make new projects. "
                    "Superusers are managers of every project, and make accounts."
                ),
            },
        ),
        (_("Important dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).exclude(username__startswith=IMPORTED)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    list_display = ["user", "project", "role", "joined_at"]
    list_filter = ["role", "project"]
    list_select_related = ["user", "project"]
    search_fields = ["user__username", "user__first_name", "user__last_name", "project__slug", "project__name"]
    autocomplete_fields = ["user"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).exclude(user__username__startswith=IMPORTED)


@admin.register(Project)
class ProjectAdmin(ReadOnly, admin.ModelAdmin):
    """Read only: a new overlap has to reach the comparisons in the queue, which the project's own page sees to."""

    list_display = ["slug", "name", "overlap", "lease_minutes", "degrees", "created_at"]
    search_fields = ["slug", "name"]


@admin.register(GuidelineVersion)
class GuidelineVersionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["project", "number", "summary", "published_by", "published_at"]
    list_filter = ["project"]
    list_select_related = ["project", "published_by"]


@admin.register(Judgment)
class JudgmentAdmin(ReadOnly, admin.ModelAdmin):
    """All revisions, what was taken back included."""

    list_display = [
        "id", "comparison_id", "annotator", "revision", "choice", "degree", "is_current", "is_surplus", "created_at",
    ]  # fmt: skip
    list_filter = ["is_current", "is_surplus", "comparison__project"]
    list_select_related = ["annotator"]
    search_fields = ["=comparison__id", "annotator__username"]
    # There may be millions: without a search they are not counted twice.
    show_full_result_count = False


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["project", "number", "aggregation", "content_hash", "created_by", "created_at"]
    list_filter = ["project"]
    list_select_related = ["project", "created_by"]
