"""What a study leaves is enough to predict: for its own rows as the run had them, and for new ones."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

import subriem as sr
from subriem.cli import main
from subriem.core.errors import ProblemError
from subriem.report import load_predictor, save_model
from subriem.zoo.data import iris, read_features
from tests.face.studies import study, table


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Iris with a network of 67 parameters, along the damped flow until most of the cost is gone."""
    flowers = iris().standardised()
    net = sr.flows.network([4, 8, 3], flowers.features)
    flow = sr.flows.adapted(net, sr.flows.squared_error(flowers.targets), damping=1.0)
    sol = sr.follow(flow, net.initial(seed=0), until=sr.Until(s=2.0 * 150), rtol=1e-3)
    case = replace(study(seconds=0.0), table=flowers, network=net, flow=flow, adapted=sol)
    folder = tmp_path_factory.mktemp("iris")
    sr.io.save(sol, folder / "adapted.npz")
    save_model(case, folder)
    return case, folder


def saved(case, folder):
    sr.io.save(case.adapted, folder / "adapted.npz")
    save_model(case, folder)
    return load_predictor(folder)


def table_of(text):
    return list(csv.reader(io.StringIO(text)))


def test_iris_comes_back_from_its_own_raw_rows(fitted):
    case, folder = fitted
    predictor = load_predictor(folder)
    raw = iris().features
    outputs = predictor.outputs(raw)
    np.testing.assert_allclose(outputs.ravel(), case.network.value(case.adapted.theta), atol=1e-9)
    named = predictor.predict(raw)
    assert named == [case.table.classes[q] for q in case.adapted["x"][-1].reshape(150, 3).argmax(axis=1)]
    assert sum(name == case.table.label(i) for i, name in enumerate(named)) > 140
    # one row alone is what it is among others
    np.testing.assert_allclose(predictor.outputs(raw[7:8]), outputs[7:8], atol=1e-9)


def test_the_command_finds_columns_by_name(fitted, tmp_path, capsys):
    _, folder = fitted
    new = tmp_path / "new.csv"
    new.write_text(
        "petal_width;comment;sepal_length;petal_length;sepal_width\r\n0.2;;5.1;1.4;3.5\r\n2.1;x;6.5;5.8;3.0\r\n",
        encoding="utf-8-sig",
    )
    assert main(["predict", str(folder), str(new)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    head, *rows = table_of(printed.out)
    assert head == ["row", "species", "output setosa", "output versicolor", "output virginica"]
    assert [row[:2] for row in rows] == [["1", "setosa"], ["2", "virginica"]]
    by_hand = load_predictor(folder).outputs([[5.1, 3.5, 1.4, 0.2], [6.5, 3.0, 5.8, 2.1]])
    np.testing.assert_allclose(np.array(rows)[:, 2:].astype(float), by_hand, rtol=1e-5, atol=1e-9)


def test_numbers_come_in_the_units_of_the_target(tmp_path):
    case = study(kind="number", seconds=0.0)
    predictor = saved(case, tmp_path)
    raw = table(kind="number")  # as the file has it: 7 + 100 sin(width)
    missed = np.array(predictor.predict(raw.features)) - raw.targets[:, 0]
    assert np.sqrt(np.mean(missed**2)) == pytest.approx(case.score(case.adapted["x"][-1]), rel=1e-9)
    assert predictor.classes == ()


def test_a_run_that_ended_early_says_so(tmp_path, capsys):
    saved(study(seconds=0.0), tmp_path)
    (tmp_path / "new.csv").write_text("width,height\n0.5,1\n")
    assert main(["predict", str(tmp_path), str(tmp_path / "new.csv")]) == 0
    assert "ended early (BUDGET_SPENT)" in capsys.readouterr().err


def test_the_model_holds_what_is_needed_to_repeat_it(tmp_path):
    case = study(seconds=0.0)
    saved(case, tmp_path)
    model = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert model["subriem"] == sr.__version__
    assert model["command"] == case.command
    assert [feature["name"] for feature in model["features"]] == ["width", "height"]
    assert model["target"]["classes"] == ["<b>red</b>", "blue"]
    net = model["network"]
    assert (tuple(net["widths"]), net["activation"], net["biases"]) == (case.network.widths, "tanh", True)


def test_models_that_cannot_be_used_are_refused(fitted, tmp_path, capsys):
    with pytest.raises(ProblemError, match="no model"):
        load_predictor(tmp_path)
    saved(study(seconds=0.0), tmp_path)
    path = tmp_path / "model.json"
    good = json.loads(path.read_text(encoding="utf-8"))
    for change, words in (
        ({"format": 99}, "newer format"),
        ({"network": {"widths": [2, 5, 2], "activation": "tanh", "biases": True}}, "wrong shape"),
        ({"features": 3}, "cannot be read"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(ProblemError, match=words):
            load_predictor(tmp_path)
    path.write_text("{")
    assert main(["predict", str(tmp_path), "new.csv"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(ProblemError, match="do not fit"):
        load_predictor(fitted[1]).outputs([[1.0, 2.0]])


def test_new_rows_need_the_columns_of_the_fit(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("Width,height\n1,2\n")
    with pytest.raises(ProblemError, match="'width'") as caught:
        read_features(path, ["width", "height"])
    assert caught.value.try_ == "rename 'Width' to 'width'"
    path.write_text("width,height\n1,\n")
    with pytest.raises(ProblemError, match="missing"):
        read_features(path, ["width", "height"])
    path.write_text("width,height\n")
    with pytest.raises(ProblemError, match="at least one"):
        read_features(path, ["width", "height"])
