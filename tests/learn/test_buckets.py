import torch

from survbench.learn.batch import BagBatch, Batch, GeneBatch
from survbench.learn.buckets import buckets, selected

# patients 0..4: bags of 3, 4, none, 3, 9 patches; genes of 0, 1, 2 and 4
LENGTH, HAS_BAG, HAS_GENES = (3, 4, 3, 9), (0, 1, 3, 4), (0, 1, 2, 4)


def batch() -> Batch:
    """Every patch and every gene row tells its patient."""
    patient = torch.repeat_interleave(torch.tensor(HAS_BAG), torch.tensor(LENGTH))
    bags = BagBatch(patient[:, None].float(), torch.tensor(LENGTH), torch.tensor(HAS_BAG))
    genes = GeneBatch(
        torch.tensor(HAS_GENES)[:, None].float(),
        torch.tensor(HAS_GENES),
        {"all": torch.tensor([0])},
    )
    modalities: dict[str, BagBatch | GeneBatch] = {"P": bags, "G": genes}
    case_id = tuple(f"case{i}" for i in range(5))
    return Batch(case_id, modalities, interval=torch.arange(5), event=torch.arange(5) % 2)


def test_selected_patients_bring_what_is_theirs_in_the_asked_order() -> None:
    part = selected(batch(), torch.tensor([4, 2, 0]))
    assert part.case_id == ("case4", "case2", "case0")
    assert part.bags("P").features[:, 0].tolist() == [4.0] * 9 + [0.0] * 3
    assert part.bags("P").rows.tolist() == [0, 2]
    assert part.genes("G").values[:, 0].tolist() == [4.0, 2.0, 0.0]
    assert part.genes("G").rows.tolist() == [0, 1, 2]
    interval, event = part.outcome
    assert interval.tolist() == [4, 2, 0]
    assert event.tolist() == [0, 0, 0]


def test_buckets_hold_everybody_once_and_are_alike_inside() -> None:
    parts = buckets(batch(), longest=5)
    assert sorted(row for rows, _ in parts for row in rows.tolist()) == [0, 1, 2, 3, 4]
    assert [rows.tolist() for rows, _ in parts] == [[0, 1], [2], [3], [4]]
    for _, part in parts:
        for modality in part.modalities.values():
            assert len(modality) in (0, len(part))


def test_bags_that_are_too_long_to_pad_share_a_bucket_with_equals_only() -> None:
    only_bags = Batch(batch().case_id, {"P": batch().bags("P")})
    parts = buckets(selected(only_bags, torch.tensor([0, 1, 3, 4])), longest=1)
    assert [part.bags("P").length.tolist() for _, part in parts] == [[3, 3], [4], [9]]


def test_no_bag_is_padded_to_twice_its_length() -> None:
    length = torch.arange(1, 130)
    bags = BagBatch(torch.zeros(int(length.sum()), 1), length, torch.arange(129))
    parts = buckets(Batch(tuple(map(str, range(129))), {"P": bags}), longest=129)
    assert len(parts) == 9  # 1, 2, 3-4, 5-8, ..., 129
    for _, part in parts:
        size = part.bags("P").length
        assert size.max() < 2 * size.min()


def test_a_batch_of_one_kind_is_not_copied() -> None:
    whole = selected(batch(), torch.tensor([0, 1]))
    ((rows, part),) = buckets(whole, longest=5)
    assert part is whole
    assert rows.tolist() == [0, 1]
