"""What SQL texts say: scripts split into statements, what a statement does, names. Pure: no I/O, no database.

``dialect`` is "sqlite", "postgresql", "mysql" or "mariadb". Nothing here raises for a text that no engine would accept.
"""

from seatrial.sql.split import SourceStatement, has_transaction_control, is_blank, split
from seatrial.sql.tokens import Token, quote_name, quote_string, tokenize

__all__ = [
    "SourceStatement",
    "Token",
    "has_transaction_control",
    "is_blank",
    "quote_name",
    "quote_string",
    "split",
    "tokenize",
]
