"""What the set metrics need of a table: a label's class in each of several maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_KEPT = 100_000  # lists of labels whose classes are kept
# One class a map: "" where the label has no place, "=…" where it stands for itself alone.
Classes = tuple[str, ...]


def is_shared(name: str) -> bool:
    """Whether a class is one that other words may share: no "" and no "=…"."""
    return bool(name) and not name.startswith("=")


@dataclass(frozen=True)
class WheelTables:
    """Maps from a label to a class, with a name and a version.

    `maps` names them: the base form and the sense first, then `WHEEL_level1`, `WHEEL_level2`
    for each wheel. `find` gives a label's class in each map.
    """

    name: str
    version: str
    maps: tuple[str, ...]
    find: Callable[[str], Classes]
    _seen: dict[str, Classes] = field(default_factory=dict, compare=False, repr=False)
    _sets: dict[tuple[tuple[str, ...], bool], tuple[frozenset[str], ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def classes(self, label: str) -> Classes:
        """The class of `label` in each map, "" where it has none."""
        found = self._seen.get(label)
        if found is None:
            found = self._seen[label] = self.find(label)
        return found

    def sets(self, labels: tuple[str, ...], *, known: bool = False) -> tuple[frozenset[str], ...]:
        """The classes of several labels in each map, without those that have none.

        With `known` only those that other words may share.
        """
        found = self._sets.get((labels, known))
        if found is None:
            rows = [self.classes(label) for label in labels] or [("",) * len(self.maps)]
            counts = is_shared if known else bool
            found = tuple(frozenset(filter(counts, column)) for column in zip(*rows, strict=True))
            if len(self._sets) < _KEPT:
                self._sets[labels, known] = found
        return found

    def has(self, label: str) -> bool:
        """Whether any map gives `label` a class that it may share with other words."""
        return any(map(is_shared, self.classes(label)))

    def places(self, level: str) -> tuple[int, ...]:
        """Positions of the maps of `level`: "level1", "level2" or "all"; KeyError otherwise."""
        if level == "all":
            return tuple(range(len(self.maps)))
        found = tuple(i for i, name in enumerate(self.maps) if name.endswith(f"_{level}"))
        if not found:
            raise KeyError(level)
        return found


def levels(wheel: Mapping[str, Mapping[str, tuple[str, ...]]]) -> tuple[dict[str, str], ...]:
    """Two maps of one wheel `{root: {branch: leaves}}`: each word's root, and its branch.

    A root has no branch of its own: it stands with the alphabetically first one. A word that
    occurs twice belongs to the later place, but a root keeps its own (AffectGPT's rule,
    zeroQiaoba/AffectGPT@fffca79).
    """
    roots: dict[str, str] = {}
    branches: dict[str, str] = {}
    for root, children in wheel.items():
        for branch, leaves in children.items():
            for word in (branch, *leaves):
                roots[word], branches[word] = root, branch
    for root, children in wheel.items():
        roots[root] = root
        branches.setdefault(root, min(children, default=root))
    return roots, branches
