"""Schemas written as short literals, for the tests of sql/."""

from seatrial.model import ObjectKey, Schema, TableRef


def ref(name):
    """``"a"`` or ``"s.a"``."""
    namespace, _, table = name.rpartition(".")
    return TableRef(namespace, table)


def schema(tables, objects=(), **attributes):
    """``{"users": "id name"}`` or ``{"users": {"id": {"type": "integer"}}}``; objects are (kind, table, name, given).

    ``attributes``: of tables, by name (``hits_2024={"inherits": ("hits",)}``).
    """
    found = {}
    for name, columns in tables.items():
        table = ref(name)
        found[ObjectKey("table", table.namespace, "", table.name)] = attributes.get(table.name, {})
        listed = {c: {} for c in columns.split()} if isinstance(columns, str) else columns
        for position, (column, given) in enumerate(listed.items(), 1):
            found[ObjectKey("column", table.namespace, table.name, column)] = {"position": position, **given}
    for kind, table, name, given in objects:
        owner = ref(table)
        found[ObjectKey(kind, owner.namespace, owner.name, name)] = given
    return Schema(found)


def key(kind, table, name):
    owner = ref(table)
    return ObjectKey(kind, owner.namespace, owner.name, name)
