"""Build a cohort folder from what people have: a survival table, genomics, patch features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from survbench.cohort.cohort import CohortInfo
from survbench.cohort.description import kind_counts
from survbench.cohort.features import Extent, Slide, find_slides, measure, read_slide
from survbench.cohort.folds import read_splits
from survbench.cohort.modality import GeneGroups
from survbench.cohort.tables import (
    Table,
    group_columns,
    read_signatures,
    read_table,
)
from survbench.cohort.text_table import read_text_table
from survbench.cohort.write_folder import BagStream, write_parts
from survbench.errors import CohortError

MIN_AT_RISK_PER_FOLD = 10
MIN_AT_RISK = 50  # where no folds are given
MAX_HORIZON = 60  # months
NO_PATCHES = "no patches"  # reason of an empty slide

# TCGA-XX-XXXX-<sample type><vial>-<portion>-<slide>: sample types 10-19 are normal tissue, DX is a
# diagnostic (paraffin) slide, TS, BS and MS are frozen ones.
_TCGA_CASE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?![A-Z0-9])")
_TCGA_SLIDE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}-(\d{2})[A-Z]?(?:-\w+-([A-Z]{2}))?")


@dataclass(frozen=True)
class BuildReport:
    """What went into a cohort folder and what did not; `lines` says it on the terminal.

    Parameters
    ----------
    groups : mapping
        Gene group to number of columns per kind.
    dropped : mapping
        Reason to number of cases that are not in the cohort because of it.
    dropped_slides : mapping
        Reason to number of slides left out.
    """

    name: str
    folder: Path
    rows: int
    cases: int
    events: int
    data_hash: str
    horizon_months: float | None
    slides: int = 0
    empty_slides: int = 0
    patches: int = 0
    width: int = 0
    dtype: str = ""
    cases_with: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    empty_groups: tuple[str, ...] = ()
    ungrouped: int = 0
    ignored: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_slides: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Plain text for the terminal, one fact per line."""
        out = [f"{self.name}: {self.rows} rows, {self.cases} cases, {self.events} events"]
        if self.slides or self.empty_slides:
            out.append(
                f"P: {self.cases_with['P']} cases, {self.slides} slides, {self.patches} patches of "
                f"width {self.width}, {self.dtype}; {self.empty_slides} empty slides are absent"
            )
        if self.columns:
            out.append(
                f"G: {self.cases_with['G']} cases, columns {_counted(self.columns)}; "
                f"{self.ungrouped} in no group"
            )
        out += [f"  {group}: {_counted(kinds)}" for group, kinds in self.groups.items()]
        out += [f"  {group}: no column in the table, left out" for group in self.empty_groups]
        out += [f"dropped {n} case{'s' * (n > 1)}: {why}" for why, n in self.dropped.items()]
        out += [f"left out {n} slide{'s' * (n > 1)}: {w}" for w, n in self.dropped_slides.items()]
        if self.ignored:
            out.append(f"ignored columns: {', '.join(self.ignored)}")
        out += self.notes
        horizon = "none, too few at risk" if self.horizon_months is None else self.horizon_months
        out.append(f"horizon (months): {horizon}")
        return [*out, f"data hash {self.data_hash[:12]}, written to {self.folder}"]


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which slides make up the bags (one list per case), and which do not."""

    slides: list[list[tuple[Slide, Extent]]]
    dropped: list[tuple[str, str, str]]  # case_id, reason, slide_id
    empty: int

    @property
    def extents(self) -> list[Extent]:
        return [extent for slides in self.slides for _, extent in slides]

    def dtype(self) -> np.dtype[Any]:
        """float16 where every slide is, else float32."""
        kinds = {extent.dtype for extent in self.extents}
        return kinds.pop() if len(kinds) == 1 else np.dtype(np.float32)


def build_cohort(
    folder: str | Path,
    *,
    name: str | None = None,
    table: str | Path,
    signatures: str | Path | None = None,
    patches: str | Path | None = None,
    patch_format: str | None = None,
    slide_index: str | Path | None = None,
    frozen_slides: bool = False,
    standardise: Sequence[str] = (),
    encoder: str = "",
    encoder_saw_tcga: str = "unknown",
    cohort_level_preprocessing: str = "",
    provenance: str = "",
    note: str = "",
    endpoint: str = "overall survival",
    time_column: str = "survival_months",
    censor_column: str = "censorship",
    ignore: Iterable[str] = (),
    horizon_months: float | None = None,
    default_splits: str | None = None,
    folds: Mapping[str, int] | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Build a cohort folder; a kill or a full disk leaves nothing behind.

    Parameters
    ----------
    folder : str or Path
        New folder; its name is the cohort's name unless `name` is given.
    table : str or Path
        Survival and genomics, see `tables.read_table`.
    signatures : str or Path or None
        Gene groups, one column each; without it all genes are one group.
    patches : str or Path or None
        Packed `.h5`, or folder of slide features, see `features.find_slides`.
    patch_format : str or None
        auto, h5, pt or packed.
    slide_index : str or Path or None
        CSV with case_id and slide_id; without it TCGA names and the table's slide_id tell.
    frozen_slides : bool
        Keep slides of frozen tissue (TS, BS, MS) too; normal tissue is always left out.
    standardise : sequence of str
        Bag modalities whose columns are standardised on the training fold.
    horizon_months : float or None
        Where Uno's C and AUC are taken; the default is `default_horizon`.
    default_splits : str or None
        Name, file or folder of the folds that runs take unless told otherwise.
    folds : mapping or None
        Case id to fold, for the default horizon; those of `default_splits` when None.
    progress : callable or None
        Called with slides done and slides in all.

    Raises
    ------
    CohortError
        If anything cannot be used as it is; the message names file, place and remedy.
    """
    folder = Path(folder)
    read = read_table(table, time_column=time_column, censor_column=censor_column, ignore=ignore)
    genes, empty_groups = _gene_groups(read, signatures)
    plan = _plan(read, patches, patch_format, slide_index, frozen_slides=frozen_slides)
    modalities: dict[str, BagStream | GeneGroups] = {}
    if plan is not None:
        modalities["P"] = _stream(plan, encoder, progress)
    if genes is not None:
        modalities["G"] = genes
    if not modalities:
        msg = (
            f"{table} has no gene columns and no patch features were given; nothing to predict from"
        )
        raise CohortError(msg)
    paired = _paired(read, plan, genes)
    if folds is None and default_splits is not None:
        folds = {str(case): int(fold) for case, fold in read_splits(default_splits).fold.items()}
    if horizon_months is None:
        horizon_months = default_horizon(read.cases[paired], folds)
    dropped = [(case, why, "") for case, why in read.dropped.items()]
    info = CohortInfo(
        endpoint=endpoint,
        horizon_months=horizon_months,
        standardise=tuple(standardise),
        default_splits=default_splits,
        note=note,
        provenance=provenance,
        cohort_level_preprocessing=cohort_level_preprocessing,
        encoder_saw_tcga=encoder_saw_tcga,
    )
    named = name or folder.name
    left_out = dropped + (plan.dropped if plan else [])
    data_hash = write_parts(
        folder, named, read.cases, modalities, info, dropped=left_out, force=force
    )
    return _report(named, folder, read, plan, genes, empty_groups, data_hash, horizon_months)


def default_horizon(cases: pd.DataFrame, folds: Mapping[str, int] | None = None) -> int | None:
    """Largest whole year, in months, at which enough patients are still at risk.

    Parameters
    ----------
    cases : DataFrame
        Patients scored by default, with `time` in months.
    folds : mapping or None
        Case id to fold: at least 10 at risk in every fold. Without folds: at least 50 in all.

    Returns
    -------
    int or None
        Between 12 and 60; None where one year is already too long.
    """
    time = cases["time"].to_numpy(np.float64)
    if folds is None:
        fold, needed = np.zeros(len(time), np.int64), MIN_AT_RISK
    else:
        known = np.array([case in folds for case in cases.index], bool)
        time = time[known]
        fold = np.array([folds[str(case)] for case in cases.index[known]], np.int64)
        needed = MIN_AT_RISK_PER_FOLD
    for horizon in range(MAX_HORIZON, 0, -12):
        at_risk = [int((time[fold == k] >= horizon).sum()) for k in np.unique(fold)]
        if at_risk and min(at_risk) >= needed:
            return horizon
    return None


def _gene_groups(
    table: Table, signatures: str | Path | None
) -> tuple[GeneGroups | None, tuple[str, ...]]:
    """Genes of the table in their groups, and the groups that got no column."""
    if not table.columns:
        return None, ()
    empty: tuple[str, ...] = ()
    groups = {"all genes": np.array(np.argsort(table.columns), np.int64)}
    if signatures is not None:
        groups, empty = group_columns(table.columns, read_signatures(signatures))
    genes = GeneGroups.of(table.values, table.columns, list(table.kind), groups, table.present)
    return genes, empty


def _plan(
    table: Table,
    patches: str | Path | None,
    patch_format: str | None,
    slide_index: str | Path | None,
    *,
    frozen_slides: bool,
) -> _Plan | None:
    """Find and measure all slides, so that whatever is wrong shows before anything is copied."""
    if patches is None:
        return None
    index = None if slide_index is None else _read_index(Path(slide_index))
    by_case: dict[str, list[tuple[Slide, Extent]]] = {str(case): [] for case in table.cases.index}
    dropped, empty, widest = [], 0, None
    for slide in find_slides(patches, patch_format or "auto"):
        case_id = _case_of(slide, table, index)
        reason = _unwanted(slide, frozen=frozen_slides) or _stranger(case_id, by_case, table, index)
        if reason:
            dropped.append((case_id or "", reason, slide.name))
            continue
        extent = measure(slide)
        if extent.patches == 0:
            empty += 1
            dropped.append((case_id, NO_PATCHES, slide.name))
            continue
        widest = widest or (slide, extent)
        if extent.width != widest[1].width:
            msg = (
                f"{slide} has width {extent.width}, {widest[0]} has {widest[1].width}; "
                "features of one cohort come from one encoder"
            )
            raise CohortError(msg)
        by_case[case_id].append((slide, extent))
    if widest is None:
        why = ", ".join(f"{n} x {w}" for w, n in Counter(w for _, w, _ in dropped).items())
        msg = (
            f"{patches}: no slide with patches for any case of {table.rows} rows ({why or 'empty'})"
        )
        raise CohortError(msg)
    return _Plan([sorted(slides, key=_by_name) for slides in by_case.values()], dropped, empty)


def _by_name(item: tuple[Slide, Extent]) -> Slide:
    return item[0]


def _read_index(path: Path) -> dict[str, str]:
    """Slide id without extension to case id."""
    frame = read_text_table(path)
    for column in ("case_id", "slide_id"):
        if column not in frame:
            msg = f"{path}: no column {column!r}; a slide index has case_id and slide_id"
            raise CohortError(msg)
    index: dict[str, str] = {}
    for slide, case in zip(frame["slide_id"], frame["case_id"], strict=True):
        known = index.setdefault(slide.removesuffix(".svs"), case)
        if known != case:
            msg = f"{path}: slide {slide!r} belongs to {known!r} and to {case!r}; keep one"
            raise CohortError(msg)
    return index


def _case_of(slide: Slide, table: Table, index: Mapping[str, str] | None) -> str:
    """Case id of a slide: from the index, the packed file, the TCGA name or the table; or ''."""
    if index is not None:
        return index.get(slide.name, "")
    if slide.packed:
        return slide.name
    if _TCGA_CASE.match(slide.name):
        return slide.name[:12]
    return table.slides.get(slide.name, "")


def _unwanted(slide: Slide, *, frozen: bool) -> str:
    """Why a slide is left out whoever it belongs to; '' when it is not."""
    match = None if slide.packed else _TCGA_SLIDE.match(slide.name)
    if match is None:
        return ""
    if match[1].startswith("1"):
        return f"normal tissue (sample type {match[1]})"
    if not frozen and match[2] in ("TS", "BS", "MS"):
        return f"frozen section ({match[2]})"
    return ""


def _stranger(
    case_id: str, known: Mapping[str, object], table: Table, index: Mapping[str, str] | None
) -> str:
    """Why a slide has no case in the cohort; '' when it has one."""
    if case_id in known:
        return ""
    if case_id in table.dropped:
        return "its case was dropped"
    if case_id:
        return "its case is not in the table"
    return "not in the slide index" if index is not None else "its name tells no case"


def _stream(plan: _Plan, encoder: str, progress: Callable[[int, int], None] | None) -> BagStream:
    """Bags read slide by slide; at any time about one slide is in memory."""
    extents, dtype = plan.extents, plan.dtype()
    coords = all(extent.coords for extent in extents)

    def parts() -> Iterator[tuple[NDArray[np.floating], NDArray[np.integer] | None]]:
        done = 0
        for slides in plan.slides:
            for slide, _ in slides:
                patches = read_slide(slide)
                yield patches.features.astype(dtype, copy=False), patches.coords
                done += 1
                if progress is not None:
                    progress(done, len(extents))

    return BagStream(
        length=np.array([sum(e.patches for _, e in s) for s in plan.slides], np.int64),
        width=extents[0].width,
        dtype=dtype,
        coords=coords,
        parts=parts(),
        encoder=encoder or extents[0].encoder,
    )


def _paired(table: Table, plan: _Plan | None, genes: GeneGroups | None) -> NDArray[np.bool_]:
    """Who has every modality (everyone, if nobody has), (N,)."""
    paired = np.ones(len(table.cases), bool)
    if plan is not None:
        paired &= np.array([len(slides) > 0 for slides in plan.slides], bool)
    if genes is not None:
        paired &= genes.present
    return paired if paired.any() else np.ones(len(paired), bool)


def _report(
    name: str,
    folder: Path,
    table: Table,
    plan: _Plan | None,
    genes: GeneGroups | None,
    empty_groups: tuple[str, ...],
    data_hash: str,
    horizon: float | None,
) -> BuildReport:
    with_it: dict[str, int] = {}
    facts: dict[str, Any] = {}
    if plan is not None:
        with_it["P"] = sum(1 for slides in plan.slides if slides)
        facts = {
            "slides": sum(extent.slides for extent in plan.extents),
            "empty_slides": plan.empty,
            "patches": sum(extent.patches for extent in plan.extents),
            "width": plan.extents[0].width,
            "dtype": str(plan.dtype()),
            "dropped_slides": dict(Counter(w for _, w, _ in plan.dropped if w != NO_PATCHES)),
        }
    if genes is not None:
        with_it["G"] = int(genes.present.sum())
        grouped = np.unique(np.concatenate(list(genes.groups.values())))
        facts["columns"] = kind_counts(genes.kind)
        facts["groups"] = {group: kind_counts(genes.kind[i]) for group, i in genes.groups.items()}
        facts["ungrouped"] = genes.width - len(grouped)
    return BuildReport(
        name=name,
        folder=folder,
        rows=table.rows,
        cases=len(table.cases),
        events=int(table.cases["event"].sum()),
        data_hash=data_hash,
        horizon_months=horizon,
        cases_with=with_it,
        empty_groups=empty_groups,
        ignored=table.ignored,
        dropped=dict(Counter(table.dropped.values())),
        notes=table.notes,
        **facts,
    )


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())
