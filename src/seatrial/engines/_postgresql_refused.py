"""A script's statement that was refused, by the server or before it was sent, as the error of its step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.engines._postgresql_session import code_of, kind_of, message
from seatrial.model import ErrorKind, Script, StepError
from seatrial.sql import SourceStatement
from seatrial.sql.lacking import explained

if TYPE_CHECKING:
    import psycopg


def not_run(why: str, part: SourceStatement, script: Script) -> StepError:
    line = script.first_line + part.line - 1
    return StepError(
        message=f"{why}; Seatrial does not run it unless `trust = true` stands under [source].",
        kind=ErrorKind.ENVIRONMENT,
        statement=part.text,
        line=line,
    )


def step_error(error: psycopg.Error, part: SourceStatement | None, script: Script) -> StepError:
    code, words = code_of(error), message(error)
    return StepError(
        message=explained(words, "postgresql"),
        kind=kind_of(code, words),
        code=code,
        statement=part.text if part else "",
        line=_line(error, part, script),
    )


def _line(error: psycopg.Error, part: SourceStatement | None, script: Script) -> int | None:
    """The line in the migration's file; the server counts characters from the text that it was sent."""
    position = error.diag.statement_position
    text = part.text if part else script.text
    within = text.count("\n", 0, int(position) - 1) if position else 0
    if part is None and not position:
        return None
    return script.first_line + (part.line - 1 if part else 0) + within
