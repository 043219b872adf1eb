"""Values that hurt, per family: what migrations lose, round, trim, fold or confuse.

``pool`` gives a few values to choose from, ``distinct`` an endless row of different ones; both are pure.
"""

from __future__ import annotations

import json
import random
import re
import string
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from seatrial.seeds.families import Family

_MONSTER = " 00501 Ünï-MiXed 😀 "
_TEXTS = (
    _MONSTER, "", "00501", "Zoë O'Hara", "MiXed CaSe", "trailing  ", "naïve – 東京",
    'quote " \\ % _', "two\nlines", "NULL",
)  # fmt: skip
_LONG = "Łong välue 0123456789 "
_FLAVOURS = ("00", "Ünï-", "MiXed ", "o'h-", "x ", "東京", "ZZ-", " b😀")
_TRUTHS = tuple(
    tuple(map(form, pair))
    for pair in (("t", "f"), ("true", "false"), ("y", "n"), ("yes", "no"))
    for form in (str.lower, str.upper, str.title)
)
_DIGITS = string.digits + string.ascii_lowercase

_JSON = r"json|metadata|meta|settings|config|options|payload|attributes|extra|properties|params|data$"
_APART = (
    r"(^|_)(id|uuid|guid|e?mail|slug|key|token|code|username|login|sku|hash|sha\d*|checksum|path|uri|url|hostname|domain"
    r"|name|version|num)$"
)

# What a text column holds by its name: such values survive the casts and parsers that the name suggests.
_NAMED: Sequence[tuple[str, Sequence[str]]] = (
    (r"mail", ("Ann.O'Hara+00501@Example.com", "zoë@exämple.org", "bob@example.com", "BOB@Example.COM")),
    (r"url|uri|link|website|href", ("https://Example.com/a%20b?q=1&r=%C3%BC#x", "http://example.org/", "https://example.com/00501")),
    (r"uuid|guid", ("0a1b2c3d-0001-4000-8000-00000000000a", "0A1B2C3D-0002-4000-8000-00000000000B")),
    (_JSON, ('{"b": 1, "a": {"x": [1, null, 1.10]}, "b": 2}', '{"k" :  "ünï 😀", "n": 1.00}', "{}")),
    (r"(^|_)(version|semver|num|ver)$", ("1.0.0", "1.10.0-rc.1+build.5", "0.00.2")),
    (r"slug|username|login|hostname|domain", ("00501-mixed-case", "zoe_o", "a-b-c", "X")),
    (r"zip|postal|postcode", ("00501", "01002 ", "K1A 0B1")),
    (r"phone|fax|mobile", ("+41 79 000 05 01", "0041790000501", "(555) 010-0999")),
    (r"(^|_)(date|day|birthday|dob)$|_on$", ("2024-02-29", "1999-12-31", "1970-01-01")),
    (r"_at$|timestamp|datetime", (
        "2024-03-10 02:30:00.123456", "2024-11-03 01:30:00.654321", "1999-12-31 23:59:59.999999")),
    (r"(^|_)(amount|price|cost|total|balance|rate)$", ("1234.50", "0.10", "00501", "-7.05")),
    (r"(^|_)(count|qty|quantity|number|size|age|position|sort_order)$", ("00501", "7", "0", "42")),
    (r"(^|_)(ip|ip_address)$", ("192.168.0.1", "2001:db8::1", "10.0.0.255")),
)  # fmt: skip
_FEW: dict[str, Sequence[object]] = {
    "boolean": (True, False),
    "date": ("2024-02-29", "1999-12-31", "1970-01-01", "2038-01-20", "1900-01-01"),
    "time": ("23:59:59.999999", "00:00:00", "02:30:00.000001"),
    "timetz": ("23:59:59.999999+05:30", "00:00:00+00", "02:30:00.000001-05"),
    "timestamp": (
        "2024-03-10 02:30:00.123456", "2024-11-03 01:30:00.654321", "1999-12-31 23:59:59.999999",
        "2024-02-29 00:00:00", "2001-02-03 04:05:06.000001",
    ),
    "timestamptz": (
        "2024-11-03 01:30:00.123456-04:00", "2024-11-03 01:30:00.123456-05:00", "1999-12-31 23:59:59.999999+00:00",
        "2024-03-10 02:30:00.000001+05:30",
    ),
    "year": (2024, 1999, 1970),
    "interval": ("1 day 02:03:04.000005", "1 mon", "-00:00:01", "24:00:00"),
    "json": (
        '{"b": 1, "a": {"x": [1, null, 1.10]}, "b": 2}', '{"k" :  "ünï 😀", "n": 1.00}', "{}",
        '{"id": 9007199254740993, "z": ""}',
    ),
    "inet": ("192.168.0.1", "2001:db8::1", "10.1.2.3/24"),
    "address": ("192.168.0.1", "2001:db8::1", "10.0.0.255"),
    "cidr": ("10.0.0.0/8", "2001:db8::/32", "192.168.7.0/24"),
    "macaddr": ("08:00:2b:01:02:03", "00:00:00:00:00:01"),
    "macaddr8": ("08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:01"),
    "xml": ('<a b="1">ünï</a>', "<a/>", "<a> x </a>"),
    "money": ("1234.50", "-0.05", "0"),
    "tsvector": ("'fat':2 'rat':3", "", "'a':1A"),
    "tsquery": ("'fat' & 'rat'", "'a':*"),
    "hstore": ('"a"=>"1", "b"=>NULL', "", '"ü"=>""'),
    "ltree": ("Top.Science", "Top", "Top.Science.X_1"),
    "pg_lsn": ("0/16B3748", "FFFFFFFF/0"),
    "point": ("(1.5,-0.1)", "(0,0)", "POINT(1.5 -0.25)", "POINT(0 0)"),  # PostgreSQL's, then MySQL's
    "jsonpath": ("$.a[*]", "strict $"),
    "regclass": ("pg_class", "pg_type"),
    "regtype": ("integer", "text"),
    "regproc": ("now",),
    "pg_snapshot": ("10:20:10,14", "1:1:"),
    "txid_snapshot": ("10:20:10,14", "1:1:"),
    "xid": ("42", "0"),
    "xid8": ("42", "0"),
    "tid": ("(0,1)", "(1,1)"),
    "line": ("{1,-1,0.5}", "{0,1,0}"),
    "lseg": ("[(0,0),(1.5,1)]", "[(1,1),(1,2)]"),
    "box": ("(1.5,1),(0,0)", "(3,3),(1,2)"),
    "path": ("((0,0),(1,1.5))", "[(0,0),(1,1)]"),
    "polygon": ("((0,0),(1,0),(1,1.5))", "((0,0),(2,0),(1,1))", "POLYGON((0 0,1 0,1 1.5,0 0))"),
    "spatial": (
        "POINT(1.5 -0.25)", "LINESTRING(0 0,1 1.5)", "MULTIPOINT((0 0),(1 1.5))", "MULTILINESTRING((0 0,1 1.5))",
        "MULTIPOLYGON(((0 0,1 0,1 1.5,0 0)))", "GEOMETRYCOLLECTION(POINT(1.5 -0.25))", "SRID=4326;POINT(1.5 -0.25)",
        "POLYGON((0 0,1 0,1 1.5,0 0))",
    ),
    "circle": ("<(0,0),1.5>", "<(1,1),2>"),
    "unknown": ("1", "x", "{}", ""),
}  # fmt: skip
_FEW["jsonb"] = _FEW["json"]


def pool(family: Family, name: str = "", default: str | None = None) -> list[object]:
    """A few different values of a family, each hurting in another way; ``name`` and ``default`` are the column's."""
    maker = _POOLS.get(family.name)
    values = list(maker(family)) if maker else list(_FEW.get(family.name, ()))
    if family.name == "boolean":
        values = _spelled(default) or values
    if family.name in ("text", "char"):
        values = [_encodable(v, family.charset) for v in _texts(family, name, default)]
    return list(dict.fromkeys(values)) if family.name != "float" else values


def _spelled(default: str | None) -> list[object]:
    """Truth in the words of its column's default: SQLite stores 'f' where a BOOLEAN says so, and 'f' is not 0."""
    found = re.fullmatch(r"'(\w+)'", default or "")
    return list(next((pair for pair in _TRUTHS if found and found[1] in pair), ()))


def _integers(family: Family) -> list[object]:
    values = [7, 0, 42, -1, 1000003, 120]
    if family.high == 2**63 - 1:
        values.insert(1, 2**53 + 1)
    return [v for v in values if family.low <= v <= family.high]


def _decimals(family: Family) -> list[object]:
    scale = 3 if family.scale is None else family.scale
    whole = 20 if family.precision is None else family.precision - scale
    whole = max(0, whole)
    parts = (("123456"[:whole], "1234567890"), ("0", "1050505050"), ("7", "0505050505"), ("0", "0"), ("19", "99"))
    values = [f"{w[:whole] or '0'}.{f.ljust(scale, '0')[:scale]}".rstrip(".") for w, f in parts]
    values[2] = values[2] if family.low == 0 else f"-{values[2]}"
    return list(values)


def _bytes(family: Family) -> list[object]:
    values = [b"\x00\xff\x10raw", b"", b"\\x41 'q'", b"trailing\x00\x00"]
    if family.name == "binary":
        return [v[: family.length].ljust(family.length or 1, b"\x00") for v in values]
    return [v[: family.length] for v in values]


def _bits(family: Family) -> list[object]:
    length = family.length or 8
    patterns = ("10", "0", "1", "001")
    return [(p * length)[:length] for p in patterns]


def _ranges(family: Family) -> list[object]:
    return [distinct(family, i, 3) for i in range(3)] + ["{}" if family.name == "multirange" else "empty"]


def _arrays(family: Family) -> list[object]:
    inner = [_element(v) for v in pool(family.element or Family(name="text"))]
    return [f"{{{inner[0]},NULL,{inner[-1]}}}", "{}", f"{{{inner[-1]},{inner[-1]}}}"]


def _composites(family: Family) -> list[object]:
    """Row literals (PostgreSQL manual, 8.16.2); an empty field is NULL."""
    columns = [pool(e) or [None] for e in family.elements]
    rows = ([c[i % len(c)] for c in columns] for i in range(3))
    return ["(" + ",".join("" if v is None else _element(v) for v in row) + ")" for row in rows]


def _element(value: object) -> str:
    """A value inside an array literal (PostgreSQL manual, 8.15.2)."""
    if isinstance(value, bytes):
        value = f"\\x{value.hex()}"
    text = str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _documents(family: Family) -> list[object]:
    if family.element is not None:
        return ["[]", '["a", "ünï 😀"]', '["00501"]']
    if not family.labels:
        return list(_FEW["json"])
    return [json.dumps(dict.fromkeys(family.labels, v), ensure_ascii=False) for v in ("a", "ünï 😀", "00501")]


_POOLS: dict[str, Callable[[Family], Sequence[object]]] = {
    "integer": _integers,
    "decimal": _decimals,
    "float": lambda f: [0.1, -0.0, 12345.678, 1e-7] if f.precision == 15 else [0.1, -0.0, 12345.5, 0.25],
    "bytes": _bytes,
    "binary": _bytes,
    "bit": _bits,
    "varbit": _bits,
    "uuid": lambda f: [_uuid(i, 11) for i in range(4)],
    "enum": lambda f: f.labels,
    "json": _documents,
    "jsonb": _documents,
    "set": lambda f: [",".join(f.labels[:2]), f.labels[0], ""],
    "range": _ranges,
    "multirange": _ranges,
    "array": _arrays,
    "composite": _composites,
    "vector": lambda f: [f"[{','.join(str(n + k / 2) for k in range(f.length or 3))}]" for n in range(3)],
}


def _texts(family: Family, name: str, default: str | None) -> list[object]:
    named = next((texts for pattern, texts in _NAMED if re.search(pattern, name.lower())), None)
    texts = [*(named or _TEXTS)]
    if family.length and not named and family.length <= 1000:
        texts.append((_LONG * (family.length // len(_LONG) + 1))[: family.length])
    if default is not None and (constant := re.match(r"'([^']*)'", default)):
        texts.insert(0, constant[1])
        if re.fullmatch(r"\s*[\[{].*[\]}]\s*", constant[1]):
            texts = [constant[1], *(dict(_NAMED)[_JSON] if "{" in constant[1] else ('["a", null, 1.10]',))]
    fitting = [t for t in texts if family.length is None or len(t) <= family.length]
    return [*fitting, *(t[: family.length] for t in texts if t not in fitting)]


def looks_unique(name: str) -> bool:
    """Names whose values are told apart in practice, whether or not a constraint says so."""
    return bool(re.search(_APART, name.lower()))


def distinct(family: Family, i: int, base: int, name: str = "") -> object:
    """Value number ``i`` of an endless row of different ones; None where the family has no more."""
    maker = _DISTINCT.get(family.name, _from_few)
    value = maker(family, i, base, name)
    return _encodable(value, family.charset) if isinstance(value, str) and family.charset else value


def _encodable(value: object, charset: str) -> object:
    """A text without the characters that its column's character set lacks (MySQL)."""
    if not isinstance(value, str) or charset in ("", "utf8mb4", "utf16", "utf32"):
        return value
    if charset.startswith(("utf8", "ucs2")):
        return "".join(c for c in value if ord(c) < 0x10000)
    return value.encode("latin-1" if charset == "latin1" else "ascii", "ignore").decode("latin-1")


def _distinct_integer(family: Family, i: int, base: int, name: str) -> object:
    if family.high == 2**63 - 1 and i % 8 == 2:
        return 2**53 + 1 + base + i  # what a double cannot tell from its neighbour
    start, room = max(family.low, 1), family.high - 2000
    if base > room:
        start += base % (room if room > 1 else max(1, family.high // 2))
    value = (base if base <= room else start) + i
    return value if family.low <= value <= family.high else None


def _distinct_decimal(family: Family, i: int, base: int, name: str) -> object:
    scale = 3 if family.scale is None else family.scale
    limit = 10 ** ((family.precision or 20) - scale)
    fraction = "1050505050".ljust(scale, "0")[:scale]
    return f"{(base + i) % limit if base + i >= limit else base + i}.{fraction}".rstrip(".") if i < limit else None


def _distinct_text(family: Family, i: int, base: int, name: str) -> object:
    code = _base36(i + base % 36**3)
    if "mail" in name.lower():
        text = f"Ann.{code}@Example.com"
    elif re.search(r"uuid|guid", name.lower()) and (family.length or 36) >= 36:
        text = _uuid(i, base)
    elif re.search(r"(^|_)(version|semver|num|ver)$", name.lower()):
        text = f"1.{i}.0-rc.{base % 100}"
    elif re.search(r"slug|username|login|hostname|domain", name.lower()):
        text = f"{('00', 'Mixed-', 'a_')[i % 3]}{code}"
    elif re.search(r"(^|_)(url|uri|link|website|href)$", name.lower()):
        text = f"https://example.com/Ü/{code}"
    else:
        text = _FLAVOURS[i % len(_FLAVOURS)] + code
    if family.length is None or len(text) <= family.length:
        return text
    code = _base36(i)
    room = family.length - len(code)
    return text[:room] + code if room >= 0 else None


def _base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _uuid(i: int, base: int) -> str:
    return str(uuid.UUID(int=random.Random(f"{base}/{i}").getrandbits(128), version=4))


def _day(i: int, base: int) -> str:
    return (date(2001, 1, 1) + timedelta(days=base % 5000 + i)).isoformat()


def _moment(i: int, base: int) -> str:
    moment = datetime(2001, 2, 3, 4, 5, 6, 123456, tzinfo=UTC) + timedelta(days=base % 5000, minutes=61 * i)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _time(i: int, base: int) -> str:
    seconds = (base + 7 * i) % 86400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000001"


def _distinct_bytes(family: Family, i: int, base: int, name: str) -> object:
    length = family.length or 8
    number = i if length < 4 else base + i
    if number >= 256**length:
        return None
    return number.to_bytes(length if family.name == "binary" or length < 8 else 8)


def _distinct_range(family: Family, i: int, base: int, name: str) -> object:
    """Ranges that do not overlap, so that an exclusion constraint takes them too."""
    element = family.element or Family(name="integer")
    low, high = (distinct(element, 3 * i + k, base) for k in (0, 2))
    if low is None or high is None or (element.name == "decimal" and float(str(low)) > float(str(high))):
        return None
    text = f'["{low}","{high}")'
    return f"{{{text}}}" if family.name == "multirange" else text


def _distinct_array(family: Family, i: int, base: int, name: str) -> object:
    value = distinct(family.element or Family(name="text"), i, base)
    return None if value is None else f"{{{_element(value)},NULL}}"


def _from_few(family: Family, i: int, base: int, name: str) -> object:
    values = pool(family)
    return values[i] if i < len(values) else None


_Distinct = Callable[[Family, int, int, str], object]
_DISTINCT: dict[str, _Distinct] = {
    "integer": _distinct_integer,
    "decimal": _distinct_decimal,
    "float": lambda f, i, b, n: float(b % 100000 + i) + 0.5,
    "text": _distinct_text,
    "char": _distinct_text,
    "uuid": lambda f, i, b, n: _uuid(i, b),
    "date": lambda f, i, b, n: _day(i, b),
    "timestamp": lambda f, i, b, n: _moment(i, b),
    "timestamptz": lambda f, i, b, n: _moment(i, b) + "+05:30",
    "time": lambda f, i, b, n: _time(i, b),
    "timetz": lambda f, i, b, n: _time(i, b) + "+05:30",
    "interval": lambda f, i, b, n: f"{i + 1} days {i % 24:02}:00:00.000005",
    "year": lambda f, i, b, n: 1970 + i if i < 120 else None,
    "bytes": _distinct_bytes,
    "binary": _distinct_bytes,
    "json": lambda f, i, b, n: f'{{"n": 1.00, "id":  {b + i}}}',
    "jsonb": lambda f, i, b, n: f'{{"n": 1.00, "id":  {b + i}}}',
    "inet": lambda f, i, b, n: f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}",
    "address": lambda f, i, b, n: f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}",
    "cidr": lambda f, i, b, n: f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}/32",
    "macaddr": lambda f, i, b, n: f"08:00:2b:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}",
    "bit": lambda f, i, b, n: format(i, f"0{f.length or 1}b") if i < 2 ** (f.length or 1) else None,
    "varbit": lambda f, i, b, n: format(i, "b") if f.length is None or i < 2**f.length else None,
    "money": lambda f, i, b, n: f"{b % 100000 + i}.05",
    "ltree": lambda f, i, b, n: f"Top.N{b + i}",
    "xml": lambda f, i, b, n: f"<a>{b + i}</a>",
    "array": _distinct_array,
    "range": _distinct_range,
    "multirange": _distinct_range,
    "enum": _from_few,
    "boolean": _from_few,
    "set": _from_few,
    "unknown": lambda f, i, b, n: str(b + i),
}  # fmt: skip
