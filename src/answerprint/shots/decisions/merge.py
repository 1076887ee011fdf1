"""A new analysis of a clip, with what people decided in the list before it kept."""

from __future__ import annotations

from dataclasses import replace

from answerprint.shots.boundary import ShotRange
from answerprint.shots.decisions.model import DecisionList, OperationDecision, ShotDecision


def merge(old: DecisionList, new: DecisionList) -> tuple[DecisionList, list[str]]:
    """A new analysis with what people decided in the old list kept.

    Locked operations keep their params, findings and assets, and whether an operation is enabled stays. What was edited
    but not locked is replaced, and told.

    Returns:
        the merged list; notes in words on what stays and what is lost.

    Raises:
        SettingsError: an asset of a locked operation is missing.
    """
    notes: list[str] = []
    shots = []
    for shot in new.shots:
        before = _same_shot(old, shot.range)
        shots.append(_merge_shot(before, shot, notes) if before is not None else shot)
    continued = [_same_shot(old, shot.range) for shot in new.shots]
    for lost in old.shots:
        if lost not in continued and any(operation.locked for operation in lost.operations):
            notes.append(f"shot {lost.range.name} is no longer there; its locked operations are lost")
    merged = replace(new, shots=tuple(shots))
    old.assets.copy_to(new.assets, merged.asset_names())
    return merged, notes


def _same_shot(old: DecisionList, span: ShotRange) -> ShotDecision | None:
    """The old shot that shares most frames with a new one, and at least half of both."""

    def shared(shot: ShotDecision) -> int:
        return min(shot.range.stop, span.stop) - max(shot.range.start, span.start)

    best = max(old.shots, key=shared, default=None)
    if best is None or 2 * shared(best) < max(len(best.range), len(span)):
        return None
    return best


def _merge_shot(old: ShotDecision, new: ShotDecision, notes: list[str]) -> ShotDecision:
    """One shot's operations, those of the same name paired in order."""
    waiting = list(old.operations)
    merged = []
    for fresh in new.operations:
        before = next((entry for entry in waiting if entry.name == fresh.name), None)
        if before is None:
            merged.append(fresh)
            continue
        waiting.remove(before)
        merged.append(_merge_operation(before, fresh, new.range.name, notes))
    for lost in waiting:
        if lost.locked or lost.edited:
            notes.append(f"shot {new.range.name}: {lost.name} is not in the chain any more; its decisions are lost")
    return replace(new, operations=tuple(merged))


def _merge_operation(old: OperationDecision, new: OperationDecision, shot: str, notes: list[str]) -> OperationDecision:
    if old.locked:
        notes.append(f"shot {shot}: {old.name} is locked and stays as it is")
        return old
    if old.edited:
        notes.append(f"shot {shot}: {old.name} was edited by hand and is replaced; lock it to keep it")
    return replace(new, enabled=old.enabled)
