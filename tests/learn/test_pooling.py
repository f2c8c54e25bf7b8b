import torch

from survbench.learn.batch import BagBatch
from survbench.learn.pooling import AttentionScore, BranchScore


def set_gate(score: AttentionScore, bias: float) -> None:
    """Open (large bias) or close (small) the gate for every token."""
    assert score.gate is not None
    linear = score.gate[0]
    assert isinstance(linear, torch.nn.Linear)
    torch.nn.init.constant_(linear.bias, bias)


def test_a_closed_gate_leaves_every_token_the_same_score() -> None:
    score = AttentionScore(6, 4).eval()
    set_gate(score, -1e4)
    token = torch.randn(9, 6)
    torch.testing.assert_close(score(token), score.score.bias.expand(9))


def test_an_open_gate_is_the_plain_form() -> None:
    gated, plain = AttentionScore(6, 4).eval(), AttentionScore(6, 4, gated=False).eval()
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if "gate" not in k})
    set_gate(gated, 1e4)
    token = torch.randn(9, 6)
    torch.testing.assert_close(gated(token), plain(token))


def test_dropout_acts_on_each_half_before_the_product() -> None:
    torch.manual_seed(0)
    score = AttentionScore(3, 10_000, dropout=0.25)
    halves: list[torch.Tensor] = []
    score.score.register_forward_hook(lambda _module, given, _result: halves.append(given[0]))
    score(torch.ones(1, 3))
    alive = (halves[0] != 0).float().mean()
    assert abs(alive - 0.75**2) < 0.02  # both halves must survive


def test_pooling_weighs_by_the_softmax_of_the_score() -> None:
    torch.manual_seed(0)
    attend, token = AttentionScore(5, 4).eval(), torch.randn(2, 3, 5)
    weight = attend(token).softmax(dim=1)
    expected = torch.einsum("bl,blh->bh", weight, token)
    torch.testing.assert_close(attend.pool(token), expected)
    bags = BagBatch(token.flatten(0, 1), torch.tensor([3, 3]), torch.tensor([0, 1]))
    torch.testing.assert_close(attend.pool(token.flatten(0, 1), bags), expected)


def test_every_branch_is_a_score_of_its_own_over_the_same_halves() -> None:
    torch.manual_seed(0)
    many = BranchScore(6, 4, 3).eval()
    token = torch.randn(9, 6)
    bags = BagBatch(token, torch.tensor([4, 5]), torch.tensor([0, 1]))
    weight = many.weights(token, bags)
    for branch in range(3):
        one = AttentionScore(6, 4).eval()
        state = many.state_dict()
        scores = {k: v[branch : branch + 1] for k, v in state.items() if k.startswith("score")}
        one.load_state_dict({**state, **scores})
        torch.testing.assert_close(many(token)[:, branch], one(token))
        torch.testing.assert_close(weight[:, branch], bags.softmax(one(token)))
