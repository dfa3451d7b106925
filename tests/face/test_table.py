"""Tables from CSV files: what is read, and each way a file can be wrong."""

import numpy as np
import pytest

from subriem.core.errors import ProblemError
from subriem.zoo.data import iris, read_features, read_table

GOOD = "a,b,kind\n1,2.5,x\n3,4.5,y\n5,0.5,x\n"


def written(folder, content):
    path = folder / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(folder, content, target="kind", **how):
    with pytest.raises(ProblemError) as caught:
        read_table(written(folder, content), target, **how)
    lines = str(caught.value).splitlines()
    assert [line[:10].strip() for line in lines] == ["What", "Got", "Expected", "Try"]
    assert all(len(line) > 10 for line in lines)
    return caught.value


# --- what is read -------------------------------------------------------------------------------------------


def test_classes_become_one_column_each(tmp_path):
    table = read_table(written(tmp_path, GOOD), "kind")
    assert table.kind == "class"
    assert table.classes == ("x", "y")
    assert table.feature_names == ("a", "b")
    np.testing.assert_array_equal(table.features, [[1, 2.5], [3, 4.5], [5, 0.5]])
    np.testing.assert_array_equal(table.targets, [[1, 0], [0, 1], [1, 0]])
    assert [table.label(i) for i in range(3)] == ["x", "y", "x"]


def test_numbers_are_a_regression_unless_told_otherwise(tmp_path):
    text = "a,grade\n1,10\n2,9\n4,10\n"
    assert read_table(written(tmp_path, text), "grade").targets.ravel().tolist() == [10, 9, 10]
    table = read_table(written(tmp_path, text), "grade", kind="class")
    assert table.classes == ("9", "10")  # in the order of the numbers, not of their letters
    assert table.targets.argmax(axis=1).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("x", '"x"').replace("a,", '"a",'),
        GOOD.replace(",", " , ") + "\n\n",
    ],
    ids=["semicolon", "tab", "byte order mark", "CRLF", "quotes", "spaces and blank lines"],
)
def test_spellings_of_one_table_agree(tmp_path, text):
    table = read_table(written(tmp_path, text), "kind")
    assert table.feature_names == ("a", "b")
    np.testing.assert_array_equal(table.features, [[1, 2.5], [3, 4.5], [5, 0.5]])
    assert table.classes == ("x", "y")


def test_a_quoted_cell_may_hold_the_delimiter_and_a_line_break(tmp_path):
    table = read_table(written(tmp_path, 'a,"the, kind"\n1,"p,q"\n2,"r\ns"\n3,"p,q"\n'), "the, kind")
    assert table.classes == ("p,q", "r\ns")


def test_ignored_columns_are_not_looked_at(tmp_path):
    text = "name,a,same,kind\nu,1,7,x\n,2,7,y\nw,3,7,x\n"
    assert read_table(written(tmp_path, text), "kind", ignore=["name", "same"]).feature_names == ("a",)


# --- standardising ------------------------------------------------------------------------------------------


def test_standardised_columns_and_the_way_back():
    raw = iris()
    table = raw.standardised()
    np.testing.assert_allclose(table.features.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(np.mean(table.features**2, axis=0), 1, rtol=1e-13)  # ddof 0
    np.testing.assert_allclose(table.raw_features(), raw.features, rtol=1e-14)
    np.testing.assert_allclose(table.standardised().raw_features(), raw.features, rtol=1e-13)
    np.testing.assert_array_equal(table.targets, raw.targets)


def test_a_numeric_target_is_standardised_too(tmp_path):
    table = read_table(written(tmp_path, "a,y\n1,10\n2,30\n4,50\n"), "y").standardised()
    assert table.target_mean == pytest.approx(30)
    assert table.target_scale == pytest.approx(np.std([10, 30, 50]))
    assert [table.label(i) for i in range(3)] == ["10", "30", "50"]


def test_numbers_that_overflow_when_squared_are_refused(tmp_path):
    table = read_table(written(tmp_path, "a,y\n1e300,1\n-1e300,2\n3e300,4\n"), "y")
    with pytest.raises(ProblemError, match="'a'"):
        table.standardised()


def test_iris_is_the_corrected_one():
    table = iris()
    assert table.targets.sum(axis=0).tolist() == [50, 50, 50]
    np.testing.assert_allclose(table.features.mean(axis=0), [5.843333, 3.057333, 3.758, 1.199333], atol=1e-6)
    assert table.features[34].tolist() == [4.9, 3.1, 1.5, 0.2]
    assert table.features[37].tolist() == [4.9, 3.6, 1.4, 0.1]
    _, first, counts = np.unique(table.features, axis=0, return_index=True, return_counts=True)
    assert first[counts > 1].tolist() == [101]
    assert (table.features[101] == table.features[142]).all()


# --- what is refused ----------------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ProblemError, match="missing"):
        read_table(tmp_path / "no.csv", "kind")
    with pytest.raises(ProblemError, match="cannot be read"):
        read_table(tmp_path, "kind")


@pytest.mark.parametrize(
    ("content", "what", "got"),
    [
        (b"PK\x03\x04\x00\x00", "binary", "zero byte"),
        (b"a,kind\n1,caf\xe9\n2,y\n", "UTF-8", "line 2: byte 0xe9"),
        ("", "empty", "data.csv"),
        ("  \n\n", "empty", "data.csv"),
        ("a,b,kind\n", "too few", "no data row"),
        ("a,b,kind\n1,2,x\n", "too few", "one data row"),
        ("a,a,kind\n1,2,x\n3,4,y\n", "twice", "'a'"),
        (",a,kind\n0,2,x\n1,4,y\n", "no name", "column 1 of 3, its first cell is '0'"),
        ("a,b,kind\n1,2,x\n3,4\n", "another number of cells", "line 3: 2 cells"),
        ('a,b,kind\n\n1,2,"x\ny"\n3,4\n', "another number of cells", "line 5: 2 cells"),
        ('a,b,kind\n1,2,"x\n3,4,y\n', "no valid CSV", "line"),
        ("a,b,kind\n1,?,x\n3,NA,y\n,4,x\n", "missing", "3 in 3 of 3 rows; the first is '?' in column 'b', data row 1"),
        ("a,b,kind\n1,2,x\n3,4,nan\n", "missing", "'nan' in column 'kind', data row 2 (line 3)"),
        ("a,b,kind\n1,2,x\n3,red,y\n5,6,x\n", "not a number", "column 'b', data row 2 (line 3): 'red'"),
        ("a,b,kind\n1,2,x\n3,1_000,y\n5,6,x\n", "not a number", "'1_000'"),
        ("a,b,kind\n1,2,x\n3,inf,y\n5,6,x\n", "infinite", "column 'b', data row 2 (line 3): 'inf'"),
        ("a,b,kind\n1,2,x\n3,1e999,y\n5,6,x\n", "infinite", "'1e999'"),
        ("a,b,c,kind\n1,2,5,x\n3,2,5,y\n5,2,5,x\n", "constant", "'b', 'c'"),
        ("a,b,species\n1,2,x\n3,4,y\n", "not a column", "'kind'"),
        ("kind\nx\ny\n", "only column", "'kind'"),
        ("a,kind\n1,x\n2,x\n", "single class", "kind = 'x'"),
        ("a,kind\n1,5\n2,5\n", "target is constant", "kind = 5 in all 2 rows"),
        ("a,kind\n1,x\n2,y\n3,z\n", "class of its own", "3 different values"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_where_it_is_wrong(tmp_path, content, what, got):
    error = refused(tmp_path, content)
    assert what in error.what
    assert got in error.got


def test_hints_name_the_way_out(tmp_path):
    assert "--ignore 'b' --ignore 'c'" in refused(tmp_path, "a,b,c,kind\n1,2,5,x\n3,2,5,y\n5,2,5,x\n").try_
    assert "--ignore 'b'" in refused(tmp_path, "a,b,kind\n1,2,x\n3,red,y\n").try_
    # a target, or a feature that a fitted network needs, cannot be left out
    assert "--ignore" not in refused(tmp_path, "a,b,kind\n1,2,x\n3,4,\n").try_
    with pytest.raises(ProblemError) as caught:
        read_features(written(tmp_path, "a,b\n1,red\n"), ["a", "b"])
    assert "--ignore" not in caught.value.try_
    assert refused(tmp_path, "a;b;kind\n1;2,5;x\n3;4;y\n").try_ == "write decimals with a point: 2.5"
    found = refused(tmp_path, "a,b,Kind\n1,2,x\n3,4,y\n")
    assert "'a', 'b', 'Kind'" in found.expected
    assert found.try_ == "--target 'Kind'"


def test_contradictory_columns_are_refused(tmp_path):
    assert "ignore" in refused(tmp_path, GOOD, ignore=["c"]).what
    assert "target is ignored" in refused(tmp_path, GOOD, ignore=["kind"]).what
    assert "only column" in refused(tmp_path, GOOD, ignore=["a", "b"]).what
    assert "unknown kind" in refused(tmp_path, GOOD, kind="text").what
    assert "not a number" in refused(tmp_path, GOOD, kind="number").what
