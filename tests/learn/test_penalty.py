import torch
from torch import nn

from survbench.learn import Stage
from survbench.learn.penalty import l1_norm, with_l1


def stage() -> Stage:
    return Stage("fit", lambda net, batch: net(batch), epochs=1, lr=0.1)


def net() -> nn.Sequential:
    """Six weights and two biases, then two weights and a bias, all -2."""
    made = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    for parameter in made.parameters():
        nn.init.constant_(parameter, -2.0)
    return made


def test_the_norm_counts_weights_and_biases() -> None:
    torch.testing.assert_close(l1_norm(net()), torch.tensor(22.0))


def test_the_penalty_is_that_of_the_chosen_part() -> None:
    (whole,) = with_l1([stage()], 0.5)
    (part,) = with_l1([stage()], 0.5, lambda net: net.get_submodule("0"))
    assert whole.penalty is not None
    assert part.penalty is not None
    torch.testing.assert_close(whole.penalty(net()), torch.tensor(11.0))
    torch.testing.assert_close(part.penalty(net()), torch.tensor(8.0))


def test_no_weight_leaves_the_stages_alone() -> None:
    before = stage()
    assert with_l1([before], 0.0) == [before]
