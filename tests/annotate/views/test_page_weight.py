"""The judging page stays small: an annotator on a train opens it too."""

import gzip
import re
from pathlib import Path

from django.contrib.staticfiles import finders
from django.test import Client

from annotate.models import Comparison, Project, User
from annotate.workflow.assignment import lease_next

MOST_BYTES = 60 * 1024
MOST_REQUESTS = 8


def test_the_judging_page_is_at_most_60_kb_compressed_in_at_most_8_requests(
    client: Client, project: Project, ann: User, comparisons: list[Comparison]
) -> None:
    client.force_login(ann)
    lease_next(project=project, annotator=ann)
    html = client.get("/p/garden/judge/").content
    files = set(re.findall(r'(?:src|href)="/static/([^"]+)"', html.decode()))
    assert {"css/app.css", "js/app.js", "js/judge.js", "django_htmx/htmx-2.min.js"} <= files
    bodies = [html, *(Path(finders.find(file)).read_bytes() for file in files)]
    assert len(bodies) <= MOST_REQUESTS
    assert sum(len(gzip.compress(body, 6)) for body in bodies) <= MOST_BYTES
