"""Patch feature files: the layouts that exist, and what a damaged or hostile file leads to."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from survbench.cohort.features import Slide, find_slides, measure, read_slide
from survbench.errors import CohortError


def patches(count: int = 5, width: int = 3) -> NDArray[np.float32]:
    return np.arange(count * width, dtype=np.float32).reshape(count, width)


def places(count: int = 5) -> NDArray[np.int64]:
    return np.arange(count * 2).reshape(count, 2) * 256


def write_h5(
    path: Path, features: NDArray[np.generic], coords: NDArray[np.generic] | None
) -> Slide:
    with h5py.File(path, "w") as file:
        file["features"] = features
        if coords is not None:
            file["coords"] = coords
    return Slide(path.stem, path)


def write_trident(path: Path, features: NDArray[np.generic], coords: NDArray[np.int64]) -> Slide:
    """Chunks of one row, resizable, attributes on both datasets: TRIDENT's save_h5."""
    with h5py.File(path, "w") as file:
        for name, data in (("features", features), ("coords", coords)):
            rest = data.shape[1:]
            file.create_dataset(name, data=data, chunks=(1, *rest), maxshape=(None, *rest))
        file["features"].attrs["encoder"] = "uni_v2"
        file["coords"].attrs["patch_size"] = 256
    return Slide(path.stem, path)


def test_trident_features_coords_and_encoder(tmp_path: Path) -> None:
    slide = write_trident(tmp_path / "a.h5", patches(), places())
    extent = measure(slide)
    assert (extent.patches, extent.width, extent.coords, extent.encoder) == (5, 3, True, "uni_v2")
    read = read_slide(slide)
    assert np.array_equal(read.features, patches())
    assert read.coords is not None
    assert np.array_equal(read.coords, places())


@pytest.mark.parametrize("count", [1, 5])
def test_hub_features_with_a_leading_one_keep_one_patch_slides(tmp_path: Path, count: int) -> None:
    slide = write_h5(tmp_path / "a.h5", patches(count)[None], places(count)[None])
    assert (measure(slide).patches, measure(slide).width) == (count, 3)
    read = read_slide(slide)
    assert np.array_equal(read.features, patches(count))
    assert read.coords is not None
    assert read.coords.shape == (count, 2)


@pytest.mark.parametrize("shape", [(0, 1536), (0,), (1, 0, 1536)])
def test_empty_slides_have_no_patches(tmp_path: Path, shape: tuple[int, ...]) -> None:
    slide = write_h5(tmp_path / "a.h5", np.empty(shape, np.float32), np.empty((0, 2), np.int64))
    assert measure(slide).patches == 0
    assert len(read_slide(slide).features) == 0


@pytest.mark.parametrize(
    ("stored", "kept"),
    [(np.float16, np.float16), (np.float32, np.float32), (np.float64, np.float32), (">f4", "<f4")],
)
def test_float16_stays_and_other_floats_become_float32(
    tmp_path: Path, stored: str, kept: str
) -> None:
    slide = write_h5(tmp_path / "a.h5", patches().astype(stored), None)
    assert measure(slide).dtype == np.dtype(kept)
    assert read_slide(slide).features.dtype == np.dtype(kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_clam_tensors(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.from_numpy(patches()).to(dtype), path)
    slide = Slide("a", path)
    assert (measure(slide).patches, measure(slide).width) == (5, 3)
    read = read_slide(slide)
    assert np.array_equal(read.features.astype(np.float32), patches())
    assert read.coords is None


@pytest.mark.parametrize("zipped", [True, False])
def test_numpy_arrays_saved_by_torch_are_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save(patches(), path, _use_new_zipfile_serialization=zipped)
    assert np.array_equal(read_slide(Slide("a", path)).features, patches())


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))]
)
def test_a_pickle_payload_is_refused_and_not_executed(tmp_path: Path, save: object) -> None:
    assert callable(save)
    path, target = tmp_path / "a.pt", tmp_path / "executed"
    save(Payload(target), path)
    with pytest.raises(CohortError, match=r"a\.pt: holds Python objects.*never runs a pickle"):
        read_slide(Slide("a", path))
    assert not target.exists()


def test_object_arrays_in_pt_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(np.array([{}, 1], object), path)
    with pytest.raises(CohortError, match=r"a\.pt"):
        read_slide(Slide("a", path))


def test_a_dict_of_tensors_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"features": torch.zeros(2, 3)}, path)
    with pytest.raises(CohortError, match=r"a\.pt: holds a dict, expected one tensor"):
        measure(Slide("a", path))


@pytest.mark.parametrize("suffix", [".h5", ".pt"])
def test_truncated_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".h5":
        write_h5(path, patches(500, 20), places(500))
    else:
        torch.save(torch.zeros(500, 20), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CohortError, match=rf"a\{suffix}: .*damaged"):
        read_slide(Slide("a", path))


def test_damaged_compressed_chunks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        noise = np.random.default_rng(0).normal(size=(500, 20)).astype(np.float32)
        file.create_dataset("features", data=noise, compression="gzip", fletcher32=True)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(bytes(data))
    with pytest.raises(CohortError, match=r"a\.h5: cannot be read .*damaged"):
        read_slide(Slide("a", path))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_patch(tmp_path: Path, value: float) -> None:
    features = patches()
    features[3, 1] = value
    slide = write_h5(tmp_path / "a.h5", features, None)
    with pytest.raises(CohortError, match=rf"a\.h5: feature 1 of patch 3 is {value}"):
        read_slide(slide)


def test_float64_beyond_float32_is_reported_not_infinite(tmp_path: Path) -> None:
    slide = write_h5(tmp_path / "a.h5", np.full((2, 3), 1e300), None)
    with pytest.raises(CohortError, match="feature 0 of patch 0 is inf"):
        read_slide(slide)


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4), (1, 2, 3, 4), ()])
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    slide = write_h5(tmp_path / "a.h5", np.zeros(shape, np.float32), None)
    with pytest.raises(CohortError, match=r"features must be \(N, D\) or \(1, N, D\)"):
        measure(slide)


def test_integers_are_no_features(tmp_path: Path) -> None:
    slide = write_h5(tmp_path / "a.h5", np.zeros((2, 3), np.int64), None)
    with pytest.raises(CohortError, match="must be floating point, found int64"):
        measure(slide)


def test_coords_of_another_length_are_refused(tmp_path: Path) -> None:
    slide = write_h5(tmp_path / "a.h5", patches(), places(4))
    with pytest.raises(CohortError, match=r"5 patches, but coords of shape \(4, 2\)"):
        read_slide(slide)


@pytest.mark.parametrize("shape", [(10**13, 1536), (10**6, 10**6), (10**6, 1536)])
def test_absurd_shapes_are_refused_before_memory_is_taken(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("features", shape, np.float32, chunks=(1, 64))
    with pytest.raises(CohortError, match=r"a\.h5: features claim"):
        measure(Slide("a", path))


def test_an_expanded_tensor_that_stores_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(1, 1).expand(10**6, 1024), path)
    with pytest.raises(CohortError, match=r"a\.pt: features claim"):
        read_slide(Slide("a", path))


@pytest.mark.parametrize("kind", ["external", "soft", "virtual", "storage"])
def test_nothing_outside_the_file_is_read(tmp_path: Path, kind: str) -> None:
    write_h5(tmp_path / "secret.h5", patches(), None)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if kind == "external":
            file["features"] = h5py.ExternalLink("secret.h5", "features")
        elif kind == "soft":
            file["features"] = h5py.SoftLink("/elsewhere")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((5, 3), np.float32)
            layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "features", (5, 3))
            file.create_virtual_dataset("features", layout)
        else:
            file.create_dataset(
                "features", (5, 3), np.float32, external=[(str(tmp_path / "secret.h5"), 0, 60)]
            )
    with pytest.raises(CohortError, match=r"is a link|is stored in other files"):
        read_slide(Slide("a", path))


def test_a_file_without_features_says_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["feats"] = patches()
    with pytest.raises(CohortError, match="no dataset 'features'; found feats"):
        measure(Slide("a", path))


def test_a_packed_file_has_one_group_per_case(tmp_path: Path) -> None:
    path = tmp_path / "pathology.h5"
    with h5py.File(path, "w") as file:
        file["column_names"] = [b"x", b"y", b"z"]
        file.attrs["encoder"] = "hif29"
        for case, count in (("B", 2), ("A", 4)):
            group = file.create_group(case)
            group["features"], group["coords"] = patches(count), places(count)
            group.attrs["n_slides"] = count // 2
    slides = find_slides(path)
    assert [slide.name for slide in slides] == ["A", "B"]
    extents = [measure(slide) for slide in slides]
    assert [(e.patches, e.slides, e.encoder) for e in extents] == [(4, 2, "hif29"), (2, 1, "hif29")]
    assert np.array_equal(read_slide(slides[0]).features, patches(4))


def test_a_packed_file_may_not_link_a_case_to_another_file(tmp_path: Path) -> None:
    write_h5(tmp_path / "secret.h5", patches(), None)
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file["A"] = h5py.ExternalLink("secret.h5", "/")
    (slide,) = find_slides(tmp_path / "packed.h5")
    with pytest.raises(CohortError, match="'A' is a link"):
        measure(slide)


def test_slides_come_in_file_name_order_and_hidden_files_are_skipped(tmp_path: Path) -> None:
    for name in ("b.h5", "a-DX2.h5", "a-DX1.h5", "._a-DX1.h5"):
        write_h5(tmp_path / name, patches(), None)
    (tmp_path / "notes.txt").touch()
    assert [slide.name for slide in find_slides(tmp_path)] == ["a-DX1", "a-DX2", "b"]


def test_trident_and_clam_output_folders_are_found_inside(tmp_path: Path) -> None:
    trident = tmp_path / "job" / "20x_256px_0px_overlap" / "features_uni_v2"
    trident.mkdir(parents=True)
    write_h5(trident / "a.h5", patches(), None)
    assert find_slides(tmp_path / "job")[0].path == trident / "a.h5"
    (tmp_path / "clam" / "h5_files").mkdir(parents=True)
    (tmp_path / "clam" / "pt_files").mkdir()
    write_h5(tmp_path / "clam" / "h5_files" / "a.h5", patches(), None)
    torch.save(torch.zeros(1, 2), tmp_path / "clam" / "pt_files" / "a.pt")
    assert find_slides(tmp_path / "clam")[0].path.suffix == ".h5"
    assert find_slides(tmp_path / "clam", "pt")[0].path.suffix == ".pt"
    (trident.parent / "features_conch_v15").mkdir()
    with pytest.raises(CohortError, match=r"several encoders.*features_conch_v15.*features_uni_v2"):
        find_slides(tmp_path / "job")


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("nowhere", "auto", "no patch features at"),
        (".", "auto", "holds no .h5 or .pt file"),
        (".", "packed", "no patch features at"),
        (".", "zarr", "unknown patch format 'zarr'; allowed are auto, h5, pt, packed"),
        ("a.tar.gz", "auto", "unpack an archive first"),
        ("empty.h5", "auto", "found nothing to read"),
        ("text.h5", "auto", "text.h5: cannot be read"),
    ],
)
def test_what_cannot_be_found_says_what_to_give(
    tmp_path: Path, name: str, form: str, message: str
) -> None:
    if name == "empty.h5":
        h5py.File(tmp_path / name, "w").close()
    elif "." in name[1:]:
        (tmp_path / name).write_text("no such thing")
    with pytest.raises(CohortError, match=message):
        find_slides(tmp_path / name, form)


def test_the_trident_sample_equals_the_packed_bags(shared: Path) -> None:
    luad = shared / "data" / "tcga_luad"
    slides = find_slides(luad / "trident_sample")
    assert len(slides) == 12
    packed = {slide.name: slide for slide in find_slides(luad / "pathology.h5")}
    ours = read_slide(slides[0])
    assert np.array_equal(ours.features, read_slide(packed[slides[0].name[:12]]).features)


@given(data=st.binary(max_size=400), suffix=st.sampled_from([".h5", ".pt"]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_is_refused_not_crashed_on(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(CohortError, match=r"a[.]"):
        read_slide(Slide("a", path))
