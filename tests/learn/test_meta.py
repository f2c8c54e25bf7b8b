import torch

from survbench.learn.meta import inner_step


def test_a_step_on_a_parabola_and_its_derivative() -> None:
    start = torch.tensor([3.0], requires_grad=True)
    curve = torch.tensor([2.0], requires_grad=True)
    moved = inner_step((0.5 * curve * start**2).sum(), {"x": start}, 0.1)["x"]
    torch.testing.assert_close(moved, torch.tensor([3.0 - 0.1 * 2.0 * 3.0]))
    by_start, by_curve = torch.autograd.grad(moved.sum(), [start, curve])
    torch.testing.assert_close(by_start, torch.tensor([1 - 0.1 * 2.0]))
    torch.testing.assert_close(by_curve, torch.tensor([-0.1 * 3.0]))


def test_the_first_order_step_is_seen_as_a_shift() -> None:
    start = torch.tensor([3.0], requires_grad=True)
    moved = inner_step((start**2).sum(), {"x": start}, 0.1, second_order=False)["x"]
    torch.testing.assert_close(moved, torch.tensor([2.4]))
    (gradient,) = torch.autograd.grad(moved.sum(), [start])
    torch.testing.assert_close(gradient, torch.tensor([1.0]))


def test_what_the_loss_does_not_read_stays() -> None:
    read, idle = (torch.ones(1, requires_grad=True) for _ in range(2))
    moved = inner_step(read.sum(), {"read": read, "idle": idle}, 0.5)
    assert moved["idle"] is idle
    torch.testing.assert_close(moved["read"], torch.tensor([0.5]))
