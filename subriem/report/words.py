"""What a study found, in plain words; the report and the command line say the same."""

from __future__ import annotations

import numpy as np

from subriem.core.status import Status
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.regime import Regime
from subriem.report.study import RowGroup, Study


def verdict(study: Study) -> str:
    """Return the outcome of the adapted flow in one or two sentences."""
    sol, n = study.adapted, study.network.n_out
    if sol.status is Status.CANCELLED:
        return f"The run was interrupted at {_where(sol)}; this is what it had found: {_left(sol)}."
    if not sol.status.success:
        early = f"The adapted flow ended early, at {_where(sol)}: {sol.status.value}."
        return f"{early} {_left(sol, capital=True)}. ({sol.message})"
    if sol.line is None:
        if sol.cost_ratio > study.tolerance:
            return f"The adapted flow came to rest at an equilibrium: {_left(sol)}. {sol.message}."
        return f"The adapted flow reached its goal: {_left(sol)}."
    moved = n if not study.groups else n - sum(group.relations for group in study.groups)
    line = "went to their targets along a straight line in output space"
    if study.adapted.conflicts:
        against = [group.name for group in study.groups if group.contradict]
        names = "; ".join(against[:4]) + (f" and {len(against) - 4} more groups" if len(against) > 4 else "")
        return (
            f"The adapted flow reached the lowest cost there is: the {moved} directions of output that parameters can "
            f"move {line}. Contradicting targets ({names}) leave C = {study.floor:.4g}, which nothing removes."
        )
    whole = f"all {n} outputs" if moved == n else f"all {n} outputs ({moved} of them independent)"
    return f"The adapted flow fits the table exactly: {whole} {line}; {_left(sol)}."


def _where(sol: FlowSolution) -> str:
    return f"{sol.clock} = {sol.grid[-1]:.4g}"


def _left(sol: FlowSolution, capital: bool = False) -> str:
    last = float(sol["cost"][-1])
    ratio = last / sol.cost0 if sol.cost0 > 0 else 0.0
    text = (
        f"the cost fell from {sol.cost0:.4g} to {last:.4g} ({f'{ratio:.1%}' if ratio > 1e-3 else f'{ratio:.1e}'} of it)"
    )
    return text[0].upper() + text[1:] if capital else text


def rank_line(study: Study) -> str:
    """Return rank, regime and rows in one line."""
    regime = study.adapted.regime
    if regime is None:
        return "rank not decided"
    text = f"rank D = {regime.rank} of {min(regime.n_in, regime.n_out)}, {regime.name.value}"
    return text + "".join(f"; {group_sentence(group)}" for group in study.groups[:3])


def group_sentence(group: RowGroup) -> str:
    """Return what ties rows to each other, and whether their targets agree."""
    if len(group.rows) == 1:
        return f"{group.name}: an output there is moved by no parameter, or is tied to the other outputs of the row"
    why = "have the same features" if group.same_features else "are tied to each other"
    return f"{group.name} {why}, their targets {'contradict each other' if group.contradict else 'agree'}"


def rank_findings(study: Study, most: int = 12) -> list[str]:
    """Return the findings on rank, row by row."""
    regime = study.adapted.regime
    if regime is None:
        return []
    n, k, low = regime.n_out, regime.n_in, min(regime.n_in, regime.n_out)
    found = [_group_paragraph(study, regime, group) for group in study.groups[:most]]
    if len(study.groups) > most:
        found.append(f"… and {len(study.groups) - most} more groups of rows.")
    if not study.groups:
        if regime.rank == low and k >= n:
            found.append(
                f"Rank D = {regime.rank} of {n}: every output can be moved on its own; no rows are tied to each other."
            )
        elif regime.rank == low:
            found.append(
                f"Rank D = {regime.rank} = K, fewer than the n = {n} outputs: the network has too few parameters to "
                "move every "
                "output on its own, so there is no straight line to the targets and a rest of the cost may remain."
            )
        else:
            found.append(
                f"Rank D = {regime.rank}, below both K = {k} and n = {n}: some parameters have no effect of their own."
            )
        found.extend(_duplicates(study))
    if regime.dependence is not None and not regime.persistent:
        found.append(
            "These relations hold only at the start, not nearby: the theory of the straight line does not apply."
        )
    return found


def _group_paragraph(study: Study, regime: Regime, group: RowGroup) -> str:
    total = f"rank D = {regime.rank} of {min(regime.n_in, regime.n_out)}"
    if len(group.rows) == 1:
        return f"Data {group_sentence(group)} (it lowers the rank by {group.relations}; {total})."
    lost = f"This lowers the rank by {group.relations}: {total}."
    if group.same_features:
        why = "have the same features, so their outputs are the same function of the parameters"
    else:
        why = "have linearly dependent outputs: the network cannot move them independently"
    text = f"Data {group.name} {why}. {lost}"
    labels = ", ".join(f"row {row}: {study.table.label(row - 1)}" for row in group.rows[:8])
    if group.contradict:
        return f"{text} Their targets contradict each other ({labels}): this leaves a floor of the cost."
    return f"{text} Their targets agree ({labels}): nothing is lost."


def _duplicates(study: Study) -> list[str]:
    """Return rows with equal features whose targets differ, where the rank does not show them (K < n)."""
    found = []
    for samples in study.network.duplicate_inputs:
        targets = study.table.targets[list(samples)]
        if not (targets == targets[0]).all():
            names = ", ".join(str(i + 1) for i in samples[:8])
            found.append(f"Data rows {names} have the same features and different targets: no network fits them all.")
    return found[:8]


def versus(study: Study) -> list[list[str]]:
    """Return the comparison of the runs, one row a quantity; the first row names the columns."""
    runs = [("adapted", study.adapted), ("standard", study.standard)]
    shown = [(name, sol) for name, sol in runs if sol is not None]
    score = "rows right" if study.table.kind == "class" else "rms error"
    unit = " %" if study.table.kind == "class" else ""
    rows = [["", *(f"{name} flow" for name, _ in shown)]]
    rows.append(["ended with", *(sol.status.name for _, sol in shown)])
    rows.append(["cost at the end, (C - floor)/C0", *(f"{_excess(study, sol):.1e}" for _, sol in shown)])
    rows.append(["time reached, s/N", *(_time(study, sol) for _, sol in shown)])
    rows.append([score, *(f"{study.score(sol['x'][-1]):.4g}{unit}" for _, sol in shown)])
    rows.append(["evaluations of the network", *(f"{sol.nfev}" for _, sol in shown)])
    rows.append(["seconds", *(f"{sol.stats['seconds']:.1f}" for _, sol in shown)])
    rows.append(["length of the parameter path", *(f"{sol.path_length:.4g}" for _, sol in shown)])
    return rows


def _excess(study: Study, sol: FlowSolution) -> float:
    return max(float(sol["cost"][-1]) - study.floor, 0.0) / study.adapted.cost0


def _time(study: Study, sol: FlowSolution) -> str:
    last = float(sol.s[-1])
    return f"{last / study.samples:.4g}" if np.isfinite(last) else "inf (the end of the orbit, t = 1)"
