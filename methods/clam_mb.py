"""CLAM-MB: a gated attention over patches for every time interval; pathology only.

Source: Lu et al., Data-efficient and weakly supervised computational pathology, Nature Biomedical
    Engineering 2021; survival outputs as in MOTCat's copy: hazard k reads attention k alone.
Missing modality: no mechanism; without P there is no prediction, without G nothing changes.
Departs: the loss is the discrete-time likelihood and the recipe that of MCAT's code, since no
    official survival run of CLAM is known. The instance loss is off, because its label would be the
    interval of death, unknown of censored patients: `instance_loss=bin` adds it for seen deaths,
    `bin_all` for everybody (as the plain reuse of CLAM would do); a patient without it keeps the
    weight of their likelihood. With it off its classifiers are not built. Of a bag of n patches at
    most n // 2 are taken for each end, so that none is both (official: k, and an error on shorter
    bags; `overlap`). `dropout` is a real rate also in the attention, where the official code has
    0.25 or nothing. The K heads are one product, not a loop into a buffer. PyTorch's default init
    (older copies: Xavier).
"""

from torch import nn

from survbench.learn import Widths
from survbench.learn.clam import ClusteringMIL, ClusteringNet


class CLAMMB(ClusteringMIL):
    """Multi-branch CLAM; see the module docstring."""

    def build(self, widths: Widths) -> nn.Module:
        """One attention branch for each hazard."""
        return ClusteringNet(self.config, widths, branches=widths.intervals)
