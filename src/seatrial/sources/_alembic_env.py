"""Whether several steps may share one run of an env.py. Runs in the project's interpreter (3.8+).

An env.py may do anything: ask Alembic which command runs, count its own runs, write beside the migrations. So it is not
searched for what it must not do; it may do nothing but what stands here: what Alembic's own templates do, in a syntax
without loops, decorators, exceptions and functions of the project's, ending with ``run_migrations()``. Every name
is followed to where it comes from, every attribute and call has to be one of ``_MAY_READ`` and ``_MAY_CALL``.

Standard library only.
"""

from __future__ import annotations

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_TEXT = "<text>"  # or another value that is made here
_UNKNOWN = "?"
_LOCAL = "<here>."
LIBRARIES = frozenset(("alembic", "sqlalchemy", "logging", "os", "sys", "pathlib", "typing", "__future__"))
_HARMLESS = frozenset((_TEXT, "str()", "len()", "str", "len", "print", "__file__"))
_PARTS = {
    "CONFIG": "alembic.context.config",
    "HANDED": "alembic.context.config.attributes.get()",  # by a program that calls Alembic: a connection, or None
    "ENGINE": "sqlalchemy.create_engine()",
    "CONFIGURED": "sqlalchemy.engine_from_config()",
    "LOGGER": "logging.getLogger()",
    "HERE": "pathlib.Path()",
}


def _words(text: str) -> frozenset[str]:
    """Dotted names, of which the first part may stand for a longer one."""
    pairs = (word.partition(".") for word in text.split())
    return frozenset(_PARTS.get(first, first) + dot + rest for first, dot, rest in pairs)


# What these answer is the same for every step of one database: settings, the environment, names of files.
_MAY_CALL = _words(
    """
    alembic.context.configure alembic.context.begin_transaction alembic.context.run_migrations
    alembic.context.is_offline_mode alembic.context.get_x_argument alembic.context.get_x_argument().get
    CONFIG.get_main_option CONFIG.set_main_option CONFIG.get_section_option CONFIG.set_section_option
    CONFIG.get_section CONFIG.get_section().get CONFIG.attributes.get
    sqlalchemy.create_engine sqlalchemy.engine_from_config ENGINE.connect CONFIGURED.connect
    HANDED.engine.connect CONFIGURED.connect().engine.connect
    logging.config.fileConfig logging.getLogger LOGGER.info LOGGER.debug LOGGER.warning
    os.environ.get os.getenv os.getenv().replace os.environ.get().replace os.environ[].replace os.getcwd
    os.path.abspath os.path.dirname os.path.join os.path.realpath sys.path.append sys.path.insert
    pathlib.Path HERE.resolve len str print
    """
)
_MAY_READ = _MAY_CALL | _words(
    """
    CONFIG CONFIG.config_ini_section CONFIG.config_file_name CONFIG.attributes HANDED.engine
    ENGINE.connect().dialect ENGINE.connect().dialect.name
    CONFIGURED.connect().dialect CONFIGURED.connect().dialect.name CONFIGURED.connect().engine
    HANDED.engine.connect().dialect HANDED.engine.connect().dialect.name
    sqlalchemy.pool sqlalchemy.pool.NullPool sqlalchemy.pool.StaticPool sqlalchemy.pool.QueuePool
    logging.config LOGGER.handlers os.environ os.path sys.path
    HERE.parent HERE.parent.parent HERE.resolve().parent HERE.resolve().parent.parent
    """
)
_MAY_INDEX = _words("CONFIG.get_section() alembic.context.get_x_argument() os.environ " + _TEXT)
_MAY_SET = _words("CONFIG.get_section() " + _TEXT)
# Asked by `alembic revision --autogenerate` and `alembic check` alone.
_AUTOGENERATE = _words(
    "include_object include_name compare_type compare_server_default process_revision_directives render_item"
)
_KEYWORDS = {
    "alembic.context.configure": _AUTOGENERATE
    | _words(
        """
        connection url target_metadata literal_binds dialect_opts render_as_batch transaction_per_migration
        version_table version_table_schema include_schemas user_module_prefix sqlalchemy_module_prefix
        """
    ),
    "sqlalchemy.create_engine": _words("poolclass future echo"),
    "sqlalchemy.engine_from_config": _words("prefix poolclass future echo"),
}
_SYNTAX = (
    *(ast.Module, ast.Import, ast.ImportFrom, ast.alias, ast.Assign, ast.Expr, ast.If, ast.With, ast.withitem),
    *(
        ast.FunctionDef,
        ast.arguments,
        ast.Pass,
        ast.Return,
        ast.Call,
        ast.keyword,
        ast.Name,
        ast.Attribute,
        ast.Subscript,
    ),
    *(ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.JoinedStr, ast.FormattedValue, ast.IfExp, ast.BoolOp),
    *(ast.UnaryOp, ast.Compare, ast.expr_context, ast.boolop, ast.cmpop, ast.Not, ast.USub),
    *(() if not hasattr(ast, "Index") else (ast.Index,)),  # of Python 3.8
)


def is_plain(path: str) -> bool:
    """Whether an env.py does the same for every step, and nothing behind ``run_migrations()`` but to close."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False
    return ends_with_run(tree) and _Vocabulary(tree).is_kept()


# --- its end ----------------------------------------------------------------------------------------------------------


def ends_with_run(tree: ast.Module) -> bool:
    """Whether there is nothing to do once ``run_migrations()`` is over but to close the connection."""
    runs = {node for node in ast.walk(tree) if _calls(node, "run_migrations")}
    last = set(_last_calls(tree.body))
    within = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and runs & set(ast.walk(f))]
    for function in within:
        uses = {node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == function.name}
        if not uses <= {call.func for call in last} or any(uses & set(ast.walk(f)) for f in within):
            return False
        last |= set(_last_calls(function.body))
    return bool(runs) and runs <= last


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and name in (getattr(node.func, "attr", ""), getattr(node.func, "id", ""))


def _last_calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """The calls with which a block may end."""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        yield last.value
    elif isinstance(last, ast.If):
        yield from _last_calls(last.body)
        yield from _last_calls(last.orelse)
    elif isinstance(last, ast.With) and all(_closes(item.context_expr) for item in last.items):
        yield from _last_calls(last.body)


def _closes(entered: ast.expr) -> bool:
    return _calls(entered, "connect") or _calls(entered, "begin_transaction")


# --- its words --------------------------------------------------------------------------------------------------------


class _Vocabulary:
    """Where each name of an env.py comes from, whichever of its functions gives it."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._imported: dict[str, set[str]] = defaultdict(set)
        self._given: dict[str, list[ast.expr]] = defaultdict(list)
        self._returned: dict[str, list[ast.expr]] = defaultdict(list)
        self._asked_never = self._autogenerates()
        self._nodes = list(self._run(tree))
        for node in self._nodes:
            self._note(node)

    def is_kept(self) -> bool:
        return all(isinstance(node, _SYNTAX) and self._is_known(node) for node in self._nodes)

    def _autogenerates(self) -> set[str]:
        """The functions that no step calls."""
        keywords = [node for node in ast.walk(self._tree) if isinstance(node, ast.keyword)]
        named = {k.value for k in keywords if k.arg in _AUTOGENERATE and isinstance(k.value, ast.Name)}
        others = {n.id for n in ast.walk(self._tree) if isinstance(n, ast.Name) and n not in named}
        return {name.id for name in named if isinstance(name, ast.Name)} - others

    def _run(self, node: ast.AST) -> Iterator[ast.AST]:
        """All that may run in a step, and the names in it that stand for values of the project's."""
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.FunctionDef) and child is node.returns:
                continue
            if self._is_aside(child):
                continue
            yield from self._run(child)

    def _is_aside(self, node: ast.AST) -> bool:
        if isinstance(node, ast.FunctionDef):
            return node.name in self._asked_never and not node.decorator_list and not _takes(node, defaults=True)
        plain = isinstance(node, ast.keyword) and isinstance(node.value, (ast.Name, ast.Constant))
        return plain and node.arg in _AUTOGENERATE  # type: ignore[attr-defined]

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._imported[alias.asname or alias.name.partition(".")[0]].add(
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                self._imported[alias.asname or alias.name].add(f"{module}.{alias.name}")
        elif isinstance(node, ast.FunctionDef):
            self._imported[node.name].add(_LOCAL + node.name)
            returns = [found.value for found in ast.walk(node) if isinstance(found, ast.Return)]
            self._returned[_LOCAL + node.name] += [value for value in returns if value is not None]
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self._given[target.id].append(node.value)
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            self._given[node.optional_vars.id].append(node.context_expr)

    def _origins(self, node: ast.AST, seen: frozenset[str] = frozenset()) -> set[str]:
        """Dotted names of what an expression may be, calls as ``()``; nothing for a name that is followed already."""
        if isinstance(node, ast.Name):
            return self._named(node.id, seen)
        if isinstance(node, ast.Attribute):
            return {f"{origin}.{node.attr}" for origin in self._origins(node.value, seen)}
        if isinstance(node, ast.Subscript):
            return {f"{origin}[]" for origin in self._origins(node.value, seen)}
        if isinstance(node, ast.Call):
            return set().union(*(self._answered(origin, seen) for origin in self._origins(node.func, seen)))
        if isinstance(node, (ast.BoolOp, ast.List, ast.Tuple)):
            parts = node.values if isinstance(node, ast.BoolOp) else node.elts
            return set().union({_TEXT}, *(self._origins(part, seen) for part in parts))
        if isinstance(node, ast.IfExp):
            return self._origins(node.body, seen) | self._origins(node.orelse, seen)
        made = (ast.Constant, ast.JoinedStr, ast.Compare, ast.UnaryOp, ast.Dict)
        return {_TEXT if isinstance(node, made) else _UNKNOWN}

    def _named(self, name: str, seen: frozenset[str]) -> set[str]:
        """A name that is given in one function may be a builtin in another."""
        if name in seen:
            return set()
        values = [self._origins(value, seen | {name}) for value in self._given.get(name, ())]
        found = self._imported.get(name, set()).union(*values)
        if hasattr(builtins, name) or not (name in self._given or name in self._imported):
            found = found | {name}
        return found or {_UNKNOWN}

    def _answered(self, called: str, seen: frozenset[str]) -> set[str]:
        if not called.startswith(_LOCAL):
            return {called + "()"}
        if called in seen:
            return set()
        returned = (self._origins(value, seen | {called}) for value in self._returned[called])
        return set().union({_TEXT}, *returned)

    def _is_known(self, node: ast.AST) -> bool:
        """Whether a node, those below it left aside, is one of Alembic's templates'."""
        if isinstance(node, ast.FunctionDef):
            return not node.decorator_list and not _takes(node)
        if isinstance(node, ast.ImportFrom):
            return all(alias.name != "*" for alias in node.names)
        if isinstance(node, ast.Call):
            return self._may_call(node)
        if isinstance(node, ast.Attribute):
            read = self._origins(node)
            return isinstance(node.ctx, ast.Load) and read <= _MAY_READ | self._metadata()
        if isinstance(node, ast.Subscript):
            inside = [child for child in ast.iter_child_nodes(node) if child is not node.value]
            return self._origins(node.value) <= _MAY_INDEX and not any(map(self._is_foreign, inside))
        if isinstance(node, ast.Assign):
            return all(isinstance(target, ast.Name) or self._is_setting(target, node.value) for target in node.targets)
        if isinstance(node, ast.With):
            return all(_closes(item.context_expr) for item in node.items)
        return not self._has_foreign_parts(node)

    def _may_call(self, node: ast.Call) -> bool:
        called = self._origins(node.func)
        for name in called:
            if name.startswith(_LOCAL):
                continue
            known = {keyword.arg for keyword in node.keywords} <= _KEYWORDS.get(name, {k.arg for k in node.keywords})
            if name not in _MAY_CALL or not known or (name.endswith(".configure") and node.args):
                return False
        unpacked = any(isinstance(arg, ast.Starred) for arg in node.args) or any(k.arg is None for k in node.keywords)
        return bool(called) and not unpacked and not any(map(self._is_foreign, node.args))

    def _has_foreign_parts(self, node: ast.AST) -> bool:
        """A value of the project's may be handed to Alembic as ``target_metadata``; its own operators would act."""
        if isinstance(node, ast.keyword):
            return node.arg != "target_metadata" and self._is_foreign(node.value)
        acts = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.FormattedValue, ast.Dict, ast.If, ast.IfExp)
        parts = [node.test] if isinstance(node, ast.If) else list(ast.iter_child_nodes(node))
        return isinstance(node, acts) and any(map(self._is_foreign, parts))

    def _is_foreign(self, node: ast.AST) -> bool:
        names = [child for child in ast.walk(node) if isinstance(child, ast.Name)]
        found = set().union(*(self._origins(name) for name in names))
        return any(name.partition(".")[0] not in LIBRARIES and name not in _HARMLESS for name in found)

    def _is_setting(self, target: ast.expr, value: ast.expr) -> bool:
        """``section["sqlalchemy.url"] = url``."""
        is_one = isinstance(target, ast.Subscript) and self._origins(target.value) <= _MAY_SET
        return is_one and not self._is_foreign(value)

    def _metadata(self) -> set[str]:
        """What is read of the project's modules on the way to a ``metadata``, and modules' own names."""
        ends = [n for n in self._nodes if isinstance(n, ast.Attribute) and n.attr == "metadata"]
        found = set()
        for end in ends:
            for name in self._origins(end):
                if name.partition(".")[0] not in LIBRARIES and not name.startswith(_LOCAL) and "(" not in name:
                    parts = name.split(".")
                    found |= {".".join(parts[: at + 1]) for at in range(len(parts))}
        return found - {_UNKNOWN}


def _takes(function: ast.FunctionDef, *, defaults: bool = False) -> bool:
    """Whether a function has parameters; or only, whether making it computes their defaults."""
    given = function.args
    computed = [*given.defaults, *(default for default in given.kw_defaults if default is not None)]
    if defaults:
        return any(not isinstance(default, ast.Constant) for default in computed)
    return bool(given.args or given.kwonlyargs or given.vararg or given.kwarg or getattr(given, "posonlyargs", ()))
