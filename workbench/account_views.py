"""The one door through which people sign in, that of the admin too: what fails there is counted."""

import math
from typing import Any

from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import ngettext

from workbench import sign_ins


class CountedAuthenticationForm(AuthenticationForm):
    """Looks at no password while too many have failed; `wait` is then for how many seconds."""

    wait = 0

    def clean(self) -> dict[str, Any]:
        name, address = self.cleaned_data.get("username"), sign_ins.address_of(self.request)
        if not (name and self.cleaned_data.get("password")):
            return super().clean()
        try:
            sign_ins.begin(name, address)
            cleaned = super().clean()
        except sign_ins.TooManySignIns as refused:
            sign_ins.tell("refused", name, address)
            self.wait = max(1, math.ceil((refused.until - timezone.now()).total_seconds()))
            raise self._too_many() from refused
        except ValidationError:
            sign_ins.tell("failed", name, address)
            raise
        sign_ins.succeed(name, address)
        return cleaned

    def _too_many(self) -> ValidationError:
        minutes = math.ceil(self.wait / 60)
        said = ngettext(
            "Too many sign-ins have failed. Try again in %(minutes)d minute.",
            "Too many sign-ins have failed. Try again in %(minutes)d minutes.",
            minutes,
        )
        return ValidationError(said % {"minutes": minutes}, code="too_many")


class SignIn(views.LoginView):
    authentication_form = CountedAuthenticationForm
    redirect_authenticated_user = True

    def form_invalid(self, form: CountedAuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if form.wait:
            response.status_code = 429
            response.headers["Retry-After"] = str(form.wait)
        return response


sign_in = SignIn.as_view()
# Whoever is signed in and comes here may not see the admin: sent on, they would come back at once.
sign_in_to_admin = SignIn.as_view(redirect_authenticated_user=False, next_page="admin:index")
