"""Patch features of slides: TRIDENT, CLAM and UNI2-h `.h5`, CLAM `.pt`, and packed `.h5`.

Files come from anywhere, so nothing in them is trusted: no pickle is executed, no link leads out
of a file, and shapes are checked before memory is taken.
"""

from __future__ import annotations

import math
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from survbench.errors import CohortError

FORMATS = ("auto", "h5", "pt", "packed")

_MAX_WIDTH = 65_536
_MAX_BYTES = 16 * 2**30  # of one slide; 2.8 million patches of 1536 float32
_MAX_RATIO = 200  # no real features are stored so small; constant ones can be, to 1000
_UNSUSPICIOUS = 64 * 2**20  # bytes below which a ratio is not worth a refusal
_HDF5_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError)
_MAX_COORD = 2**53  # pixels; no slide is so wide, and a float beyond is no whole number
_BLOCK = 65_536  # patches looked at together


@dataclass(frozen=True, order=True)
class Slide:
    """Where the patches of one slide are.

    Parameters
    ----------
    name : str
        Slide id without extension; the case id in a packed file.
    path : Path
        File that holds it.
    group : str
        HDF5 group inside the file, "" for the root.
    packed : bool
        Whether `name` is a case id and the group may hold several slides.
    """

    name: str
    path: Path
    group: str = ""
    packed: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.group}" if self.group else str(self.path)


@dataclass(frozen=True)
class Extent:
    """What a slide holds, known without reading it: patches (0 = empty), width D, dtype."""

    patches: int
    width: int
    dtype: np.dtype[Any]
    coords: bool
    slides: int = 1
    encoder: str = ""


_EMPTY = Extent(0, 0, np.dtype(np.float32), coords=False)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of one slide: features (n, D) float16 or float32, coords (n, 2) int64 or None."""

    features: NDArray[np.floating]
    coords: NDArray[np.int64] | None


def find_slides(path: str | Path, form: str = "auto") -> list[Slide]:
    """Slides under a path, sorted by name.

    Parameters
    ----------
    path : str or Path
        A packed `.h5` file, a folder of `.h5` or `.pt` files, or a TRIDENT or CLAM output folder.
    form : str
        One of `FORMATS`; "auto" looks at what is there.

    Raises
    ------
    CohortError
        If there is nothing, or more than one thing, that could be meant.
    """
    path = Path(path)
    if form not in FORMATS:
        msg = f"unknown patch format {form!r}; allowed are {', '.join(FORMATS)}"
        raise CohortError(msg)
    if path.is_file():
        return _slides_of_file(path, form)
    if not path.is_dir() or form == "packed":
        msg = f"no patch features at {path}; give a folder of .h5 or .pt files or a packed .h5 file"
        raise CohortError(msg)
    folder = _feature_folder(path, form)
    suffixes = (".h5", ".pt") if form == "auto" else (f".{form}",)
    files = [f for f in folder.iterdir() if f.suffix in suffixes and not f.name.startswith(".")]
    if not files:
        msg = f"{folder} holds no {' or '.join(suffixes)} file; one per slide is needed"
        raise CohortError(msg)
    if len({f.suffix for f in files}) > 1:
        msg = f"{folder} holds .h5 and .pt files; say which with the patch format h5 or pt"
        raise CohortError(msg)
    odd = sorted(f for f in files if not f.is_file())
    if odd:
        msg = f"{odd[0]} is no plain file; remove it or put the slide's features there"
        raise CohortError(msg)
    return sorted(Slide(f.stem, f) for f in files)


def measure(slide: Slide) -> Extent:
    """Look up how many patches a slide has and how wide they are, without reading them."""
    if slide.path.suffix == ".pt":
        array = _read_pt(slide.path)
        patches, width = _extent(slide, tuple(array.shape), array.dtype)
        _check_storage(slide, "features", array.nbytes, slide.path.stat().st_size)
        return Extent(patches, width, _kept(array.dtype), coords=False) if patches else _EMPTY
    with _opened(slide) as holder:
        features = own_dataset(slide, holder, "features")
        patches, width = _extent(slide, features.shape, features.dtype)
        if patches == 0:
            return _EMPTY
        return Extent(
            patches,
            width,
            _kept(features.dtype),
            coords="coords" in holder,
            slides=int(holder.attrs.get("n_slides", 1)) if slide.packed else 1,
            encoder=_encoder(features, holder),
        )


def read_slide(slide: Slide) -> Patches:
    """Read the patches of one slide and check that every value is finite."""
    if slide.path.suffix == ".pt":
        array = _read_pt(slide.path)
        _extent(slide, tuple(array.shape), array.dtype)
        _check_storage(slide, "features", array.nbytes, slide.path.stat().st_size)
        return Patches(_finite(slide, _flat(array)), None)
    with _opened(slide) as holder:
        dataset = own_dataset(slide, holder, "features")
        patches, width = _extent(slide, dataset.shape, dataset.dtype)
        if patches == 0:
            return Patches(np.empty((0, width), np.float32), None)
        features = _flat(dataset[0] if len(dataset.shape) == 3 else dataset[()])
        coords = _read_coords(slide, holder, patches) if "coords" in holder else None
    return Patches(_finite(slide, features), coords)


def _slides_of_file(path: Path, form: str) -> list[Slide]:
    if path.suffix == ".pt":
        return [Slide(path.stem, path)]
    if path.suffix not in (".h5", ".hdf5"):
        msg = f"{path}: patch features are read from .h5 and .pt files (unpack an archive first)"
        raise CohortError(msg)
    with _opened(Slide(path.stem, path)) as file:
        if "features" in file and form != "packed":
            return [Slide(path.stem, path)]
        names = [name for name in file if not _is_dataset(file, name)]
    if not names:
        msg = f"{path}: neither a dataset 'features' nor one group per case; found nothing to read"
        raise CohortError(msg)
    return [Slide(name, path, group=name, packed=True) for name in sorted(names)]


def _is_dataset(file: h5py.File, name: str) -> bool:
    """Whether a name is a dataset of the file; a link is not, and is refused where it is read."""
    hard = isinstance(file.get(name, getlink=True), h5py.HardLink)
    return hard and file.get(name, getclass=True) is h5py.Dataset


def _feature_folder(path: Path, form: str) -> Path:
    """Folder that holds the files, looked for inside a TRIDENT or CLAM output folder."""
    if any(f.suffix in (".h5", ".pt") for f in path.iterdir()):
        return path
    wanted = ("h5_files", "pt_files") if form == "auto" else (f"{form}_files",)
    for name in wanted:
        if (path / name).is_dir():
            return path / name
    found = sorted({*path.glob("features_*"), *path.glob("*/features_*")})
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(f.relative_to(path)) for f in found)
        msg = f"{path} holds features of several encoders; give one of {names}"
        raise CohortError(msg)
    return path


@contextmanager
def _opened(slide: Slide) -> Iterator[h5py.Group]:
    """Group of a slide; whatever HDF5 complains about while it is open becomes a CohortError."""
    try:
        with h5py.File(slide.path, "r") as file:
            yield _hard(slide, file, slide.group) if slide.group else file
    except CohortError:
        raise
    except _HDF5_ERRORS as error:
        reason = " ".join(str(error).split())[:160]
        msg = f"{slide}: cannot be read ({reason}); truncated or damaged, extract the slide again"
        raise CohortError(msg) from error


def _hard(place: object, holder: h5py.Group, key: str) -> Any:
    """Object under a key, if it is stored right there and not behind a link."""
    link = holder.get(key, getlink=True)
    if link is None:
        shown = ", ".join(list(holder)[:5]) or "nothing"
        msg = f"{place}: no dataset {key!r}; found {shown}"
        raise CohortError(msg)
    if not isinstance(link, h5py.HardLink):
        msg = f"{place}: {key!r} is a link; survbench reads only what is inside the file"
        raise CohortError(msg)
    return holder[key]


def own_dataset(place: object, holder: h5py.Group, key: str) -> h5py.Dataset:
    """Dataset that is stored right there, no larger than what is stored can tell.

    Parameters
    ----------
    place : object
        What messages call the file.
    holder : h5py.Group
        Where the dataset is looked for.
    key : str
        Its name.

    Raises
    ------
    CohortError
        It is behind a link, in another file, or claims far more bytes than there are.
    """
    found = _hard(place, holder, key)
    if not isinstance(found, h5py.Dataset):
        msg = f"{place}: {key!r} must be a dataset, found {type(found).__name__}"
        raise CohortError(msg)
    if found.is_virtual or found.external:
        msg = f"{place}: {key!r} is stored in other files; survbench reads only inside the file"
        raise CohortError(msg)
    chunk = math.prod(found.chunks) * found.dtype.itemsize if found.chunks else 0
    _check_storage(place, key, max(found.nbytes, chunk), found.id.get_storage_size())
    return found


def _extent(slide: Slide, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """Patches and width of features of a shape; (0, 0) for an empty slide."""
    if 0 in shape and len(shape) <= 3:
        return 0, 0
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != 2:
        hint = " (one vector per slide is no bag of patches)" if len(shape) == 1 else ""
        msg = f"{slide}: features must be (N, D) or (1, N, D), found {shape}{hint}"
        raise CohortError(msg)
    if dtype.kind != "f":
        msg = f"{slide}: features must be floating point, found {dtype}"
        raise CohortError(msg)
    patches, width = shape
    if width > _MAX_WIDTH or patches * width * dtype.itemsize > _MAX_BYTES:
        msg = (
            f"{slide}: features claim shape {shape}; at most {_MAX_WIDTH} columns and "
            f"{_MAX_BYTES // 2**30} GiB per slide are read"
        )
        raise CohortError(msg)
    return int(patches), int(width)


def _check_storage(place: object, key: str, claimed: int, stored: int) -> None:
    """Refuse an array that claims far more bytes than its file could hold."""
    if claimed > _UNSUSPICIOUS and claimed > _MAX_RATIO * stored:
        msg = f"{place}: {key} claim {claimed} bytes, {stored} are stored; forged or cut off"
        raise CohortError(msg)


def _kept(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float16 stays, everything else becomes float32."""
    return np.dtype(np.float16) if dtype == np.float16 else np.dtype(np.float32)


def _flat(array: NDArray[Any]) -> NDArray[np.floating]:
    """(N, D) of (N, D) or (1, N, D); index [0], so that a slide of one patch stays (1, D)."""
    if 0 in array.shape:
        return np.empty((0, 0), np.float32)
    patches = array[0] if array.ndim == 3 else array
    with np.errstate(over="ignore"):  # an overflow is reported as not finite
        return np.ascontiguousarray(patches, _kept(array.dtype))


def _finite(slide: Slide, features: NDArray[np.floating]) -> NDArray[np.floating]:
    for begin in range(0, len(features), _BLOCK):
        good = np.isfinite(features[begin : begin + _BLOCK])
        if not good.all():
            row, column = (int(i) for i in np.argwhere(~good)[0])
            value = features[begin + row, column]
            msg = f"{slide}: feature {column} of patch {begin + row} is {value}; extract it again"
            raise CohortError(msg)
    return features


def _read_coords(slide: Slide, holder: h5py.Group, patches: int) -> NDArray[np.int64]:
    dataset = own_dataset(slide, holder, "coords")
    if dataset.shape not in ((patches, 2), (1, patches, 2)):
        msg = f"{slide}: {patches} patches, but coords of shape {dataset.shape}"
        raise CohortError(msg)
    if dataset.dtype.kind not in "iuf":
        msg = f"{slide}: coords must be numbers, found {dataset.dtype}"
        raise CohortError(msg)
    values = dataset[0] if len(dataset.shape) == 3 else dataset[()]
    wrong = np.flatnonzero(~(np.abs(values) < _MAX_COORD).all(axis=1))
    if len(wrong):
        msg = f"{slide}: patch {wrong[0]} is at {values[wrong[0]].tolist()}; pixels are needed"
        raise CohortError(msg)
    return np.ascontiguousarray(values, np.int64)


def _encoder(features: h5py.Dataset, holder: h5py.Group) -> str:
    """Name of the encoder where TRIDENT or a packed file tells it."""
    for attributes in (features.attrs, holder.attrs, holder.file.attrs):
        name = attributes.get("encoder")
        if isinstance(name, str):
            return name
    return ""


def _read_pt(path: Path) -> NDArray[Any]:
    """Array saved by torch.save as a tensor or a numpy array; nothing else is unpickled."""
    import torch  # noqa: PLC0415  (only people with .pt files pay for it)

    rebuild: Any = np.empty(0).__reduce__()[0]
    allowed: list[Any] = [
        (rebuild, f"numpy.{c}.multiarray._reconstruct") for c in ("core", "_core")
    ]
    allowed += [np.ndarray, np.dtype, *(type(np.dtype(f"f{size}")) for size in (2, 4, 8))]
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            _check_records(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
            warnings.simplefilter("ignore", UserWarning)  # on old protocols; what counts raises
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except CohortError:
        raise
    except pickle.UnpicklingError as error:
        msg = (
            f"{path}: holds Python objects or is damaged; survbench never runs a pickle. "
            "Save a plain tensor (N, D) with torch.save"
        )
        raise CohortError(msg) from error
    except Exception as error:  # a malformed pickle can raise anything at all
        reason = " ".join(str(error).split())[:160]
        msg = f"{path}: cannot be read ({reason}); truncated or damaged, extract the slide again"
        raise CohortError(msg) from error
    if isinstance(found, torch.Tensor) and found.layout == torch.strided:
        tensor = found.detach()
        return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
    if isinstance(found, np.ndarray):
        return found
    msg = f"{path}: holds a {type(found).__name__}, expected one tensor (N, D)"
    raise CohortError(msg)


def _check_records(path: Path) -> None:
    """Refuse an archive whose records are compressed: torch.save writes none, a bomb is one."""
    with zipfile.ZipFile(path) as archive:
        odd = [m.filename for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
    if odd:
        msg = f"{path}: record {odd[0]!r} is compressed; save a plain tensor (N, D) with torch.save"
        raise CohortError(msg)
