"""Values that are quick to define are what the standard library's would be."""

import copy
import dataclasses
import inspect
import pickle

import pytest

from seatrial.values import dataclass


def defined(by):
    @by(frozen=True, slots=True, kw_only=True)
    class Point:
        x: int
        name: str = "here"
        seen: list[int] = dataclasses.field(default_factory=list)

    @by(frozen=True, slots=True)
    class Pair:
        one: object
        other: object = None
        more: str = dataclasses.field(default="", kw_only=True)

        def __post_init__(self):
            if self.one == "refused":
                raise ValueError(self.one)

    return Point, Pair


OURS, STANDARD = defined(dataclass), defined(dataclasses.dataclass)
CALLS = [
    (0, (), {"x": 1}),
    (0, (), {"x": 1, "name": "there", "seen": [1]}),
    (0, (1,), {}),
    (0, (), {"name": "x is missing"}),
    (0, (), {"x": 1, "y": 2}),
    (1, (1, 2), {"more": "m"}),
    (1, (1, 2, "by place"), {}),
    (1, ("refused",), {}),
    (1, (), {"other": 1, "one": (1, 2)}),
]


@pytest.mark.parametrize(("which", "args", "given"), CALLS)
def test_a_value_is_made_or_refused_as_the_standard_one(which, args, given):
    def outcome(classes):
        try:
            made = classes[which](*args, **given)
        except (TypeError, ValueError) as error:
            return type(error)
        return repr(made), dataclasses.astuple(made), [f.name for f in dataclasses.fields(made)]

    assert outcome(OURS) == outcome(STANDARD)
    assert outcome(OURS) == outcome(OURS)  # the second time by the function that the first one wrote


def test_values_are_equal_by_their_fields_and_class():
    point, pair = OURS
    assert pair(1, 2) == pair(1, 2)
    assert len({pair(1, 2), pair(1, 2), pair(2, 1)}) == 2
    assert pair(1, 2) != pair(1, 2, more="m")
    assert pair(1, 2) != (1, 2, "")
    assert pair(1, 2) != STANDARD[1](1, 2)
    assert point(x=1).seen is not point(x=1).seen


def test_a_value_is_frozen_and_has_slots():
    made = OURS[0](x=1)
    for change in (lambda: setattr(made, "x", 2), lambda: delattr(made, "x"), lambda: setattr(made, "y", 2)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert not hasattr(made, "__dict__")
    with pytest.raises(TypeError, match="frozen"):
        dataclasses.dataclass(type("Thawed", (OURS[0],), {}))


def test_values_are_replaced_and_copied():
    made = OURS[0](x=1, seen=[1])
    assert dataclasses.replace(made, x=2) == OURS[0](x=2, seen=[1])
    twin = copy.deepcopy(made)
    assert (twin, twin.seen is made.seen) == (made, False)
    assert copy.copy(made) == made
    state = pickle.loads(pickle.dumps(made.__getstate__()))
    assert state == [1, "here", [1]]


def test_its_signature_is_known_once_it_was_made():
    OURS[1](1)
    assert str(inspect.signature(OURS[1])).startswith("(one, other=None, *, more=")


def test_what_is_not_plain_is_the_standard_librarys():
    @dataclass(slots=True)
    class Changing:
        x: int = 0

    @dataclass(frozen=True, slots=True)
    class Partly:
        x: int
        note: str = dataclasses.field(default="", compare=False)

    made = Changing()
    made.x = 3
    assert made == Changing(x=3)
    assert Partly(1, "a") == Partly(1, "b")
