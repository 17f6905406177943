"""The findings in words, the same in the terminal and on the page."""

from __future__ import annotations

from semcache.tuning.findings import Findings


def headline(found: Findings) -> str:
    """One sentence: what may be served, and what is known about it."""
    support = found.support
    if support.threshold is None or support.at is None:
        return f"The labels do not support max_wrong {support.max_wrong:g}."
    at = support.at
    served = f"{found.served_positive_share:.1%}" if found.served_positive_share else "0 %"
    prior = "" if support.prior is None else f" where {support.prior:.0%} of candidates are true"
    return (
        f"Serve from {at.threshold:.3f} by {found.scorer}: {at.served:,} of {found.evidence:,} "
        f"evidence pairs, {at.wrong:,} wrong; at {support.confidence:.0%} confidence at most "
        f"{at.upper:.2%} are wrong{prior}. {served} of the true matches are served."
    )


def key_figures(found: Findings) -> list[tuple[str, str]]:
    """Names and values of what a reader asks first."""
    support, calibration = found.support, found.calibration
    figures = [
        ("asked for", f"max_wrong {support.max_wrong:g}, confidence {support.confidence:.0%}"),
        ("prior", "as in the pairs" if support.prior is None else f"{support.prior:g}"),
        ("pairs", f"{found.pairs:,}, {found.positives:,} true"),
        ("parts", _parts(found)),
        ("scorer", found.scorer),
        ("encoder", calibration.encoder or "–"),
    ]
    if calibration.verifier is not None:
        figures.append(("verifier", calibration.verifier))
    needed = "out of reach" if support.needed is None else f"{support.needed:,}"
    figures += [
        ("threshold", "none" if support.threshold is None else f"{support.threshold:.4f}"),
        ("floor", f"{calibration.floor:.4f}"),
        ("clean served pairs", f"{support.clean:,}; needed {needed}"),
        (
            "tightest bound",
            "none" if support.tightest is None else f"max_wrong {support.tightest:.2%}",
        ),
    ]
    return figures


def _parts(found: Findings) -> str:
    said = f"{found.evidence:,} as evidence"
    if found.choosing:
        said = f"{found.choosing:,} to choose on, {said}"
    shown = found.pairs - found.choosing - found.evidence
    return f"{said}, {shown:,} only shown (picked by their score)" if shown else said
