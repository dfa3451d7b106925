"""What a study found, in plain words; the report and the command line say the same."""

from __future__ import annotations

import numpy as np

from subriem.core.status import Status
from subriem.flows.flowsolution import FlowSolution
from subriem.flows.regime import Regime, RegimeName
from subriem.report.common import counted
from subriem.report.study import RowGroup, Study


def verdict(study: Study) -> str:
    """Return the outcome of the adapted flow in a few sentences."""
    sol = study.adapted
    if not sol.status.success:
        return _unfinished(study, sol)
    if sol.line is None:
        if sol.cost_ratio > study.tolerance:
            where = sol.message.removeprefix("equilibrium at ")
            return f"{_the_flow(study)} came to rest at an equilibrium ({where}): {_left(sol)}."
        return f"{_the_flow(study)} reached its goal: {_left(sol)}."
    n = study.network.n_out
    moved = n - sum(group.relations for group in study.groups)
    line = "went to their targets along a straight line in output space"
    if study.adapted.conflicts:
        against = [group for group in study.groups if group.contradict]
        names = "; ".join(group.name for group in against[:4])
        names += f" and {counted(len(against) - 4, 'more group')}" if len(against) > 4 else ""
        same = all(group.same_features for group in against)
        what = "Contradicting targets" if same else "Targets that break the relations between outputs"
        return (
            f"The adapted flow reached the lowest cost there is: the {moved} directions of output that parameters can "
            f"move {line}. {what} ({names}) leave C = {study.floor:.4g}, which nothing removes."
        )
    whole = f"all {n} outputs" if moved == n else f"all {n} outputs ({moved} of them independent)"
    return f"The adapted flow fits the table exactly: {whole} {line}; {_left(sol)}."


def _the_flow(study: Study) -> str:
    return f"The damped adapted flow (mu = {study.flow.damping:g})" if study.flow.damping else "The adapted flow"


def _unfinished(study: Study, sol: FlowSolution) -> str:
    """Return how a run ended before its goal, what it had found, and what can be done."""
    found = f"Until then {_left(sol)}."
    wider = "a wider network (--widths), another start (--seed) or a damped flow (--damping)"
    match sol.status:
        case Status.CANCELLED:
            return f"The run was interrupted at {_where(sol)}; this is what it had found: {_left(sol)}."
        case Status.BUDGET_SPENT:
            end = f"{_the_flow(study)} ended early: its budget was spent at {_where(sol)}. {found}"
            return f"{end} The saved run can be resumed, or --seconds raised. Details: {sol.message}."
        case Status.RANK_CHANGED:
            why = "D loses rank there, as at a fold, where the speed grows without bound"
        case Status.ESCAPED:
            why = "the parameters run to infinity in finite time"
        case Status.RANK_AMBIGUOUS:
            why = "a singular value falls to the floor: a fold or an escape to infinity, which could not be told apart"
        case _:
            return (
                f"{_the_flow(study)} ended early, at {_where(sol)}: {sol.status.value}. {found} Details: {sol.message}."
            )
    end = f"{_the_flow(study)} ended early: it cannot be continued past {_where(sol)}, because {why}."
    return f"{end} {found} Try {wider}. Details: {sol.message}."


def _where(sol: FlowSolution) -> str:
    return f"{sol.clock} = {sol.grid[-1]:.4g}"


def _left(sol: FlowSolution) -> str:
    last = float(sol["cost"][-1])
    ratio = last / sol.cost0 if sol.cost0 > 0 else 0.0
    share = f"{ratio:.1%}" if ratio > 1e-3 else f"{ratio:.1e}"
    return f"the cost fell from {sol.cost0:.4g} to {last:.4g} ({share} of it)"


def regime_sentence(study: Study) -> str:
    """Return the regime with its condition, and what the theory promises there."""
    regime = study.adapted.regime
    if regime is None:
        return "not decided"
    if regime.name is RegimeName.DEFICIENT and study.adapted.line is not None:
        condition = "by tied outputs alone; as over-parametrized in all else"
    else:
        condition = {
            RegimeName.OVER: "K > n, rank D = n",
            RegimeName.UNDER: "K < n, rank D = K",
            RegimeName.BORDERLINE: "K = n = rank D",
            RegimeName.DEFICIENT: "rank D < min(K, n)",
        }[regime.name]
    if study.flow.damping:
        promise = f"damped with mu = {study.flow.damping:g}, so that no straight line is promised"
    elif study.adapted.line is None:
        promise = "no straight line and no fixed rate are promised"
    else:
        promise = "the output goes straight to its target at a known rate, as long as the rank stays"
    return f"{regime.name.value} ({condition}): {promise}"


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
    return f"{group.name} {why}, their targets {_accord(group)}"


def _accord(group: RowGroup) -> str:
    """Return whether the targets obey the relations: for equal features they must be equal."""
    if not group.contradict:
        return "agree" if group.same_features else "obey the relations"
    return "contradict each other" if group.same_features else "break the relations"


def rank_findings(study: Study, most: int = 12) -> list[str]:
    """Return the findings on rank, row by row."""
    regime = study.adapted.regime
    if regime is None:
        return []
    found = [_group_paragraph(study, regime, group) for group in study.groups[:most]]
    if len(study.groups) > most:
        found.append(f"… and {counted(len(study.groups) - most, 'more group')} of rows.")
    if not study.groups:
        found.append(_count(regime))
        found.extend(_duplicates(study))
    if regime.dependence is not None and not regime.persistent:
        found.append(
            "These relations hold only at the start, not nearby: the theory of the straight line does not apply."
        )
    return found


def _count(regime: Regime) -> str:
    """Return what the rank says where no rows are named."""
    n, k, rank = regime.n_out, regime.n_in, regime.rank
    if rank < min(n, k):
        return f"Rank D = {rank}, below both K = {k} and n = {n}: some parameters have no effect of their own."
    if k < n:
        return (
            f"Rank D = {rank} = K, fewer than the n = {n} outputs: the network has too few parameters to move every "
            "output on its own, so there is no straight line to the targets and a rest of the cost may remain."
        )
    text = f"Rank D = {rank} of {n}: every output can be moved on its own; no rows are tied to each other."
    if k == n:
        text += (
            " With exactly as many parameters as outputs D is square, and the flow is a continuous Newton method: "
            "there is no freedom to go around a fold."
        )
    return text


def _group_paragraph(study: Study, regime: Regime, group: RowGroup) -> str:
    total = f"rank D = {regime.rank} of {min(regime.n_in, regime.n_out)}"
    if len(group.rows) == 1:
        return f"Data {group_sentence(group)} (it lowers the rank by {group.relations}; {total})."
    lost = f"This lowers the rank by {group.relations}: {total}."
    if group.same_features:
        why = "have the same features, so their outputs are the same function of the parameters"
    else:
        why = "have linearly dependent outputs: the network cannot move them independently"
    # "Data rows 3 and 9", but "40 rows (1, 2, …)"
    named = f"Data {group.name}" if group.name.startswith("row") else group.name
    text = f"{named} {why}. {lost}"
    labels = ", ".join(f"row {row}: {study.table.label(row - 1)}" for row in group.rows[:8])
    labels += ", …" if len(group.rows) > 8 else ""
    outcome = "this leaves a floor of the cost" if group.contradict else "nothing is lost"
    return f"{text} Their targets {_accord(group)} ({labels}): {outcome}."


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
    rows.append(["cost at the end, (C - floor)/C0", *(f"{excess(study, sol):.1e}" for _, sol in shown)])
    rows.append(["time reached, s/N", *(time_reached(study, sol) for _, sol in shown)])
    rows.append([score, *(f"{study.score(sol['x'][-1]):.4g}{unit}" for _, sol in shown)])
    rows.append(["evaluations of the network", *(f"{sol.nfev}" for _, sol in shown)])
    rows.append(["seconds", *(f"{sol.stats['seconds']:.1f}" for _, sol in shown)])
    rows.append(["length of the parameter path", *(f"{sol.path_length:.4g}" for _, sol in shown)])
    return rows


def excess(study: Study, sol: FlowSolution) -> float:
    """Return (C - floor)/C0 at the end of a run."""
    return max(float(sol["cost"][-1]) - study.floor, 0.0) / study.adapted.cost0


def time_reached(study: Study, sol: FlowSolution) -> str:
    """Return s/N at the end of a run."""
    last = float(sol.s[-1])
    return f"{last / study.samples:.4g}" if np.isfinite(last) else "inf (the end of the orbit, t = 1)"
