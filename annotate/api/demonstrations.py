"""Sets of demonstrations over the API."""

import io

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.door import page_of, project_api
from annotate.api.serializers import DemonstrationSetSerializer, UploadSetSerializer
from annotate.models import Project, Role
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.once import afterwards


@extend_schema(request=UploadSetSerializer, responses=DemonstrationSetSerializer(many=True))
@project_api({"GET": Role.MANAGER, "POST": Role.MANAGER}, once=afterwards)
def demonstration_list(request: Request, project: Project) -> Response:
    """POST stores the text of a JSONL or CSV file as a set, all or nothing: 201 for a new set, 200 for the same content
    again, both with `forms`, the number of lines by the form in which they were read; 400 lists the lines at fault."""
    if request.method == "GET":
        return page_of(request, project.demonstration_sets.all(), DemonstrationSetSerializer)
    form = UploadSetSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = dict(form.validated_data)
    # Not splitlines(): it also cuts at U+2028 and the like, which JSON strings may hold.
    lines = io.StringIO(given.pop("content"), newline="")
    brought = import_demonstrations(project=project, lines=lines, actor=request.user, **given)
    told = {**DemonstrationSetSerializer(brought.set).data, "forms": brought.forms}
    return Response(told, status=201 if brought.created else 200)
