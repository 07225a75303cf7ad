"""A gallery of pair matching as HTML: a row for each query, with thumbnails."""

from __future__ import annotations

from html import escape

from sm3kit.data.cases import Case
from sm3kit.evaluation.subject import Subject
from sm3kit.report.gallery import BEST, Query, Search, jpeg, thumbnail


def gallery(subject: Subject, search: Search) -> str:
    """The table of a search; the true partner is framed and named wherever it is found."""
    heads = ["rank", "query", "true partner", *(f"{place}." for place in range(1, BEST + 1))]
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    rows = "\n".join(_row(subject, search, query) for query in search.queries)
    title = f"{search.direction}, {search.space} space"
    basis = (
        f"Cosine similarity among {search.pairs} pairs; mean rank {search.mean_rank:.1f}, by chance "
        f"{(search.pairs + 1) / 2:g}. The queries are at equal steps from the best rank to the "
        "worst, so that nobody chose them."
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="matches"><caption><strong>{escape(title)}</strong>'
        f"<span>{escape(basis)}</span></caption><thead><tr>"
        f"{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(subject: Subject, search: Search, query: Query) -> str:
    cells = [
        _cell(subject, query.case, search.one, "query"),
        _cell(subject, query.case, search.other, "true partner"),
    ]
    for place, case in enumerate(query.best, 1):
        partner = case is query.case
        what = f"found {place}." + (", the true partner" if partner else "")
        cells.append(_cell(subject, case, search.other, what, "partner" if partner else ""))
    found = "".join(cells)
    return f'<tr><th scope="row">{query.rank:g}</th>{found}</tr>'


def _cell(subject: Subject, case: Case, modality: str, what: str, mark: str = "") -> str:
    kind = f' class="{mark}"' if mark else ""
    picture = jpeg(thumbnail(subject, case, modality))
    alt = escape(f"{what}: {modality} of {case.study.id}")
    below = escape(case.study.id) + ("<br>partner" if mark else "")
    return f'<td{kind}><img src="{picture}" alt="{alt}"><small>{below}</small></td>'
