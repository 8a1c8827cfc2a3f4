"""The report as one self-contained HTML file: no script, no request; for dark, light and print."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from aptp.analyse import blueprint, charts
from aptp.analyse.findings import Example, StudyFindings
from aptp.analyse.landing import Landing
from aptp.space.architecture import Architecture
from aptp.space.groups import Kind

FOLDER = Path(__file__).parent
FAR = 3.0  # histograms of distances end at so many limits


def page(
    findings: StudyFindings,
    architectures: Sequence[Architecture],
    landings: Sequence[Landing],
    pictures: Mapping[Example, str],
    data: str,
) -> str:
    """Return the page. `pictures`: data URIs; `data`: the name of the file beside it."""
    budgets = [code.budget for code in findings.codes]
    colours = charts.code_colours(budgets)
    strange = [charts.OTHERS[i % len(charts.OTHERS)] for i in range(len(landings) - 1)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    home, *others = landings
    sets = [(home.similarities, [colours[code] for code in home.codes])]
    sets += [(one.similarities, [strange[i]] * one.count) for i, one in enumerate(others)]
    ink = ["var(--ink)", *strange]
    words = [word.z for code in findings.codes for word in code.words]
    return environment.get_template("report.html.jinja").render(
        found=findings,
        data=data,
        style=Markup((FOLDER / "report.css").read_text()),
        order=np.argsort(budgets, kind="stable").tolist(),
        budgets=budgets,
        shares=[code.share for code in findings.codes],
        kinds=[kind.value for kind in Kind],
        colours=colours,
        strange=strange,
        strongest=max(words, default=1.0),
        pictures=pictures,
        unets=[blueprint.picture(architecture) for architecture in architectures],
        landscape=charts.landscape(sets, "prompts by how their similarities to the codes differ"),
        held=charts.directions(home.similarities)[1],
        far=charts.histograms(
            [(colour, landing.distances) for colour, landing in zip(ink, landings, strict=True)],
            "distances from the prompts of the training",
            limit=findings.limit,
            top=_top(landings, findings.limit),
        ),
        close=_margins(landings, ink),
    )


def _top(landings: Sequence[Landing], limit: float) -> float:
    return min(FAR * limit, 1.05 * max(float(landing.distances.max()) for landing in landings))


def _margins(landings: Sequence[Landing], colours: Sequence[str]) -> Markup | None:
    """Return the histogram of margins; None where there is one code, and so no margin."""
    if landings[0].width == 1:
        return None
    return charts.histograms(
        [(colour, landing.margins) for colour, landing in zip(colours, landings, strict=True)],
        "margins of the chosen code over the next",
    )
