"""How far the annotators agree: for the project and for every two of them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.workflow.agreement import agreement_of


@require_safe
@require_role(Role.REVIEWER)
def show_agreement(request: HttpRequest, project: Project) -> HttpResponse:
    """The page; or its figures alone when the overview asks for them."""
    report = agreement_of(project=project)
    names = {
        "ties_as_class": (_("Raw agreement"), _("The same answer, a tie being one of three answers.")),
        "ties_half": (_("Raw agreement, ties half"), _("A tie agrees half with either side.")),
        "ties_excluded": (_("Raw agreement without ties"), _("Only answers that name a side.")),
    }
    variants = [(*names.get(rule, (rule, "")), outcome) for rule, outcome in report.raw_agreement.items()]
    pairs = [(report.names.get(p.first, p.first), report.names.get(p.second, p.second), p) for p in report.pairs]
    context = {
        "project": project, "report": report, "variants": variants, "pairs": pairs,
        "alpha": report.krippendorff_alpha["nominal"],
    }  # fmt: skip
    return render(request, "annotate/agreement.html#figures" if request.htmx else "annotate/agreement.html", context)
