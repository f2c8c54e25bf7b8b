import torch

from survbench.learn.bank import Bank, Nodes


def nodes(count: int) -> Nodes:
    vector = torch.randn(count, 2, 3, requires_grad=True)
    return Nodes(vector, torch.ones(count, 2, dtype=torch.bool))


def test_patients_are_put_at_their_place_without_gradient() -> None:
    bank, some = Bank(5, 2, 3), nodes(3)
    bank.put(torch.tensor([4, -1, 0]), some)
    assert bank.present.all(dim=1).tolist() == [True, False, False, False, True]
    assert torch.equal(bank.vector[4], some.vector[0])
    assert torch.equal(bank.vector[0], some.vector[2])
    assert not bank.vector.requires_grad


def test_what_was_read_does_not_change_when_the_bank_does() -> None:
    bank = Bank(3, 2, 3)
    read = bank.nodes(torch.tensor([2, 0])), bank.nodes()
    bank.put(torch.arange(3), nodes(3))
    for one in read:
        assert bool((one.vector == 0).all())
        assert not bool(one.present.any())
    assert len(bank.nodes(torch.tensor([1]))) == 1


def test_the_bank_is_saved_with_the_net() -> None:
    first, second = Bank(3, 2, 3), Bank(3, 2, 3)
    first.put(torch.arange(3), nodes(3))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.vector, second.vector)
    assert torch.equal(first.present, second.present)
