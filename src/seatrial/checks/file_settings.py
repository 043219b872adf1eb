"""What a SQLite file keeps of itself beside its tables, and when it is the migration's doing that it is otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.checks.case import Case, Cause, quoted
from seatrial.model import Attributes, NotVerified, ObjectKey
from seatrial.prose import span
from seatrial.schema import Difference
from seatrial.sql import remedy
from seatrial.sql.look import names_in

NUMBERS = ("application_id", "user_version")
"""What programs go by when they open the file; how it is laid out matters to none of them."""


def is_of_file(key: ObjectKey, attributes: Attributes | None) -> bool:
    return key.kind == "database" and "user_version" in (attributes or {})


def is_layout(change: Difference) -> bool:
    """Whether nothing differs but how the file is laid out."""
    return is_of_file(change.key, change.old) and not change.attributes.keys() & set(NUMBERS)


def weighed(case: Case, change: Difference) -> Iterator[Difference | NotVerified]:
    """Of what differs after down, what is the migration's doing; and numbers of which that cannot be told.

    A file is laid out when the first table is made in it, and no down takes that back.
    """
    told = {}
    for name, (old, new) in change.attributes.items():
        if name in NUMBERS:
            if why := _doubt(case, name, old):
                what = f"whether {name} {new} is right after down, which was {old} before up"
                yield NotVerified(what=what, why=why, rule="schema-not-restored")
            else:
                told[name] = new
        elif case.before.schema.tables() and _saying(case, name):
            told[name] = new
    if told:
        yield Difference(change.key, change.old, {**(change.old or {}), **told})


def journal(case: Case) -> Iterator[NotVerified]:
    """A journal mode that a migration sets and leaves; what sets one at every connection is no migration."""
    key = ObjectKey("database", "", "", "settings")
    old, new = (s.schema.get(key, {}).get("journal_mode") for s in (case.before, case.after_down))
    if old != new and (texts := _saying(case, "journal_mode")):
        why = (
            f"a statement sets it ({quoted(texts)}), and it stays with the file: whoever opens it works so from now on"
        )
        yield NotVerified(what=f"journal_mode {new} after down, which was {old} before up", why=why)


def _doubt(case: Case, name: str, old: object) -> str:
    """Why nobody can tell whether a number is what it should be; empty where it is the migration's doing."""
    if not _saying(case, name):
        return "no statement of the migration writes it; what runs the migrations may count there by itself"
    if old == 0 and any(names_in(s, name, case.trial.engine) for s in case.trial.down.texts):
        return "down sets it, and rows that come as SQL text bring none (.dump leaves it out)"
    return ""


def _saying(case: Case, name: str) -> list[str]:
    sent = dict.fromkeys((*case.trial.up.texts, *case.trial.down.texts))
    return [s for s in sent if names_in(s, name, case.trial.engine)]


def otherwise(case: Case, change: Difference) -> Cause:
    """Which step wrote it, by which statement; ``change``: what is told of it."""
    names = list(change.attributes)
    texts = {
        step: [s for s in sent if any(names_in(s, n, case.trial.engine) for n in names)]
        for step, sent in (("up", case.trial.up.texts), ("down", case.trial.down.texts))
    }
    back = "; ".join(remedy.pragma(n, old) for n, (old, _) in change.attributes.items())
    if texts["down"]:
        said = f"down gives the file another {' and '.join(names)} than it had before up ({quoted(texts['down'])})"
    else:
        said = f"up sets {' and '.join(names)} ({quoted(texts['up'])}) and down does not set it back"
    return Cause(said, f"In down, {span(back)}.")
