"""Ridge Cox on the tissue source site alone: a confounding control, shown and never ranked.

Source: Howard et al., The impact of site-specific digital histology signatures on deep learning
    model accuracy and bias, Nature Communications 2021.
Missing modality: reads none, so every regime leaves it unchanged.
Departs: not a method of that paper but the control it asks for. A site unseen in training has risk
    as far from the training mean as having none of the known sites.
"""

from __future__ import annotations

from survbench.learn.covariate_cox import CovariateCox


class Site(CovariateCox):
    """Tissue source site alone; see the module docstring."""

    uses = frozenset({"site"})
