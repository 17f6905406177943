"""Prior shift: what labelled pairs say about traffic with another share of true duplicates.

Labelled pairs are gathered about half and half; in traffic far fewer of the candidates that a
search finds are true duplicates. Assumed is that only this share (the prior) differs, and not what
true and false matches look like (label shift: Saerens, Latinne and Decaestecker, "Adjusting the
outputs of a classifier to new a priori probabilities", Neural Computation 14, 2002). Then, at any
threshold,

    wrong share = (1 - prior) * F / (prior * T + (1 - prior) * F)

where F is the share of the false and T that of the true matches that would be served. Weighted
pairs are not a binomial sample, so an exact bound on the wrong share of *these* pairs says nothing
about traffic. But F and T each are a share of one label, and as the wrong share grows with F and
falls with T, a bound on each bounds it; the risks of the two add up to ``1 - confidence``
(Bonferroni). The same device, an interval for each label put through the weights: Si et al., "PAC
prediction sets under label shift", ICLR 2024.

* T is bounded from below *for all thresholds at once* (Dvoretzky, Kiefer and Wolfowitz, with the
  constant of Massart, "The tight constant in the DKW inequality", Annals of Probability 18, 1990).
  So the true matches may also say where testing begins: where the bound could be met if no false
  match were served.
* F is bounded from above, exactly (Clopper and Pearson 1934). The true matches say nothing about
  the false ones, so given them the thresholds are a fixed sequence of tests of F.

The alternative, thinning one label at random until the mix is right (rejection sampling: Park et
al., "PAC prediction sets under covariate shift", ICLR 2022), keeps the plain binomial, but throws
labels away and depends on a seed.

The bound holds for the prior given. An estimate of it that is too high makes it too low.
"""

from __future__ import annotations

import math

from semcache.decision.binomial import binomial_upper

# Of the risk, the part spent on F. What decides is F, where a handful of pairs is counted. Fixed
# beforehand.
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
    (0.0043, 0.037)
    """
    if positives <= 0:
        return 1.0
    risk = 1 - confidence
    false = binomial_upper(wrong, negatives, 1 - risk * FALSE_PART)
    margin = math.sqrt(-math.log(risk * (1 - FALSE_PART)) / (2 * positives))
    true = max(0.0, right / positives - margin)
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
