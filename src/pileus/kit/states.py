"""State tables: may this verb run now, and what does the user see. Data in each service's states.py; the two questions here.

Not here: who may run a verb (policy on actions) and what it does (actions, reconcile).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pileus.errors import Busy

Row = Mapping[str, Any]
ANY: frozenset[Any] = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class Verb:
    """When a verb may run: in these stable states, with these tasks under way (None = none); `task` is the one it begins."""

    states: frozenset[str]
    tasks: frozenset[str | None] = frozenset({None})
    task: str | None = None

    def allows(self, state: str, task: str | None) -> bool:
        return (self.states is ANY or state in self.states) and (self.tasks is ANY or task in self.tasks)


def verb(states: Iterable[str], *, tasks: Iterable[str | None] = (None,), task: str | None = None) -> Verb:
    """A row of a state table. Pass ANY for every state or every task."""
    return Verb(states if states is ANY else frozenset(states), tasks if tasks is ANY else frozenset(tasks), task)


class States:
    """The table of one resource: verb -> when it may run. `say` words the refusal (row, verb, which column, its value)."""

    def __init__(self, table: Mapping[str, Verb], *, state: str = "status", task: str = "task_state", refusal: str) -> None:
        self.table, self._state, self._task, self._refusal = table, state, task, refusal

    def check(self, row: Row, name: str) -> Verb:
        """The verb's row, if it may run now. Raises Busy with the column and value that forbid it."""
        rule = self.table[name]
        state, task = row[self._state], row.get(self._task)
        if not rule.allows(state, task):
            column, value = (self._state, state) if rule.states is not ANY and state not in rule.states else (self._task, task)
            raise Busy(self._refusal.format(verb=name, id=row["id"], column=column, value=value))
        return rule

    def begin(self, row: Row, name: str) -> dict[str, Any]:
        """The changes that start the verb: the only way into a task. Raises Busy."""
        return {self._task: self.check(row, name).task}
