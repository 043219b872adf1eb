"""What partitions and child tables have from their parents: the parent's object once more, by itself no news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from seatrial.model import Attributes, ObjectKey, Schema, TableRef
from seatrial.schema import Difference

_ATTRIBUTE = {"column": "inherited", "constraint": "inherited", "index": "partition_of"}


def origins(schema: Schema, key: ObjectKey) -> list[ObjectKey]:
    """The object itself, its parent's that it came from, and so on upwards."""
    found = [key]
    for one in found:
        found += [k for k in _sources(schema, one) if k not in found]
    return found


def repeats(schema: Schema, change: Difference, changes: Mapping[ObjectKey, Difference]) -> bool:
    """Whether the same happened to the parent's object, in a schema that has both."""
    return any(
        other is not None and _how(other) == _how(change)
        for other in (changes.get(k) for k in origins(schema, change.key)[1:])
    )


def _how(change: Difference) -> tuple[bool, bool, frozenset[str]]:
    return change.old is None, change.new is None, frozenset(change.attributes)


def parents(schema: Schema, table: TableRef, kinds: Sequence[str] = ("partition_of", "inherits")) -> Iterator[TableRef]:
    """The tables that one is a partition or a child of."""
    attributes = schema.get(ObjectKey.of_table(table), {})
    above = [attributes.get(a) for a in kinds]
    names = {str(n).replace('"', "") for a in above for n in (a if isinstance(a, tuple) else [a]) if n}
    return (t for t in schema.tables() if str(t) in names) if names else iter(())


def partitioned(schema: Schema, table: TableRef) -> set[TableRef]:
    """The tables whose partition one is, through all levels: their UPDATE may move a row from one to another."""
    above = set(parents(schema, table, ("partition_of",)))
    return above.union(*(partitioned(schema, t) for t in above))


def _sources(schema: Schema, key: ObjectKey) -> Iterator[ObjectKey]:
    table, mine = key.owner, schema.get(key)
    if table is None or mine is None or not _is_copy(schema, key, table, mine):
        return
    for parent in parents(schema, table):
        same = ObjectKey(key.kind, parent.namespace, parent.name, key.name)
        if same in schema:
            yield same
        elif key.kind in ("constraint", "index"):
            yield from (k for k, a in schema.items() if k.owner == parent and _alike(k, a, key, mine))


def _is_copy(schema: Schema, key: ObjectKey, table: TableRef, mine: Attributes) -> bool:
    if key.kind == "trigger":
        return bool(schema.get(ObjectKey.of_table(table), {}).get("partition_bound"))
    return bool(mine.get(_ATTRIBUTE.get(key.kind, "")))


def _alike(key: ObjectKey, attributes: Attributes, other: ObjectKey, mine: Attributes) -> bool:
    """A partition's index and its keys have names of their own."""
    if key.kind != other.kind:
        return False
    if key.kind == "index":
        return str(mine.get("partition_of")).replace('"', "").rpartition(".")[2] == key.name
    return (attributes.get("type"), attributes.get("columns")) == (mine.get("type"), mine.get("columns"))
