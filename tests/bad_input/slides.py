"""Patch features: folders of `.h5` and `.pt` files and packed files, damaged and hostile."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.bad_input.case import Case, Make, Payload, both, text_file
from tests.bad_input.tables import table

BUILD = "cohort build deep/below/out --table table.csv --patches p"
H5 = "p/a.h5"
FEATURES = np.arange(15, dtype=np.float32).reshape(5, 3)
LEAVES = "survbench reads only what is inside the file"


def slide(write: Callable[[h5py.File], object], name: str = H5) -> Make:
    """A slide of patient A written into an HDF5 file."""

    def make(folder: Path) -> None:
        table()(folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / name, "w") as file:
            write(file)

    return make


def holding(features: object, **others: object) -> Make:
    """A slide with these datasets."""

    def write(file: h5py.File) -> None:
        file["features"] = features
        for key, value in others.items():
            file[key] = value

    return slide(write)


def saved(thing: Callable[[Path], object], **options: bool) -> Make:
    """A slide of patient A written by torch.save."""

    def make(folder: Path) -> None:
        import torch

        table()(folder)
        (folder / "p").mkdir()
        torch.save(thing(folder), folder / "p/a.pt", **options)

    return make


def tensor(folder: Path) -> object:
    import torch

    return torch.zeros(500, 20)


def cut(name: str, make: Make) -> Make:
    """Only the first half of a file."""

    def half(folder: Path) -> None:
        make(folder)
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return half


def bare_pickle(folder: Path) -> None:
    table()(folder)
    (folder / "p").mkdir()
    (folder / "p/a.pt").write_bytes(pickle.dumps(Payload(folder)))


def squeezed(folder: Path) -> None:
    """A tensor whose archive is compressed, as a bomb's would be."""
    import torch

    table()(folder)
    (folder / "p").mkdir()
    torch.save(torch.zeros(1000, 64), folder / "whole.pt")
    packed = zipfile.ZipFile(folder / "p/a.pt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(folder / "whole.pt") as whole, packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))


def expanded(folder: Path) -> object:
    import torch

    return torch.zeros(1, 1).expand(10**6, 1024)


def half_sparse(folder: Path) -> object:
    import torch

    return torch.zeros(5, 3).to_sparse()


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((5, 3), np.float32)
    layout[:] = h5py.VirtualSource("secret.h5", "features", (5, 3))
    file.create_virtual_dataset("features", layout)


def elsewhere(file: h5py.File) -> None:
    secret = Path(file.filename).parents[1] / "secret"
    secret.write_bytes(bytes(60))
    file.create_dataset("features", (5, 3), np.float32, external=[(str(secret), 0, 60)])


def claiming(*shape: int, chunks: tuple[int, ...] = (1, 64)) -> Make:
    """Features that claim a shape of which nothing is stored."""
    most = (None,) * len(shape)
    return slide(
        lambda file: file.create_dataset(
            "features", shape, np.float32, chunks=chunks, maxshape=most, compression="gzip"
        )
    )


def small_in_a_large_chunk(file: h5py.File) -> None:
    """Fifteen numbers for which a gibibyte is unpacked."""
    features = file.create_dataset(
        "features",
        (5, 3),
        np.float32,
        chunks=(2**18, 1024),
        maxshape=(None, None),
        shuffle=True,
        compression="gzip",
    )
    features.attrs["encoder"] = "uni_v2"


def pipe(folder: Path) -> None:
    table()(folder)
    (folder / "p").mkdir()
    os.mkfifo(folder / "p/a.pt")


def two_widths(folder: Path) -> None:
    holding(FEATURES)(folder)
    slide(lambda file: file.create_dataset("features", data=FEATURES[:, :2]), "p/b.h5")(folder)


def with_nan(value: float) -> Make:
    features = FEATURES.copy()
    features[3, 1] = value
    return holding(features)


def packed(write: Callable[[h5py.File], object]) -> Make:
    return slide(write, "p.h5")


PACKED = "cohort build out --table table.csv --patches p.h5"

CASES = [
    # what is found
    Case("patches that do not exist", table(), BUILD, "no patch features at p", "give a folder"),
    Case(
        "a folder without slides",
        both(table(), text_file("p/notes.txt", "soon")),
        BUILD,
        "p holds no .h5 or .pt file",
        "one per slide is needed",
    ),
    Case(
        "slides of two formats",
        both(holding(FEATURES), text_file("p/a.pt", b"")),
        BUILD,
        "p holds .h5 and .pt files",
        "say which with the patch format",
    ),
    Case(
        "features of two encoders",
        both(table(), text_file("p/features_a/x.h5", b""), text_file("p/features_b/x.h5", b"")),
        BUILD,
        "p holds features of several encoders",
        "give one of features_a, features_b",
    ),
    Case(
        "slides in an archive",
        both(table(), text_file("p.tar.gz", b"")),
        f"{BUILD}.tar.gz",
        "p.tar.gz",
        "unpack an archive first",
    ),
    Case(
        "a patch format that does not exist",
        holding(FEATURES),
        f"{BUILD} --patch-format zarr",
        "unknown patch format 'zarr'",
        "allowed are auto, h5, pt, packed",
    ),
    Case("a slide that is a pipe", pipe, BUILD, "p/a.pt is no plain file", "remove it"),
    Case(
        "a slide that is a folder",
        both(table(), text_file("p/a.h5/features", b"")),
        BUILD,
        "p/a.h5 is no plain file",
        "remove it",
    ),
    Case(
        "slides of nobody in the table",
        slide(lambda file: file.create_dataset("features", data=FEATURES), "p/TCGA-05-0001-01Z.h5"),
        BUILD,
        "p: no slide with patches for any case of 3 rows",
        "1 x its case is not in the table",
    ),
    Case(
        "only empty slides",
        holding(np.empty((0, 3), np.float32)),
        BUILD,
        "p: no slide with patches",
        "1 x no patches",
    ),
    # .pt
    Case(
        "a tensor file with a payload",
        saved(Payload),
        BUILD,
        "p/a.pt: holds Python objects",
        "survbench never runs a pickle",
        process=True,
    ),
    Case(
        "a bare pickle with a payload",
        bare_pickle,
        BUILD,
        "p/a.pt: holds Python objects",
        "Save a plain tensor (N, D) with torch.save",
    ),
    Case(
        "a payload inside an array of objects",
        saved(lambda folder: np.array([Payload(folder)], object)),
        BUILD,
        "p/a.pt: ",
        "Save a plain tensor (N, D) with torch.save",
    ),
    Case(
        "a payload inside a dict beside a tensor",
        saved(lambda folder: {"features": tensor(folder), "more": Payload(folder)}),
        BUILD,
        "p/a.pt: holds Python objects",
        "survbench never runs a pickle",
    ),
    Case(
        "a dict of tensors",
        saved(lambda folder: {"features": tensor(folder)}),
        BUILD,
        "p/a.pt: holds a dict",
        "expected one tensor (N, D)",
    ),
    Case(
        "a sparse tensor",
        saved(half_sparse),
        BUILD,
        "p/a.pt: holds a Tensor",
        "expected one tensor (N, D)",
    ),
    Case(
        "a compressed tensor file",
        squeezed,
        BUILD,
        "p/a.pt: record 'whole/data.pkl' is compressed",
        "save a plain tensor",
    ),
    Case(
        "a tensor that stores one number and claims a billion",
        saved(expanded),
        BUILD,
        "p/a.pt: features claim 4096000000 bytes",
        "forged or cut off",
    ),
    Case(
        "a tensor file that breaks off",
        cut("p/a.pt", saved(tensor)),
        BUILD,
        "p/a.pt",
        "damaged",
    ),
    Case(
        "an old tensor file that breaks off",
        cut("p/a.pt", saved(tensor, _use_new_zipfile_serialization=False)),
        BUILD,
        "p/a.pt: cannot be read",
        "extract the slide again",
    ),
    # .h5
    Case(
        "a slide that is text",
        both(table(), text_file(H5, "no such thing")),
        BUILD,
        "p/a.h5: cannot be read",
        "extract the slide again",
    ),
    Case(
        "a slide that breaks off",
        cut(H5, holding(np.zeros((500, 20), np.float32))),
        BUILD,
        "p/a.h5: cannot be read",
        "truncated or damaged",
    ),
    Case(
        "a slide without features",
        slide(lambda file: file.create_dataset("feats", data=FEATURES)),
        f"{BUILD} --patch-format h5",
        "p/a.h5: no dataset 'features'",
        "found feats",
    ),
    Case(
        "features that are a group",
        slide(lambda file: file.create_group("features")),
        BUILD,
        "p/a.h5: 'features' must be a dataset",
        "found Group",
    ),
    Case(
        "features behind an external link",
        slide(lambda file: file.__setitem__("features", h5py.ExternalLink("/etc/passwd", "x"))),
        BUILD,
        "p/a.h5: 'features' is a link",
        LEAVES,
    ),
    Case(
        "features behind a soft link",
        slide(lambda file: file.__setitem__("features", h5py.SoftLink("/features"))),
        BUILD,
        "p/a.h5: 'features' is a link",
        LEAVES,
    ),
    Case(
        "features of another file in a virtual dataset",
        slide(virtual),
        BUILD,
        "p/a.h5: 'features' is stored in other files",
        "survbench reads only inside the file",
    ),
    Case(
        "features whose bytes are another file",
        slide(elsewhere),
        BUILD,
        "p/a.h5: 'features' is stored in other files",
        "survbench reads only inside the file",
    ),
    Case(
        "features of ten trillion patches",
        claiming(10**13, 1536),
        BUILD,
        "p/a.h5: features claim 61440000000000000 bytes, 0 are stored",
        "forged or cut off",
    ),
    Case(
        "features of a million columns",
        claiming(10, 10**6),
        BUILD,
        "p/a.h5: features claim shape (10, 1000000)",
        "at most 65536 columns",
    ),
    Case(
        "a gibibyte chunk for fifteen numbers",
        slide(small_in_a_large_chunk),
        BUILD,
        "p/a.h5: features claim 1073741824 bytes",
        "forged or cut off",
    ),
    Case(
        "a gzipped slide of zeros",
        slide(
            lambda file: file.create_dataset(
                "features",
                data=np.zeros((20_000, 1024), np.float32),
                chunks=(5000, 1024),
                compression="gzip",
                shuffle=True,
            )
        ),
        BUILD,
        "p/a.h5: features claim 81920000 bytes",
        "forged or cut off",
    ),
    Case(
        "one vector for a slide",
        holding(np.zeros(1536, np.float32)),
        BUILD,
        "p/a.h5: features must be (N, D) or (1, N, D), found (1536,)",
        "no bag of patches",
    ),
    Case(
        "two slides in one dataset",
        holding(np.zeros((2, 5, 3), np.float32)),
        BUILD,
        "found (2, 5, 3)",
        "features must be (N, D) or (1, N, D)",
    ),
    Case(
        "features that are whole numbers",
        holding(np.zeros((5, 3), np.int64)),
        BUILD,
        "p/a.h5: features must be floating point",
        "found int64",
    ),
    Case(
        "features that are texts",
        holding(np.array([[b"a", b"b"]])),
        BUILD,
        "p/a.h5: features must be floating point",
        "found |S1",
    ),
    Case(
        "a feature that is not a number",
        with_nan(np.nan),
        BUILD,
        "p/a.h5: feature 1 of patch 3 is nan",
        "extract it again",
    ),
    Case(
        "features of two widths",
        two_widths,
        BUILD,
        "p/b.h5 has width 2, p/a.h5 has 3",
        "features of one cohort come from one encoder",
    ),
    Case(
        "more patches than places",
        holding(FEATURES, coords=np.zeros((4, 2), np.int64)),
        BUILD,
        "p/a.h5: 5 patches",
        "but coords of shape (4, 2)",
    ),
    Case(
        "a patch that is nowhere",
        holding(FEATURES, coords=np.array([[0, 0]] * 4 + [[np.inf, 0]])),
        BUILD,
        "p/a.h5: patch 4 is at [inf, 0.0]",
        "pixels are needed",
    ),
    Case(
        "places that are texts",
        holding(FEATURES, coords=np.array([[b"x", b"y"]] * 5)),
        BUILD,
        "p/a.h5: coords must be numbers",
        "found |S1",
    ),
    # packed
    Case(
        "a packed file of nothing",
        packed(lambda file: file.attrs.update(encoder="hif29")),
        PACKED,
        "p.h5: neither a dataset 'features' nor one group per case",
        "found nothing to read",
    ),
    Case(
        "a packed case behind a link to another file",
        packed(lambda file: file.__setitem__("A", h5py.ExternalLink("/etc/passwd", "/"))),
        PACKED,
        "p.h5:A: 'A' is a link",
        LEAVES,
    ),
    Case(
        "packed cases that are HTML",
        packed(
            lambda file: file.create_group("<script>").create_dataset("features", data=FEATURES)
        ),
        PACKED,
        "p.h5: no slide with patches",
        "1 x its case is not in the table",
    ),
    Case(
        "a packed number of slides that is text",
        packed(
            lambda file: (
                file.create_group("A").create_dataset("features", data=FEATURES),
                file["A"].attrs.update(n_slides="many"),
            )
        ),
        PACKED,
        "p.h5:A: cannot be read",
        "invalid literal for int()",
    ),
]
