"""Signing in and out, and changing one's password. There is no mail, so a forgotten one is set anew in the admin."""

from django.contrib.auth import views
from django.urls import path

from workbench.account_views import sign_in

urlpatterns = [
    path("login/", sign_in, name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("password/", views.PasswordChangeView.as_view(), name="password_change"),
    path("password/done/", views.PasswordChangeDoneView.as_view(), name="password_change_done"),
]
