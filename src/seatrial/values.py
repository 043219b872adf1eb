"""``dataclass`` for frozen values of which a program defines many: quick to define, and otherwise the standard one.

The standard library writes, compiles and runs six functions for each class as it is defined, which was a third of the
time in which Seatrial starts. Here a class gets closures, and the one function that has to be written, ``__init__``,
when its first value is made.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        """As ``dataclasses.dataclass``; what is no plain frozen value with slots is left to that."""
        if cls is None:
            return lambda cls: dataclass(cls, **options)
        if not _is_plain(cls, options):
            return dataclasses.dataclass(cls, **options)
        cls.__doc__ = cls.__doc__ or cls.__name__  # else inspect is asked for its signature
        kw_only = options.get("kw_only", False)
        made = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=True, kw_only=kw_only)
        made.__dataclass_params__.frozen = True
        for name, function in _functions(made).items():
            setattr(made, name, function)
        return made


_OWN = ("__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__getstate__")


def _is_plain(cls: type, options: dict[str, Any]) -> bool:
    """Whether all of its fields are compared, shown and given, and it makes none of these functions itself."""
    kinds = {**options, "kw_only": False} == {"frozen": True, "slots": True, "kw_only": False}
    own = vars(cls)
    annotations = own.get("__annotations__", {})
    fields = (own.get(name) for name in annotations)
    special = any(isinstance(f, dataclasses.Field) and not (f.init and f.repr and f.compare) for f in fields)
    variables = any("ClassVar" in str(a) or "InitVar" in str(a) for a in annotations.values())
    return (
        kinds
        and bool(annotations)
        and cls.__bases__ == (object,)
        and not (special or variables or any(name in own for name in _OWN))
    )


def _functions(made: Any) -> dict[str, Any]:
    names = tuple(f.name for f in dataclasses.fields(made))
    values = attrgetter(*names)

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        made.__init__ = _init(made)
        made.__init__(self, *args, **given)

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        return values(self) == values(other) if other.__class__ is made else NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{made.__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"

    return {
        "__init__": __init__,
        "__eq__": __eq__,
        "__hash__": __hash__,
        "__repr__": __repr__,
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__getstate__": lambda self: [getattr(self, n) for n in names],
        "__setstate__": _set_state,
    }


def _refuse(self: object, name: str, value: object = None) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to or delete field {name!r}")


def _set_state(self: Any, state: list[Any]) -> None:
    """For copies and pickles."""
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


def _init(made: Any) -> Any:
    """The function that sets the fields of a new value."""
    known: dict[str, Any] = {"_given": object()}
    head, body = ["self"], []
    fields = dataclasses.fields(made)
    for field in (*(f for f in fields if not f.kw_only), None, *(f for f in fields if f.kw_only)):
        if field is None:
            head += ["*"] * any(f.kw_only for f in fields)
            continue
        name = field.name
        known |= {f"_set_{name}": vars(made)[name].__set__, f"_default_{name}": field.default}
        value = name
        if field.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = field.default_factory
            value = f"_make_{name}() if {name} is _given else {name}"
        has_default = field.default is not dataclasses.MISSING
        head.append(name + (f"=_default_{name}" if has_default else "=_given" if value != name else ""))
        body.append(f" _set_{name}(self, {value})")
    if hasattr(made, "__post_init__"):
        body.append(" self.__post_init__()")
    exec(f"def __init__({', '.join(head)}):\n" + "\n".join(body), known)
    return known["__init__"]
