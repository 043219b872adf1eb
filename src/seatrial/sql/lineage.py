"""Where each table and column of before the step ended, and which ones stood for it meanwhile."""

from __future__ import annotations

from seatrial.model import Renames, TableRef
from seatrial.sql.cursor import Cursor
from seatrial.sql.tables import TEMPORARY, Column, Table
from seatrial.sql.tokens import code
from seatrial.sql.world import World


class Lineage:
    """Answers about tables by their name before the step; a table that the step made answers to its name at the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._originals = {ref: t for t in self._all() if (ref := t.before) is not None}
        self._finals = dict(world.tables)
        self._parents = parents(world)
        self._met: dict[Table, set[Column]] = {}  # every column that an event was about, also those that were dropped
        for event in world.events:
            if event.table is not None and event.column is not None:
                self._met.setdefault(event.table, set()).add(event.column)
        self._memo: dict[TableRef, frozenset[Table]] = {}

    def _all(self) -> list[Table]:
        made = [e.table for e in self.world.events if e.table is not None]
        return list(dict.fromkeys([*self.world.tables.values(), *made, *self.world.named]))

    def original(self, ref: TableRef) -> Table | None:
        return self._originals.get(ref) or self._similar(self._originals, ref)

    def _similar(self, tables: dict[TableRef, Table], ref: TableRef) -> Table | None:
        """SQLite and MySQL give a table back in another case than it was written in."""
        if self.world.dialect == "postgresql":
            return None
        folded = ref.name.casefold()
        return next(
            (t for r, t in tables.items() if r.namespace == ref.namespace and r.name.casefold() == folded), None
        )

    def replacement(self, ref: TableRef) -> Table | None:
        """The table that the step made and left under this name, where there was another before."""
        original = self.original(ref)
        final = self._finals.get(ref) or self._similar(self._finals, ref)
        return final if original is not None and final is not None and final.before is None else None

    def tables(self, ref: TableRef) -> frozenset[Table]:
        """Every table that stood for this one: itself, what ended under its name, and what its rows went through."""
        if ref not in self._memo:
            self._memo[ref] = frozenset(self._tables(ref))
        return self._memo[ref]

    def _tables(self, ref: TableRef) -> set[Table]:
        original = self.original(ref)
        if original is None:
            final = self._finals.get(ref) or self._similar(self._finals, ref)
            return {final} if final is not None else set()
        replacement = self.replacement(ref)
        if replacement is None:
            return {original}
        between = {t for t in _reaches(replacement) if t.before is None and original in _reaches(t) and t.ref is None}
        return {original, replacement, *between}

    def _related(self, ref: TableRef) -> list[tuple[Table, bool]]:
        """The table and its kin: (table, whether only statements on its rows count)."""
        own = [(t, False) for t in self.tables(ref)]
        children = [(t, False) for child in self._children(ref) for t in self.tables(child)]
        ancestors = [(t, True) for parent in self._ancestors(ref) for t in self.tables(parent)]
        return own + children + ancestors

    def _children(self, ref: TableRef) -> list[TableRef]:
        direct = [c for c, parents in self._parents.items() if ref in parents]
        return direct + [g for c in direct for g in self._children(c) if g != ref]

    def _ancestors(self, ref: TableRef) -> list[TableRef]:
        direct = self._parents.get(ref, [])
        return direct + [g for p in direct for g in self._ancestors(p) if g != ref]

    def naming(self, ref: TableRef) -> set[int]:
        """The statements that name the table; a partition names its parent, and its parent's rows are its own."""
        found: set[int] = set()
        for table, rows_only in self._related(ref):
            found |= (self.world.named_rows if rows_only else self.world.named).get(table, set())
        return found

    def mentioning(self, column: Column) -> set[int]:
        return self.world.mentioned.get(column, set())

    def columns(self, ref: TableRef, name: str, *, related: bool = False) -> set[Column]:
        """Every column that stood for this one; with ``related`` also those of partitions and parents."""
        world, found = self.world, set()
        folded = world.fold(name)
        original = self.original(ref)
        if original is not None:
            found |= {c for c in self._columns_of(original) if c.before is not None and world.fold(c.before) == folded}
        names = {folded, *(world.fold(after) for before, after in self._renamed(ref) if world.fold(before) == folded)}
        tables = [t for t, _ in self._related(ref)] if related else list(self.tables(ref))
        for table in tables:
            found |= {c for c in self._columns_of(table) if self._stands_for(c, names, folded)}
        return found

    def _stands_for(self, column: Column, names: set[str], folded: str) -> bool:
        if column.before is not None:
            return self.world.fold(column.before) == folded
        return self.world.fold(column.name) in names

    def _columns_of(self, table: Table) -> set[Column]:
        return {*table.columns.values(), *self._met.get(table, set())}

    def _renamed(self, ref: TableRef) -> list[tuple[str, str]]:
        """(column before, column after) where it ends under another name."""
        original, target = self.original(ref), self.replacement(ref)
        if original is None:
            return []
        if target is None:
            return [(c.before, c.name) for c in original.known if c.before is not None and c.before != c.name]
        return self._through_copies(original, target)

    def _through_copies(self, original: Table, target: Table) -> list[tuple[str, str]]:
        """A column of a rebuilt table that took the values of one that is not there any more."""
        world, found = self.world, []
        kept = {world.fold(c.before) for c in self._columns_of(original) if c.before is not None}
        for column in sorted(self._columns_of(original), key=lambda c: c.before or ""):
            if column.before is None or world.fold(column.before) in target.columns:
                continue
            reached = self._reached(column)
            ends = [c for n, c in target.columns.items() if c in reached and n not in kept]
            if len(ends) == 1:
                found.append((column.before, ends[0].name))
        return found

    def _reached(self, column: Column) -> set[Column]:
        reached, size = {column}, 0
        while size != len(reached):
            size = len(reached)
            reached |= {c.target for c in self.world.copies if c.source in reached}
        return reached

    def copied(self) -> tuple[tuple[tuple[TableRef, str], tuple[TableRef, str]], ...]:
        """Columns of before the step whose values INSERT ... SELECT takes over into columns that end it."""
        sources = {c: (t.before, c.before) for t in self._all() for c in self._columns_of(t) if t.before and c.before}
        targets = {c: (t.ref, c.name) for t in self._all() for c in self._columns_of(t) if t.ref is not None}
        pairs = [
            (sources[c.source], targets[c.target])
            for c in self.world.copies
            if c.source in sources and c.target in targets
        ]
        return tuple(dict.fromkeys(pairs))

    def renames(self) -> Renames:
        """Tables and columns that ended under another name; where a new table took the old name, that one counts."""
        tables, columns = [], []
        for ref, table in sorted(self._originals.items()):
            if table.ref is not None and table.ref != ref and self.replacement(ref) is None:
                tables.append((ref, table.ref))
            names = {**self._followed(ref), **dict(self._renamed(ref))}
            columns += [(ref, before, after) for before, after in sorted(names.items())]
        return Renames(tables=tuple(tables), columns=tuple(columns))

    def _followed(self, ref: TableRef) -> dict[str, str]:
        """Columns of a partition or child that are renamed with the parent's."""
        own = self.world.schema.columns(ref)
        return {old: new for parent in self._ancestors(ref) for old, new in self._renamed(parent) if old in own}

    def varying(self) -> tuple[tuple[TableRef, str], ...]:
        """Columns that got random, time or sequence-given values, by their names at the end."""
        found = {
            (table.ref, column.name)
            for table, column in self.world.varying
            if table.ref is not None and table.ref.namespace != TEMPORARY and column in table.columns.values()
        }
        return tuple(sorted(found | self._copied_varying()))

    def _copied_varying(self) -> set[tuple[TableRef, str]]:
        """What was copied as it is from a column that varies."""
        reached = set().union(*(self._reached(c) for _, c in self.world.varying))
        return {
            (ref, column.name)
            for ref, table in self._finals.items()
            if ref.namespace != TEMPORARY
            for column in table.known
            if column in reached
        }


def _reaches(table: Table) -> set[Table]:
    """Every table whose rows may have come into this one."""
    found, rest = {table}, [table]
    while rest:
        for source in rest.pop().sources:
            if source not in found:
                found.add(source)
                rest.append(source)
    return found


def parents(world: World) -> dict[TableRef, list[TableRef]]:
    """Partition or child -> its parents, as the schema before the step gives them."""
    found: dict[TableRef, list[TableRef]] = {}
    for key, attributes in world.schema.items():
        if key.kind != "table":
            continue
        labels = [label for a in ("inherits", "partition_of") for label in _listed(attributes.get(a))]
        if labels:
            found[TableRef(key.namespace, key.name)] = [_parent(world, n, key.namespace) for n in labels]
    return found


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value] if isinstance(value, tuple) else []


def _parent(world: World, label: str, namespace: str) -> TableRef:
    """A parent as the engine writes it: quoted where needed, with its schema where that is not the default one."""
    name = Cursor(code(label, world.dialect), world.dialect).name()
    if name is None:
        return TableRef(namespace, label)
    if name.qualifier:
        return world.ref(name)
    here = TableRef(namespace, name.name)
    return here if here in world.tables else TableRef("", name.name)
