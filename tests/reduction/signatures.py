"""Signature matrices of known problems, written as "variable:order" lists, one an equation."""

from __future__ import annotations

from subriem.reduction.structure import Sigma, Structure, analyse


def structure(equations: dict[str, str]) -> Structure:
    """Analyse a system given as {"rod": "x:0 y:0"}; variables in order of appearance."""
    entries = [(i, *term.split(":")) for i, terms in enumerate(equations.values()) for term in terms.split()]
    variables = list(dict.fromkeys(name for _, name, _ in entries))
    rows, cols, orders = [], [], []
    for row, name, order in entries:
        rows.append(row)
        cols.append(variables.index(name))
        orders.append(int(order))
    return analyse(Sigma.from_entries(rows, cols, orders, (len(equations), len(variables))), list(equations), variables)


def pendulum(rods: int = 1) -> dict[str, str]:
    """Return the pendulum with its rod equation repeated, each with a multiplier."""
    forces = " ".join(f"lam{k}:0" for k in range(rods))
    return {"horizontal": f"x:2 {forces}", "vertical": f"y:2 {forces}"} | {f"rod{k}": "x:0 y:0" for k in range(rods)}


SLIDER_CRANK = {
    "x1''": "x1:2 x2:0 lam1:0 lam2:0",
    "y1''": "y1:2 y2:0 lam1:0 lam2:0",
    "x2''": "x2:2 x1:0 lam2:0",
    "y2''": "y2:2 y1:0 lam2:0 lam3:0",
    "crank": "x1:0 y1:0",
    "rod": "x1:0 y1:0 x2:0 y2:0",
    "slide": "y2:0",
}

# C y' = -f: both ends of each capacitor, so the analysis takes all of y' as determined
TRANSISTOR = {
    "node1": "y1:1 y2:1",
    "node2": "y1:1 y2:1 y3:0",
    "node3": "y3:1 y2:0",
    "node4": "y4:1 y5:1 y2:0 y3:0",
    "node5": "y4:1 y5:1 y6:0",
    "node6": "y6:1 y5:0",
    "node7": "y7:1 y8:1 y5:0 y6:0",
    "node8": "y7:1 y8:1",
}


def chain(length: int) -> dict[str, str]:
    """Return y1 = sin t, y1' = y2, ..., of index `length`."""
    return {"given": "y1:0"} | {f"step{k}": f"y{k}:1 y{k + 1}:0" for k in range(1, length)}


def reissig(pairs: int) -> dict[str, str]:
    """Return Reissig, Martinson and Barton's system: of index 1 and freedom 0, whatever the structure says."""
    found = {}
    for k in range(pairs):
        both = f"x{2 * k + 1}:1 x{2 * k + 2}:1"
        found |= {f"sine{k}": f"{both} x{2 * k}:0", f"cosine{k}": f"{both} x{2 * k + 1}:0"}
    return found | {"last": f"x{2 * pairs}:0"}


def fekete(points: int, *, stabilised: bool = False) -> dict[str, str]:
    """Return points on a sphere: raw of index 3, or with velocities and a second multiplier of index 2."""
    found = {}
    everywhere = " ".join(f"{axis}{k}:0" for k in range(points) for axis in "xyz")
    for k in range(points):
        position = " ".join(f"{axis}{k}:0" for axis in "xyz")
        for axis in "xyz":
            if stabilised:
                found[f"{axis}{k}'"] = f"{axis}{k}:1 v{axis}{k}:0 mu{k}:0"
                found[f"{axis}{k}''"] = f"v{axis}{k}:1 {everywhere} lam{k}:0"
            else:
                found[f"{axis}{k}''"] = f"{axis}{k}:2 {everywhere} lam{k}:0"
        found[f"sphere{k}"] = position
        if stabilised:
            found[f"tangent{k}"] = position + "".join(f" v{axis}{k}:0" for axis in "xyz")
    return found


CAR_AXIS = {
    "xl''": "xl:2 yl:0 lam1:0 lam2:0 xr:0",
    "yl''": "yl:2 xl:0 lam1:0 lam2:0 yr:0",
    "xr''": "xr:2 yr:0 lam2:0 xl:0",
    "yr''": "yr:2 xr:0 lam2:0 yl:0",
    "road": "xl:0 yl:0",
    "axis": "xl:0 yl:0 xr:0 yr:0",
}

AKZO = {
    "y1'": "y1:1 y2:0 y3:0 y4:0 y5:0",
    "y2'": "y2:1 y1:0 y4:0 y6:0",
    "y3'": "y3:1 y1:0 y2:0 y4:0 y5:0",
    "y4'": "y4:1 y1:0 y3:0 y5:0",
    "y5'": "y5:1 y1:0 y2:0 y3:0 y4:0 y6:0",
    "equilibrium": "y1:0 y4:0 y6:0",
}

SPHERE = {"x''": "x:2 l:0 m:0", "y''": "y:2 l:0 m:0", "z''": "z:2 l:0 m:0", "sphere": "x:0 y:0 z:0"}

JAY = {
    "y1'": "y1:1 y2:0 z1:0 z2:0",
    "y2'": "y2:1 y1:0 z2:0",
    "z1'": "z1:1 y1:0 y2:0 z2:0 u:0",
    "z2'": "z2:1 y1:0 y2:0 u:0",
    "constraint": "y1:0 y2:0",
}

MARTINET = {
    "x'": "x:1 u1:0",
    "y'": "y:1 u2:0",
    "z'": "z:1 y:0 u1:0",
    "px'": "px:1",
    "py'": "py:1 y:0 pz:0 u1:0",
    "pz'": "pz:1",
    "H1": "px:0 y:0 pz:0",
    "H2": "py:0",
}

#: name: equations, structural index, structural freedom.
KNOWN = {
    "ode": ({"first": "x:1 y:0", "second": "y:2 x:0"}, 0, 3),
    "pendulum": (pendulum(), 3, 2),
    "rod twice": (pendulum(2), 3, 0),
    "slider-crank": (SLIDER_CRANK, 3, 2),
    "transistor": (TRANSISTOR, 0, 8),  # true: 1, 5
    "akzo": (AKZO, 1, 5),
    "robertson": ({"y1'": "y1:1 y2:0 y3:0", "y2'": "y2:1 y1:0 y3:0", "mass": "y1:0 y2:0 y3:0"}, 1, 2),
    "car axis": (CAR_AXIS, 3, 4),
    "fekete": (fekete(20), 3, 80),
    "fekete, 160 unknowns": (fekete(20, stabilised=True), 2, 80),
    "jay": (JAY, 3, 2),
    "pair": ({"sine": "a:1 b:1", "cosine": "a:1 b:1"}, 0, 2),  # true: 1, 1
    "sphere and plane": (SPHERE | {"plane": "x:0 y:0 z:0"}, 3, 2),
    "sphere and level": (SPHERE | {"x''": "x:2 l:0", "y''": "y:2 l:0", "level": "z:0"}, 3, 2),
    "martinet": (MARTINET, 2, 4),
    **{f"chain of {k}": (chain(k), k, 0) for k in (1, 2, 6, 201)},
    **{f"reissig {k}": (reissig(k), k + 1, k) for k in (1, 2, 3, 5)},
}
