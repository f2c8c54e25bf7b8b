import torch

from survbench.learn.bank import Nodes
from survbench.learn.graph import Edges, Neighbours, Similarity, kept, nearest
from survbench.learn.kernels import kernel


def nodes(present: list[list[bool]], seed: int = 0) -> Nodes:
    generator = torch.Generator().manual_seed(seed)
    has = torch.tensor(present)
    vector = torch.randn(*has.shape, 8, generator=generator).relu()
    return Nodes(vector.masked_fill(~has[..., None], 0.0), has)


BOTH, P, G = [True, True], [True, False], [False, True]


def similarity(*, product: bool = False) -> Similarity:
    torch.manual_seed(0)
    return Similarity(("P", "G"), 8, product=product).eval()


def test_above_the_threshold_similarities_are_as_they_are() -> None:
    value = torch.tensor([[0.2, 0.9, 0.5, 1.0]], requires_grad=True)
    cut = torch.tensor([0.5], requires_grad=True)
    found = kept(value, cut)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.9, 0.0, 1.0]]))
    by_value, by_cut = torch.autograd.grad(found.sum(), [value, cut])
    assert by_value.tolist() == [[0, 1, 0, 1]]
    assert by_cut.tolist() == [-2]


def test_the_nearest_are_the_largest() -> None:
    value = torch.tensor([[0.2, 0.9, 0.5], [0.3, 0.0, 0.1]])
    assert nearest(value, 2).tolist() == [
        [0.0, value[0, 1], value[0, 2]],
        [value[1, 0], 0, value[1, 2]],
    ]
    assert torch.equal(nearest(value, 9), value)


@torch.no_grad()
def test_similarity_is_in_the_unit_interval_and_one_with_oneself() -> None:
    bank = nodes([BOTH, P, BOTH, G])
    for product in (False, True):
        among, towards = similarity(product=product)(bank, bank)
        torch.testing.assert_close(among, towards)
        torch.testing.assert_close(among, among.mT)
        torch.testing.assert_close(among.diagonal(), torch.ones(4))
        assert bool((among >= 0).all())
        assert bool((among <= 1 + 1e-6).all())


@torch.no_grad()
def test_what_two_do_not_share_does_not_count() -> None:
    net, bank = similarity(), nodes([BOTH, P, BOTH, G])
    among, towards = net(nodes([P], seed=1), bank)
    assert float(among[1, 3]) == 0
    assert float(towards[0, 3]) == 0
    # of P alone, the similarity is that of P's vectors, whoever else has G
    vector = torch.cat([bank.vector[:3, 0], nodes([P], seed=1).vector[:, 0]])
    torch.testing.assert_close(towards[:, :3], net.mixed("P", vector, 3)[3:])


@torch.no_grad()
def test_mixtures_by_hand() -> None:
    vector = nodes([BOTH] * 5).vector[:, 0]
    for product in (False, True):
        net = similarity(product=product)
        g = net.balance[0].sigmoid()
        projected = net.project["P"](vector).relu()
        first, second = (kernel(net.norm(one, 4), 4) for one in (projected, vector))
        plain = (1 - g) * first + g * second
        printed = ((1 - g) * first + g) * second
        torch.testing.assert_close(net.mixed("P", vector, 4), printed if product else plain)


@torch.no_grad()
def test_patients_leave_no_trace_in_the_bank_or_each_other() -> None:
    net, bank, some = similarity().train(), nodes([BOTH, P, BOTH, G]), nodes([BOTH, G], seed=1)
    among, towards = net(some, bank)
    for row in range(2):
        alone = net(some.of(torch.tensor([row])), bank)
        torch.testing.assert_close(alone[0], among)
        torch.testing.assert_close(alone[1][0], towards[row])


@torch.no_grad()
def test_a_twin_of_a_bank_patient_is_told_what_that_patient_is() -> None:
    torch.manual_seed(0)
    layers, bank = Neighbours(8), torch.randn(4, 8).relu()
    among = torch.rand(4, 4)
    everybody = layers(Edges(among, among, torch.zeros(4, 1)), bank, bank)
    twin = Edges(among, among[2:3], torch.zeros(1, 1))
    torch.testing.assert_close(layers(twin, torch.zeros(1, 8), bank), everybody[2:3])


@torch.no_grad()
def test_convolutions_by_hand() -> None:
    torch.manual_seed(0)
    layers, bank, own = Neighbours(8), torch.randn(4, 8), torch.randn(2, 8)
    edges = Edges(torch.rand(4, 4), torch.rand(2, 4), torch.tensor([[1.0], [0.0]]))
    whole = torch.zeros(6, 6)  # the bank, then both patients, as one graph
    whole[:4, :4], whole[4:, :4], whole[4, 4] = edges.among, edges.towards, 1.0
    value = torch.cat([bank, own])
    for layer in (layers.first, layers.second):
        value = layer(whole @ value).relu()
    torch.testing.assert_close(layers(edges, own, bank), value[4:])


def test_averaged_edges_have_sum_one_or_none() -> None:
    edges = Edges(torch.rand(3, 3), torch.rand(2, 3), torch.tensor([[1.0], [0.0]]))
    edges.towards[1] = 0
    found = edges.averaged()
    torch.testing.assert_close(found.among.sum(dim=1), torch.ones(3))
    total = found.towards.sum(dim=1) + found.own[:, 0]
    torch.testing.assert_close(total, torch.tensor([1.0, 0.0]))
