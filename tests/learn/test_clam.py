from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from survbench.errors import InputError
from survbench.learn import Batch, nll_surv
from survbench.learn.clam import ClusteringConfig, ClusteringMIL, ClusteringNet
from survbench.learn.instances import instance_loss
from tests.parity.fixture import batch, widths

SMALL: dict[str, Any] = {"hidden": 16, "attention": 8, "k_sample": 3}


class ManyBranches(ClusteringMIL):
    def build(self, widths: Any) -> ClusteringNet:
        return ClusteringNet(self.config, widths, branches=widths.intervals)


def built(**options: Any) -> tuple[ManyBranches, ClusteringNet]:
    """Method and its net for patches 6 wide, fixed weights, eval mode."""
    torch.manual_seed(0)
    method = ManyBranches(ClusteringConfig(**{**SMALL, **options}))
    net = method.build(widths(patch=6))
    net.eval()
    return method, net


def patients() -> Batch:
    """Five bags, the second and the last of them censored."""
    generator = torch.Generator().manual_seed(1)
    made = batch([torch.randn(n, 6, generator=generator) for n in (3, 50, 1, 7, 12)])
    made.interval = torch.tensor([0, 3, 1, 2, 1])
    made.event = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
    return made


def parts(net: ClusteringNet, made: Batch) -> tuple[Tensor, Tensor]:
    """Likelihood and instance loss of every patient."""
    bags, (interval, event) = made.bags("P"), made.outcome
    seen = net.attended(bags)
    logits = net.instance_logits(seen.token)
    instances = instance_loss(logits, seen.weight, bags, interval, sample=3)
    return nll_surv(net(made), interval, event), instances


def test_off_is_the_likelihood_and_builds_no_classifiers() -> None:
    (method, net), made = built(), patients()
    torch.testing.assert_close(method.loss(net, made), nll_surv(net(made), *made.outcome))
    assert net.instance is None
    with pytest.raises(ValueError, match="no instance classifiers"):
        net.instance_logits(torch.zeros(1, 16))


@pytest.mark.parametrize("form", ["bin", "bin_all"])
def test_censored_patients_have_no_instance_loss_unless_asked(form: str) -> None:
    (method, net), made = built(instance_loss=form), patients()
    likelihood, instances = parts(net, made)
    if form == "bin":
        instances = instances * torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
    expected = 0.7 * likelihood + 0.3 * instances
    torch.testing.assert_close(method.loss(net, made), expected)
    assert (instances[[0, 3]] > 0).all()


def test_hazard_k_reads_branch_k_alone() -> None:
    _, net = built()
    pooled = torch.randn(2, 4, 16)
    by_hand = [
        functional.linear(pooled[:, k], net.head.weight[k : k + 1], net.head.bias[k : k + 1])
        for k in range(4)
    ]
    torch.testing.assert_close(net.logits(pooled), torch.cat(by_hand, dim=1))


def test_one_branch_is_the_dense_head() -> None:
    net = ClusteringNet(ClusteringConfig(**SMALL), widths(patch=6), branches=1)
    pooled = torch.randn(2, 1, 16)
    torch.testing.assert_close(net.logits(pooled), net.head(pooled[:, 0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instance_loss": "on"}, "instance_loss 'on'"),
        ({"instance_kind": "hinge"}, "instance_kind 'hinge'"),
        ({"k_sample": 0}, "k_sample is 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClusteringConfig(**options)
