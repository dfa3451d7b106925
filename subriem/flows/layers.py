"""The derivatives of a layered network at one theta, all from one forward pass.

Layers l = 1..L: A_0 the inputs (N, width_0), Z_l = A_{l-1} W_l^T + b_l, A_l = a(Z_l) for l < L, and x = Z_L
(N, Q). The seed Delta_l = dx/dZ_l has one row of width_l for each output of each sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from subriem.flows.activations import Activation

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
#: Where an array lies in theta, and its shape.
Place = tuple[slice, tuple[int, ...]]
#: Rows of a tile of the Gram matrix: tile and factors stay in cache, and no second n x n array is made.
TILE = 384


class Names(Sequence[str]):
    """Names made when they are asked for.

    Parameters
    ----------
    count : int
    name : callable
        index -> str, for 0 <= index < count.
    """

    def __init__(self, count: int, name: Callable[[int], str]) -> None:
        self._range, self._name = range(count), name

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._name(i) for i in self._range[index]]
        return self._name(self._range[index])


class Layout:
    """Where the arrays of each layer lie in theta: W_l (row-major, shape (out, in)), then b_l.

    Attributes
    ----------
    places : dict
        name -> (slice, shape), in the order of theta.
    size : int
        K.
    """

    def __init__(self, widths: tuple[int, ...], biases: bool) -> None:
        self.places: dict[str, Place] = {}
        self.size, self.biases = 0, biases
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
            self._add(f"W{layer}", (fan_out, fan_in))
            if biases:
                self._add(f"b{layer}", (fan_out,))
        self._weights = [place for name, place in self.places.items() if name[0] == "W"]
        self._biases = [place for name, place in self.places.items() if name[0] == "b"]

    def _add(self, name: str, shape: tuple[int, ...]) -> None:
        start = self.size
        self.size += int(np.prod(shape))
        self.places[name] = (slice(start, self.size), shape)

    def views(self, v: Array) -> dict[str, Array]:
        """Return views of an array (..., K) by name, each (..., *shape)."""
        return dict(zip(self.places, _views(v, self.places.values()), strict=True))

    def split(self, v: Array) -> tuple[list[Array], list[Array]]:
        """Return views W_1 … W_L and b_1 … b_L of an array (..., K); the latter is empty without biases."""
        return _views(v, self._weights), _views(v, self._biases)

    @cached_property
    def indices(self) -> tuple[list[Indices], list[Indices]]:
        """Indices into theta of the entries of W_1 … W_L and b_1 … b_L, in their shapes."""
        entries = {name: np.arange(part.start, part.stop).reshape(shape) for name, (part, shape) in self.places.items()}
        weights = [index for name, index in entries.items() if name[0] == "W"]
        return weights, [index for name, index in entries.items() if name[0] == "b"]

    def name(self, index: int) -> str:
        """Return the name of an entry of theta, like "W1[0,2]" or "b1[0]"."""
        for name, (part, shape) in self.places.items():
            if index < part.stop:
                place = np.unravel_index(index - part.start, shape)
                return f"{name}[{','.join(str(int(i)) for i in place)}]"
        raise IndexError(index)


class Pass:
    """A forward pass and the derivatives it gives; keeps its own copy of theta.

    Parameters
    ----------
    layout : Layout
    rule : Activation
    inputs : (N, width_0) ndarray
    theta : (K,) ndarray

    Attributes
    ----------
    x : (N, Q) ndarray
    activations : list of (N, width_l) ndarray
        A_0 … A_{L-1}.
    slopes : list of (N, width_l) ndarray
        a'(Z_1) … a'(Z_{L-1}).
    """

    def __init__(self, layout: Layout, rule: Activation, inputs: Array, theta: Array) -> None:
        self.layout, self.rule = layout, rule
        self._bits = theta.tobytes()  # the copy of theta, in the form that compares fastest
        self.weights, biases = layout.split(np.frombuffer(self._bits))
        self._ones = np.ones(inputs.shape[0])
        self.activations: list[Array] = [inputs]
        self.slopes: list[Array] = []
        z = inputs
        for layer, weight in enumerate(self.weights):
            if layer:
                a, slope = rule.evaluate(z)
                self.activations.append(a)
                self.slopes.append(slope)
            z = self.activations[-1] @ weight.T
            if biases:
                z += biases[layer]
        self.x = z

    def made_at(self, theta: Array) -> bool:
        """Whether the pass was made at theta, bit by bit: NaN counts as itself, -0 is not 0."""
        return self._bits == theta.tobytes()

    @cached_property
    def seeds(self) -> list[Array]:
        """Delta_1 … Delta_{L-1}, each (N, Q, width_l); Delta_L, identities, is not stored."""
        seeds: list[Array] = []
        outputs = self.x.shape[1]
        for slope, weight in zip(self.slopes[::-1], self.weights[:0:-1], strict=True):
            # one product over all N Q rows: a stack of N products with Q rows each would be slow
            above = _rows(seeds[-1]) @ weight if seeds else weight
            seeds.append(above.reshape(-1, outputs, weight.shape[1]) * slope[:, None, :])
        return seeds[::-1]

    # -- first derivatives ----------------------------------------------------------------------

    def tangents(self, v: Array) -> list[Array]:
        """Return dZ_1[v] … dZ_L[v], each (N, width_l)."""
        weights, biases = self.layout.split(v)
        tangents: list[Array] = []
        for layer, weight in enumerate(weights):
            z = self.activations[layer] @ weight.T
            if biases:
                z += biases[layer]
            if layer:
                z += (self.slopes[layer - 1] * tangents[-1]) @ self.weights[layer].T
            tangents.append(z)
        return tangents

    def vjp(self, w: Array) -> Array:
        """Return D^T w, shape (K,)."""
        out = np.empty(self.layout.size)
        weights, biases = self.layout.split(out)
        seed = w.reshape(self.x.shape)
        for layer in range(len(weights) - 1, -1, -1):
            np.matmul(seed.T, self.activations[layer], out=weights[layer])
            if biases:
                np.matmul(self._ones, seed, out=biases[layer])
            if layer:
                seed = (seed @ self.weights[layer]) * self.slopes[layer - 1]
        return out

    def jacobian(self) -> Array:
        """Return D, shape (n, K)."""
        samples, outputs = self.x.shape
        d = np.empty((samples, outputs, self.layout.size))
        weights, biases = self.layout.split(d)
        identity = np.broadcast_to(np.eye(outputs), (samples, outputs, outputs))
        for layer, seed in enumerate([*self.seeds, identity]):
            np.multiply(seed[..., None], self.activations[layer][:, None, None, :], out=weights[layer])
            if biases:
                biases[layer][...] = seed
        return d.reshape(samples * outputs, -1)

    def gram(self) -> Array:
        """Return D D^T = sum_l (Delta_l Delta_l^T) ∘ (A_{l-1} A_{l-1}^T + 1), shape (n, n).

        Each layer of D is a Khatri-Rao product, so D is never formed; the + 1 stands for the biases.
        """
        samples, outputs = self.x.shape
        step = max(1, TILE // outputs)
        tiles = [slice(start, min(start + step, samples)) for start in range(0, samples, step)]
        if len(tiles) == 1:
            return self._tile(tiles[0], tiles[0]).reshape(samples * outputs, -1)
        gram = np.empty((samples, outputs, samples, outputs))
        for number, rows in enumerate(tiles):
            for columns in tiles[: number + 1]:
                tile = self._tile(rows, columns)
                gram[rows, :, columns] = tile
                if columns is not rows:
                    gram[columns, :, rows] = tile.transpose(2, 3, 0, 1)
        return gram.reshape(samples * outputs, -1)

    def _tile(self, rows: slice, columns: slice) -> Array:
        """Return the block of the Gram matrix of two ranges of samples, shape (rows, Q, columns, Q)."""
        outputs = self.x.shape[1]
        shape = (rows.stop - rows.start, outputs, columns.stop - columns.start, outputs)
        tile = np.zeros(shape)
        last = self._kernel(self.activations[-1], rows, columns)
        for output in range(outputs):
            tile[:, output, :, output] = last
        spread = tile.reshape(shape[0], outputs, -1)
        for seed, a in zip(self.seeds, self.activations[:-1], strict=True):
            product = (_rows(seed[rows]) @ _rows(seed[columns]).T).reshape(spread.shape)
            # one factor for each pair of samples, spread over Q outputs so that the inner axis is long
            product *= np.repeat(self._kernel(a, rows, columns), outputs, axis=1)[:, None, :]
            spread += product
        return tile

    def _kernel(self, a: Array, rows: slice, columns: slice) -> Array:
        """Return A A^T + 1, or without 1 if there are no biases, for two ranges of samples."""
        kernel = a[rows] @ a[columns].T
        if self.layout.biases:
            kernel += 1.0
        return kernel

    # -- second derivatives ----------------------------------------------------------------------

    def second(self, u: Array, v: Array) -> Array:
        """Return D^2 x[u, v], shape (N, Q), forward over forward."""
        weights_u, weights_v = self.layout.split(u)[0], self.layout.split(v)[0]
        tangents_u, tangents_v = self.tangents(u), self.tangents(v)
        z_uv = np.zeros_like(tangents_u[0])
        for layer in range(1, len(self.weights)):
            slope, z_u, z_v = self.slopes[layer - 1], tangents_u[layer - 1], tangents_v[layer - 1]
            # Z = A W^T + b: Z_uv = A_uv W^T + A_u V^T + A_v U^T with A_uv = a'' Z_u Z_v + a' Z_uv
            a_uv = self._curvature(layer) * z_u * z_v + slope * z_uv
            z_uv = a_uv @ self.weights[layer].T
            z_uv += (slope * z_u) @ weights_v[layer].T
            z_uv += (slope * z_v) @ weights_u[layer].T
        return z_uv

    def hvp(self, lam: Array, v: Array) -> Array:
        """Return sum_a lam_a D^2 x_a v, shape (K,): the tangent in direction v of the sweep of `vjp`."""
        directions, tangents = self.layout.split(v)[0], self.tangents(v)
        out = np.empty(self.layout.size)
        weights, biases = self.layout.split(out)
        seed = lam.reshape(self.x.shape)
        turn = np.zeros_like(seed)  # the tangent of the seed
        for layer in range(len(weights) - 1, -1, -1):
            np.matmul(turn.T, self.activations[layer], out=weights[layer])
            if biases:
                np.matmul(self._ones, turn, out=biases[layer])
            if layer:
                slope, z_v = self.slopes[layer - 1], tangents[layer - 1]
                weights[layer] += seed.T @ (slope * z_v)
                back = seed @ self.weights[layer]
                turn = slope * (turn @ self.weights[layer] + seed @ directions[layer])
                turn += self._curvature(layer) * z_v * back
                seed = slope * back
        return out

    def _curvature(self, layer: int) -> Array:
        """Return a''(Z_layer), shape (N, width)."""
        return self.rule.curvature(self.activations[layer], self.slopes[layer - 1])


def _rows(seed: Array) -> Array:
    return seed.reshape(-1, seed.shape[-1])


def _views(v: Array, places: Iterable[Place]) -> list[Array]:
    """Return views of the arrays at the places of v (..., K); splitting an axis never copies."""
    return [v[..., part].reshape(v.shape[:-1] + shape) for part, shape in places]
