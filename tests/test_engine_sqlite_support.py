"""What the tests of the SQLite engine share."""

import pytest

from seatrial.engines._sqlite_journal import Print
from seatrial.engines.sqlite import SqliteDatabase
from seatrial.model import Script, Transaction
from seatrial.schema import pair_by_name


@pytest.fixture
def database(tmp_path):
    folder = tmp_path / "db"
    folder.mkdir()
    made = SqliteDatabase(folder / "test.sqlite3")
    yield made
    made.close()


def run(database, sql, *, transaction=Transaction.STATEMENTS, **facts):
    """Run a script that must not fail."""
    step = database.run(Script(text=sql, transaction=transaction, **facts))
    assert step.error is None, step.error
    return step


def changes(database, old, new):
    """What differs between two moments, by name, read in full."""
    return database.diff(old, new, pair_by_name(old, new))


def checksums(snapshot):
    return {t.table.name: (t.rows, t.checksum) for t in snapshot.tables}


def missed(database, before):
    """Pages that changed and are not among those that are said to be written; None: the answer is *not known*."""
    written = database._watch.written(Print.of(database.path))
    if written is None:
        return None
    now = database.path.read_bytes()
    changed = {
        p for p in range(1, len(now) // 4096 + 1) if before[(p - 1) * 4096 : p * 4096] != now[(p - 1) * 4096 : p * 4096]
    }
    return {p for p in changed if p <= written.size and p not in written.pages}
