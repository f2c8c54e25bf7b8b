from pathlib import Path

import pytest

from survbench.errors import ResultError
from survbench.report import boards, published, render
from survbench.report.published import paper_of, papers

HEADER = "source,table,method,missing,cohort,c_index,std\n"


def test_published_rows_stand_on_boards_of_their_source(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        HEADER + "A,1,mcat,none,blca,0.65,0.03\nA,1,snn,P,blca,0.6,\nB,2,mcat,none,blca,,\n"
    )
    rows = published(path)
    assert [board.title for board in boards(rows)] == [
        "blca: published in A, table 1, not measured here",
        "blca: published in B, table 2, not measured here",
    ]
    assert [row.c_index for row in rows[:2]] == [0.65, 0.6]
    text = render(rows)
    assert "0.650 ± 0.030" in text
    assert "the source gives no number" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEADER.replace("std", "sd"), "row 1: no column 'std'"),
        (HEADER + "A,1,mcat,none,blca,high,\n", "row 2, column 'c_index': 'high'"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(ResultError, match=told):
        published(path)


def test_every_number_of_the_reference_is_read(shared: Path) -> None:
    path = shared / "reference" / "published.csv"
    rows = published(path)
    assert len(rows) == len(path.read_text().splitlines()) - 1


def test_what_comes_with_survbench_is_the_reference_unchanged(shared: Path) -> None:
    def lines(file: Path) -> list[str]:
        return file.read_text().splitlines()[1:]

    folder = Path(__file__).parents[2] / "leaderboards" / "published"
    shipped = [line for file in folder.glob("*.csv") for line in lines(file)]
    assert sorted(shipped) == sorted(lines(shared / "reference" / "published.csv"))


def test_every_published_number_is_of_a_known_paper_and_file() -> None:
    known = papers()
    assert {paper_of(row) for row in published()} == set(known)
    folder = Path(__file__).parents[2] / "leaderboards" / "published"
    for name in known:
        file = folder / f"{name.lower()}.csv"
        assert {paper_of(row) for row in published(file)} == {name}
