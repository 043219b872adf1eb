"""The files of a project's revisions, as text and as code. Runs in the project's interpreter (3.8+).

Standard library only.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
from pathlib import Path
from typing import Any


class Modules:
    """Files of the project's, run anew as often as they are asked for, and compiled once."""

    def __init__(self) -> None:
        self._code: dict[str, Any] = {}

    def fresh(self, revision: Any) -> Any:
        """The revision's module, executed anew: what it holds (a MetaData, a list) starts as in a new process."""
        path = str(revision.path)
        if not path.endswith(".py"):
            return revision.module
        return self.run(re.sub(r"\W", "_", Path(path).name), path)

    def run(self, name: str, path: str) -> Any:
        """As Alembic's own ``load_python_file``, which reads or compiles the file anew every time."""
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        if path not in self._code:
            # bytecode that stands beside the file is read, as Alembic reads it; none is written
            self._code[path] = importlib.machinery.SourceFileLoader(name, path).get_code(name)
        exec(self._code[path], module.__dict__)
        return module


def no_down(script: Any, path: str) -> str | None:
    """Why a revision has no way back, or None: its downgrade is not there, or does nothing but raise."""
    if not hasattr(script.module, "downgrade"):
        return "it has no downgrade()"
    text = read(path) if path.endswith(".py") else ""
    if "raise" not in text:  # to parse a hundred files takes as long as ten steps
        return None
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "downgrade":
            return raises_only(node)
    return None


def raises_only(function: Any) -> str | None:
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Raise) or body[0].exc is None:
        return None
    error = body[0].exc
    called = error.func if isinstance(error, ast.Call) else error
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "an error")
    words = words_of(error.args[0]) if isinstance(error, ast.Call) and error.args else ""
    return f"its downgrade raises {name}" + (": " + words if words else "")


def words_of(node: Any) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(words_of(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    return ""


def read(path: str) -> str:
    return Path(path).read_bytes().decode("utf-8", "replace")
