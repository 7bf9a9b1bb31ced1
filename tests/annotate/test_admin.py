"""Accounts in the admin: made, given a role, switched off; what has been said can be looked at and not changed."""

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group
from django.test import Client
from django.utils.functional import Promise
from rest_framework.authtoken.models import TokenProxy

from annotate.models import IMPORTED, Comparison, Judgment, Membership, Project, Role, Snapshot, User
from annotate.workflow.snapshots import freeze
from tests.factories import PASSWORD, judge_all, make_user

pytestmark = pytest.mark.django_db
ACCOUNTS = "/admin/annotate/user/"
NEW_PASSWORD = "a staple, and no horse"
WANTED = {"app_label": "annotate", "model_name": "membership", "field_name": "user", "term": "worker one"}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    return client


def _roles(*rows: tuple[Project, str], of: User | None = None) -> dict[str, object]:
    """The part of an account's form that is about its projects."""
    there = list(Membership.objects.filter(user=of)) if of else []
    form: dict[str, object] = {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": len(there)}
    for n, (project, role) in enumerate(rows):
        form |= {f"memberships-{n}-project": project.pk, f"memberships-{n}-role": role}
        if n < len(there):
            form |= {f"memberships-{n}-id": there[n].pk, f"memberships-{n}-user": of.pk}
    return form


def _account(user: User, **changed: object) -> dict[str, object]:
    """The form of an account as it is shown, but for what is changed."""
    rows = [(member.project, member.role) for member in user.memberships.all()]
    on = {"is_active": "on"} if user.is_active else {}
    return {"username": user.username, **on, **_roles(*rows, of=user), **changed}


def test_an_account_made_in_the_admin_signs_in_and_sees_its_project(admin: Client, project: Project) -> None:
    form = {"username": "cleo", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert admin.post(f"{ACCOUNTS}add/", form | _roles((project, "reviewer"))).status_code == 302
    assert Membership.objects.get(user__username="cleo").role == Role.REVIEWER
    browser = Client()
    browser.post("/accounts/login/", {"username": "cleo", "password": NEW_PASSWORD})
    assert "Garden" in browser.get("/").content.decode()
    assert browser.get("/p/garden/agreement/").status_code == 200
    assert browser.get(ACCOUNTS).status_code == 302


def test_a_forgotten_password_is_set_anew(admin: Client, ann: User) -> None:
    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert admin.post(f"{ACCOUNTS}{ann.pk}/password/", form).status_code == 302
    assert not Client().login(username="ann", password=PASSWORD)
    assert Client().login(username="ann", password=NEW_PASSWORD)


def test_a_password_that_is_too_easy_is_refused(admin: Client) -> None:
    form = {"username": "cleo", "password1": "password", "password2": "password"}
    assert "too common" in admin.post(f"{ACCOUNTS}add/", form | _roles()).content.decode()
    assert not User.objects.filter(username="cleo").exists()


def test_a_role_is_changed_and_an_account_switched_off(admin: Client, project: Project, ann: User) -> None:
    page = admin.get(f"{ACCOUNTS}{ann.pk}/change/").content.decode()
    assert "Garden" in page and "user_permissions" not in page and "id_groups" not in page
    off = _account(ann) | _roles((project, "manager"), of=ann)
    del off["is_active"]
    assert admin.post(f"{ACCOUNTS}{ann.pk}/change/", off).status_code == 302
    assert Membership.objects.get(user=ann).role == Role.MANAGER
    assert not Client().login(username="ann", password=PASSWORD)


def test_an_account_is_never_deleted(admin: Client, ann: User) -> None:
    """What was done stays under the name of who did it."""
    assert admin.post(f"{ACCOUNTS}{ann.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(ACCOUNTS, {"action": "delete_selected", "_selected_action": [ann.pk], "post": "yes"})
    assert User.objects.filter(pk=ann.pk).exists()


def test_accounts_are_found_by_name(admin: Client, ann: User, ben: User) -> None:
    page = admin.get(f"{ACCOUNTS}?q=ann").content.decode()
    assert f"{ACCOUNTS}{ann.pk}/change/" in page and f"{ACCOUNTS}{ben.pk}/change/" not in page


def test_annotators_known_from_an_import_only_are_no_accounts(admin: Client, project: Project) -> None:
    """Nobody can give them a password: they stay people who never sign in."""
    known = User.objects.create(username=f"{IMPORTED}garden:w1", first_name="worker one", is_active=False)
    member = Membership.objects.create(project=project, user=known)
    for address in (f"{ACCOUNTS}{known.pk}/change/", f"{ACCOUNTS}{known.pk}/password/"):
        assert admin.get(address).status_code in (302, 404)
    assert admin.get("/admin/autocomplete/", WANTED).json()["results"] == []
    for address in (ACCOUNTS, "/admin/annotate/membership/"):
        assert "worker one" not in admin.get(address).content.decode()
    assert admin.get(f"/admin/annotate/membership/{member.pk}/change/").status_code == 302


def test_a_token_can_be_made_for_an_account(admin: Client, ann: User) -> None:
    assert admin.post("/admin/authtoken/tokenproxy/add/", {"user": ann.pk}).status_code == 302
    assert TokenProxy.objects.get().user == ann


@pytest.mark.parametrize("model", ["project", "guidelineversion", "snapshot", "judgment"])
def test_what_must_not_change_is_only_looked_at(
    admin: Client, project: Project, ann: User, comparisons: list[Comparison], model: str
) -> None:
    judge_all(project, ann, ["a", "b"])
    freeze(project=project)
    rows = {"project": Project, "snapshot": Snapshot, "judgment": Judgment}
    row = rows[model].objects.first() if model in rows else project.guideline_versions.get()
    place = f"/admin/annotate/{model}/"
    assert f"{place}{row.pk}/change/" in admin.get(place).content.decode()
    page = admin.get(f"{place}{row.pk}/change/").content.decode()
    assert 'name="_save"' not in page
    for address in ("add/", f"{row.pk}/change/", f"{row.pk}/delete/"):
        assert admin.post(place + address, {"post": "yes"}).status_code == 403


def test_roles_of_all_projects_stand_in_one_list(admin: Client, project: Project, ann: User) -> None:
    page = admin.get("/admin/annotate/membership/?q=ann").content.decode()
    assert "Garden" in page and "ann" in page
    form = {"project": project.pk, "user": ann.pk, "role": "manager"}
    member = Membership.objects.get(user=ann)
    assert admin.post(f"/admin/annotate/membership/{member.pk}/change/", form).status_code == 302
    assert Membership.objects.get(user=ann).role == Role.MANAGER


def test_groups_mean_nothing_here_and_are_not_shown(admin: Client) -> None:
    assert Group.__name__.lower() not in admin.get("/admin/").content.decode().lower()


def test_the_menu_leads_to_the_accounts_whoever_may_see_them(admin: Client, ann: User) -> None:
    assert f'href="{ACCOUNTS}"' in admin.get("/").content.decode()
    staff = Client()
    staff.force_login(make_user("chief", is_staff=True))
    assert "/admin/" not in staff.get("/").content.decode()


def test_every_table_and_column_of_the_admin_has_a_name_that_is_translated() -> None:
    ours = [model for model in site._registry if model._meta.app_label in ("annotate", "training")]
    named = {model._meta.label: model._meta.verbose_name_plural for model in ours}
    named |= {
        f"{model._meta.label}.{field.name}": field.verbose_name
        for model in ours
        for field in model._meta.fields
        if not field.auto_created
    }
    named |= {
        f"{model._meta.label}.{field.name}, help": field.help_text
        for model in ours
        for field in model._meta.fields
        if field.help_text
    }
    assert len(named) > 80
    assert [name for name, said in named.items() if not isinstance(said, Promise)] == []
