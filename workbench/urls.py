"""Every address of the workbench."""

from django.contrib import admin
from django.urls import include, path

from workbench.account_views import sign_in_to_admin
from workbench.api_schema import SchemaView
from workbench.views import healthz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/login/", sign_in_to_admin),
    path("admin/", admin.site.urls),
    path("accounts/", include("workbench.account_urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/v1/schema/", SchemaView.as_view(), name="api_schema"),
    path("api/v1/", include("annotate.api.urls")),
    path("api/v1/", include("training.api.urls")),
    path("", include("annotate.urls")),
    path("", include("training.urls")),
]
