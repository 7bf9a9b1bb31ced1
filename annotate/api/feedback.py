"""Sets of feedback over the API."""

import io

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.door import page_of, project_api
from annotate.api.serializers import FeedbackSetSerializer, UploadSetSerializer
from annotate.models import Project, Role
from annotate.workflow.feedback import import_feedback
from annotate.workflow.once import afterwards


@extend_schema(request=UploadSetSerializer, responses=FeedbackSetSerializer(many=True))
@project_api({"GET": Role.MANAGER, "POST": Role.MANAGER}, once=afterwards)
def feedback_list(request: Request, project: Project) -> Response:
    """POST stores the text of a JSONL or CSV file as a set, all or nothing: 201 for a new set, 200 for the same content
    again; 400 lists the lines at fault."""
    if request.method == "GET":
        return page_of(request, project.feedback_sets.all(), FeedbackSetSerializer)
    form = UploadSetSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = dict(form.validated_data)
    # Not splitlines(): it also cuts at U+2028 and the like, which JSON strings may hold.
    lines = io.StringIO(given.pop("content"), newline="")
    stored, created = import_feedback(project=project, lines=lines, actor=request.user, **given)
    return Response(FeedbackSetSerializer(stored).data, status=201 if created else 200)
