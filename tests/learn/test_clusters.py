import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from survbench.cohort import Bags
from survbench.learn.batch import BagBatch
from survbench.learn.clusters import Assignment, Centres, cluster_means

PLACES = np.array([[0.0, 0.0, 0.0], [900.0, 0.0, 0.0], [0.0, 0.03, 0.0], [900.0, 0.03, 0.0]])


def blobs(bags: int = 12, length: int = 40) -> tuple[Bags, NDArray[np.int64]]:
    """Patches tightly around four places, in columns of very different scale, and which place."""
    draw = np.random.default_rng(0)
    place = draw.integers(4, size=bags * length)
    noise = draw.normal(size=(len(place), 3)) * [5.0, 2e-4, 0.0]
    features = (PLACES[place] + noise).astype(np.float32)
    return Bags(features, np.arange(bags) * length, np.full(bags, length)), place


def assigned(centres: Centres, bags: Bags, clusters: int = 4) -> NDArray[np.int64]:
    cluster = Assignment(clusters, 3, centres)(torch.as_tensor(np.asarray(bags.features)))
    return np.asarray(cluster)


def test_separate_blobs_are_the_clusters_whatever_the_scale_of_their_columns() -> None:
    bags, place = blobs()
    cluster = assigned(Centres.fit(bags, 4, patches=15, seed=1), bags)
    assert len(set(zip(cluster.tolist(), place.tolist(), strict=True))) == 4


def test_the_linear_map_finds_the_nearest_standardised_centre() -> None:
    draw = np.random.default_rng(0)
    patches = (draw.normal(size=(300, 3)) * [1, 10, 100] + 7).astype(np.float32)
    bags = Bags(patches, np.array([0]), np.array([300]))
    centres = Centres.fit(bags, 5, patches=300, seed=0)
    shift, spread = patches.mean(0, dtype=np.float64), patches.std(0, dtype=np.float64)
    place = centres.weight * spread
    distance = np.square(((patches - shift) / spread)[:, None] - place).sum(2)
    assert assigned(centres, bags, 5).tolist() == distance.argmin(1).tolist()


def test_the_same_seed_gives_the_same_centres_and_absent_bags_are_not_read() -> None:
    bags, _ = blobs()
    gone = np.arange(len(bags)) == 2
    features = np.array(bags.features)
    features[80:120] = np.nan
    holed = Bags(features, bags.start, bags.length).absent(gone)
    one, other = (Centres.fit(b, 4, patches=9, seed=3) for b in (bags.absent(gone), holed))
    assert np.array_equal(one.weight, other.weight)
    assert np.array_equal(one.bias, other.bias)


@pytest.mark.parametrize("count", [1, 3])
def test_equal_patches_share_a_cluster_also_where_clusters_outnumber_them(count: int) -> None:
    features = np.tile(np.eye(3, dtype=np.float32)[:count], (8, 1))
    bags = Bags(features, np.array([0]), np.array([len(features)]))
    cluster = assigned(Centres.fit(bags, 10, patches=100, seed=0), bags, 10)
    assert len(set(cluster.tolist())) == count
    assert np.array_equal(cluster, np.tile(cluster[:count], 8))


def test_fewer_patches_than_clusters_are_each_their_own() -> None:
    bags = Bags(np.eye(3, dtype=np.float32), np.arange(3), np.ones(3, np.int64))
    cluster = assigned(Centres.fit(bags, 10, patches=100, seed=0), bags, 10)
    assert sorted(cluster.tolist()) == [0, 1, 2]


def test_patches_are_assigned_in_pieces_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bags, _ = blobs()
    centres = Centres.fit(bags, 4, patches=15, seed=1)
    whole = assigned(centres, bags)
    monkeypatch.setattr("survbench.learn.clusters.PATCHES", 7)
    assert assigned(centres, bags).tolist() == whole.tolist()


def test_means_are_those_of_each_cluster_of_each_bag() -> None:
    values = torch.arange(12.0).reshape(6, 2)
    bags = BagBatch(values, torch.tensor([4, 2]), torch.arange(2))
    cluster = torch.tensor([2, 0, 2, 2, 1, 0])
    mean, present = cluster_means(values, cluster, bags, 3)
    by_hand = [[[2.0, 3.0], [0.0, 0.0], [10 / 3, 13 / 3]], [[10.0, 11.0], [8.0, 9.0], [0.0, 0.0]]]
    torch.testing.assert_close(mean, torch.tensor(by_hand))
    assert present.tolist() == [[True, False, True], [True, True, False]]
