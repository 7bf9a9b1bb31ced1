"""Every address of the workbench."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from workbench.views import healthz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("workbench.account_urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="api_schema"),
    path("api/v1/", include("annotate.api.urls")),
    path("api/v1/", include("training.api.urls")),
    path("", include("annotate.urls")),
    path("", include("training.urls")),
]
