"""What the file of an Alembic revision says in SQL, read before it runs: the texts in upgrade() and downgrade().

Only what stands there as one text; what SQLAlchemy builds is known once it ran (trial.reaching). Pure but for the text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from seatrial.sql.tokens import quote_string

Texts = tuple[tuple[str, ...], tuple[str, ...]]
_MAY_SAY = re.compile(r"\bWHERE\b|\bCASE\b", re.IGNORECASE)
_SQL = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*\(?(?:UPDATE|DELETE|INSERT|REPLACE|MERGE|WITH|SELECT|DO|CREATE)\b", re.IGNORECASE
)
_LONGEST = 200  # of a value that may be a word of the application


def said(text: str, dialect: str) -> Texts:
    """The SQL of upgrade() and of downgrade(), with what they call; nothing where Python here cannot read the file.

    What else stands in upgrade() may be written to some column: it comes last, as the values of one INSERT.
    """
    if not _MAY_SAY.search(text):
        return (), ()
    try:
        module = _Module(ast.parse(text))
    except (SyntaxError, ValueError):
        return (), ()
    up, down = (list(dict.fromkeys(module.strings(name))) for name in ("upgrade", "downgrade"))
    sql = [s for s in up if _SQL.match(s)]
    others = ", ".join(quote_string(s, dialect) for s in up if s not in sql and len(s) <= _LONGEST)
    written = (f"INSERT INTO written VALUES ({others})",) if others else ()
    return (*sql, *written), tuple(s for s in down if _SQL.match(s))


class _Module:
    def __init__(self, tree: ast.Module) -> None:
        self._named: Mapping[str, ast.AST] = dict(_named(tree))

    def strings(self, name: str) -> Iterator[str]:
        """Texts and numbers in a function, and in what it names of the same file, each once."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop(0)
            if current in seen or current not in self._named:
                continue
            seen.add(current)
            for node in ast.walk(self._named[current]):
                if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
                    yield str(node.value)
                elif isinstance(node, ast.Name):
                    waiting.append(node.id)


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions, classes and values of a file."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
