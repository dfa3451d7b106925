"""A fitted network with the scaling of its table: what is needed, beside theta, to predict for new rows.

It is stored as JSON that people can read (`model.json`), next to the run that holds theta (`adapted.npz`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from subriem import io
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import real_array
from subriem.flows.network import network
from subriem.report.study import Study, version

#: Version of the JSON below; a newer one is refused.
FORMAT = 1
MODEL, RUN = "model.json", "adapted.npz"


@dataclass(frozen=True, eq=False)
class Predictor:
    """A network with its parameters, and the units of the table it was fitted to; made by `load_predictor`.

    Attributes
    ----------
    theta : (K,) ndarray
        The last point of the adapted flow.
    model : dict
        The content of model.json: "network" (widths, activation, biases), "features" (name, mean, scale), "target"
        (name, kind, classes, mean, scale), "ended" (status of the run), "command", "subriem" (version).

    Examples
    --------
    >>> import tempfile
    >>> from subriem.cli import Settings, study_of
    >>> from subriem.zoo.data import iris
    >>> study = study_of(iris(), Settings(widths=(4, 5, 3), seconds=0.0, standard_seconds=0.0))
    >>> folder = tempfile.mkdtemp()
    >>> _ = io.save(study.adapted, folder + "/adapted.npz"), save_model(study, folder)
    >>> load_predictor(folder).outputs([[5.1, 3.5, 1.4, 0.2], [6.0, 2.2, 4.0, 1.0]]).shape
    (2, 3)
    """

    theta: Array
    model: dict[str, Any]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that a row has, in order."""
        return tuple(feature["name"] for feature in self.model["features"])

    @property
    def target_name(self) -> str:
        """The column that is predicted."""
        return self.model["target"]["name"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty for a numeric target."""
        return tuple(self.model["target"]["classes"])

    def outputs(self, rows: ArrayLike) -> Array:
        """Return the outputs of the network for rows in the units of the table.

        Parameters
        ----------
        rows : (m, p) array_like
            One column a feature, in the order of `feature_names`.

        Returns
        -------
        (m, Q) ndarray
            One column a class, near 1 where the network says so (not a probability); or one column of numbers in the
            units of the target.

        Raises
        ------
        ProblemError
            If the rows are not finite numbers or do not have one column a feature.
        """
        raw = real_array(rows, "rows", ndim=2)
        if raw.shape[1] != len(self.feature_names):
            expected = f"{len(self.feature_names)} columns: {', '.join(self.feature_names[:8])}"
            raise ProblemError("the rows do not fit the model", f"{raw.shape[1]} columns", expected, "feature_names")
        means, scales = (np.array([feature[key] for feature in self.model["features"]]) for key in ("mean", "scale"))
        made, target = self.model["network"], self.model["target"]
        net = network(made["widths"], (raw - means) / scales, made["activation"], biases=made["biases"])
        return net.value(self.theta).reshape(raw.shape[0], -1) * target["scale"] + target["mean"]

    def predict(self, rows: ArrayLike) -> list[str] | list[float]:
        """Return the class of the largest output, or the number, of each row (see `outputs`)."""
        outputs = self.outputs(rows)
        return [self.classes[best] for best in outputs.argmax(axis=1)] if self.classes else outputs[:, 0].tolist()


def save_model(study: Study, folder: str | os.PathLike[str]) -> Path:
    """Write model.json, which makes a predictor of the run saved beside it, and return its path."""
    table, net = study.table, study.network
    columns = zip(table.feature_names, table.means.tolist(), table.scales.tolist(), strict=True)
    model = {
        "format": FORMAT,
        "subriem": version(),
        "command": study.command,
        "data": table.source,
        "seed": study.seed,
        "start": study.start,
        "ended": study.adapted.status.name,
        "parameters": RUN,
        "network": {"widths": list(net.widths), "activation": net.activation, "biases": net.biases},
        "features": [{"name": name, "mean": mean, "scale": scale} for name, mean, scale in columns],
        "target": {
            "name": table.target_name,
            "kind": table.kind,
            "classes": list(table.classes),
            "mean": table.target_mean,
            "scale": table.target_scale,
        },
        "meaning": "network input = (feature - mean)/scale; prediction = scale * network output + mean; theta is "
        f"subriem.io.load({RUN!r}).theta; of classes the one with the largest output",
    }
    path = Path(folder) / MODEL
    path.write_text(json.dumps(model, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load_predictor(folder: str | os.PathLike[str]) -> Predictor:
    """Read the predictor that `subriem flow` left in a folder.

    Parameters
    ----------
    folder : path
        With model.json and adapted.npz.

    Returns
    -------
    Predictor

    Raises
    ------
    ProblemError
        If a file is missing or damaged, of a newer format, or the two do not belong together.
    """
    path = Path(folder) / MODEL
    hint = "subriem flow DATA.csv --target COLUMN --out FOLDER"
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        if (newer := int(model["format"])) > FORMAT:
            raise ProblemError("the model is of a newer format", f"{newer}", f"at most {FORMAT}", "update subriem")
        found = Predictor(io.load(path.with_name(RUN)).theta, model)
        found.outputs(np.zeros((1, len(found.feature_names))))  # a model that does not fit its run shows here
    except FileNotFoundError as error:
        raise ProblemError("the folder holds no model", str(path), "the folder of a study", hint) from error
    except ProblemError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        got = f"{path}: {type(error).__name__}: {error}"
        raise ProblemError("the model cannot be read", got, "a folder written by subriem flow", hint) from error
    return found
