"""`sent_once`: a form that starts something, sent a second time, leads to what the first one has started."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from annotate.templatetags.once import FIELD
from annotate.workflow.once import Answer, Sent, digest_of, together

View = Callable[..., HttpResponse]


class _Refused(Exception):
    """No redirect: the form comes back, and nothing that was written is kept, its token neither."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response)
        self.response = response


def _always(_request: HttpRequest) -> bool:
    return True


def sent_once(starts: Callable[[HttpRequest], bool] = _always) -> Callable[[View], View]:
    """For a view whose POST is answered with a redirect once it has started something: its work and the token of the
    form, which the tag `once` draws, are committed together. `starts` is false of what the form is sent for besides.

    The same token with other fields is another form: whoever goes back and changes a setting means to start another.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not (request.POST.get(FIELD) and starts(request)):
                return view(request, *args, **kwargs)
            try:
                answer = together(_sent(request), lambda: _led_to(view(request, *args, **kwargs)))
            except _Refused as error:
                return error.response
            if answer.is_replayed:
                said = _("This form was sent before; nothing was started twice. To start another one, open it anew.")
                messages.warning(request, said, extra_tags="warn")
            return redirect(answer.body)

        return guarded

    return decorate


def _led_to(response: HttpResponse) -> Answer:
    if response.status_code != 302:
        raise _Refused(response)
    return Answer(response.status_code, response.headers["Location"])


def _sent(request: HttpRequest) -> Sent:
    fields = request.POST.copy()
    fields.pop("csrfmiddlewaretoken", None)
    digest = digest_of(f"{request.get_full_path()}\n{fields.urlencode()}")
    return Sent(request.user, f"form {digest}", digest)
