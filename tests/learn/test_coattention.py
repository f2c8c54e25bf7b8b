import torch
from torch import nn

from survbench.learn.coattention import CoAttention


def pair() -> tuple[CoAttention, nn.MultiheadAttention]:
    """Ours and torch's attention with one head and the same weights, biases not zero."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(12, 1, batch_first=True)
    ours = CoAttention(12)
    with torch.no_grad():
        nn.init.normal_(theirs.in_proj_bias)
        nn.init.normal_(theirs.out_proj.bias)
        ours.inward.weight.copy_(theirs.in_proj_weight)
        ours.inward.bias.copy_(theirs.in_proj_bias)
        ours.outward.load_state_dict(theirs.out_proj.state_dict())
    return ours, theirs


def test_it_is_torchs_attention_with_one_head() -> None:
    ours, theirs = pair()
    query, source = torch.randn(3, 6, 12), torch.randn(3, 9, 12)
    read, weight = theirs(query, source, source)
    torch.testing.assert_close(ours(query, source), read)
    torch.testing.assert_close(ours.scores(query, source).softmax(dim=-1), weight)


def test_masked_tokens_are_not_read() -> None:
    ours, _ = pair()
    query, source = torch.randn(2, 6, 12), torch.randn(2, 9, 12)
    mask = torch.arange(9)[None, :] < torch.tensor([4, 9])[:, None]
    read = ours(query, source, mask)
    torch.testing.assert_close(read[:1], ours(query[:1], source[:1, :4]))
    torch.testing.assert_close(read[1:], ours(query[1:], source[1:]))
