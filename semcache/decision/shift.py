"""Prior shift: what labelled pairs say about traffic with another share of true duplicates.

Labelled pairs are gathered about half and half; in traffic far fewer of the candidates that a
search finds are true duplicates. Assumed is that only this share (the prior) differs, and not what
true and false matches look like (label shift: Saerens, Latinne and Decaestecker, "Adjusting the
outputs of a classifier to new a priori probabilities", Neural Computation 14, 2002). Then, at any
threshold,

    wrong share = (1 - prior) * F / (prior * T + (1 - prior) * F)

where F is the share of the false and T that of the true matches that would be served. Weighted
pairs are not a binomial sample, so an exact bound on the wrong share of *these* pairs says nothing
about traffic. But F and T each are binomial, of the false and of the true matches alone: F is
bounded from above and T from below, each exactly (Clopper and Pearson 1934), and as the wrong share
grows with F and falls with T, both together bound it. Either may fail; their risks add up to
``1 - confidence`` (Bonferroni). The same device, an interval for each label put through the
weights: Si et al., "PAC prediction sets under label shift", ICLR 2024.

The alternative, thinning one label at random until the mix is right (rejection sampling: Park et
al., "PAC prediction sets under covariate shift", ICLR 2022), keeps the plain binomial, but throws
labels away and depends on a seed.

The bound holds for the prior given. An estimate of it that is too high makes it too low.
"""

from __future__ import annotations

from semcache.decision.binomial import binomial_lower, binomial_upper

# Of the risk, the part spent on F. What decides is F, where a handful of pairs is counted; T is
# known well from few labels, so bounding it at a stricter level costs little. Fixed beforehand.
FALSE_PART = 0.8


def shifted_upper(
    wrong: int, right: int, *, negatives: int, positives: int, prior: float, confidence: float
) -> float:
    """Upper bound on the wrong share of what is served, where ``prior`` of the pairs are true.

    ``wrong`` of the ``negatives`` and ``right`` of the ``positives`` are served; in [0, 1], and 1
    where nothing can be said.

    >>> even = shifted_upper(0, 800, negatives=1000, positives=1000, prior=0.5, confidence=0.95)
    >>> rare = shifted_upper(0, 800, negatives=1000, positives=1000, prior=0.1, confidence=0.95)
    >>> round(even, 4), round(rare, 4)
    (0.0042, 0.0363)
    """
    risk = 1 - confidence
    false = binomial_upper(wrong, negatives, 1 - risk * FALSE_PART)
    true = binomial_lower(right, positives, 1 - risk * (1 - FALSE_PART))
    served = prior * true + (1 - prior) * false
    return (1 - prior) * false / served if served > 0 else 1.0


def shifted_probability(probability: float, share: float, prior: float) -> float:
    """P(same answer) at ``prior``, from what it is where ``share`` of the pairs are true.

    The odds are multiplied by the ratio of the prior odds (Saerens et al.).

    >>> round(shifted_probability(0.9, share=0.5, prior=0.1), 3)
    0.5
    """
    true = probability * prior / share
    false = (1 - probability) * (1 - prior) / (1 - share)
    return true / (true + false)
