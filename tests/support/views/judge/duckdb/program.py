"""What DuckDB answers: a request is a JSON line on stdin, its answer one on stdout. Ends with its stdin.

In: {"schema": NAME, "tables": [{"name": NAME, "columns": [[NAME, TYPE], ...]}, ...], "states": [[[ROW, ...], ...], ...], "views": [{"name": NAME,
"text": SQL, "columns": [NAME, ...] or null, "scales": [DIGITS or null, ...]}, ...]}. A state has the rows of each table, as objects. Columns of
which digits are told are rounded to them, half away from zero.

Out: {"views": [VIEW, ...]}. A view is {"refused": WHY}, or {"states": [STATE, ...]} with {"rows": [[VALUE, ...], ...]} or {"refused": WHY} for each.
A value is a text, true, false, null, a list, or an object of those. What DuckDB does not have, a row that it fails on, and a double in place of a
decimal with more digits are refused. Whatever else goes wrong ends this program.
"""

import datetime
import decimal
import json
import pathlib
import sys

import duckdb


class TooFewDigits(Exception):
    """A double stands for a decimal with more digits than it has."""


REFUSALS = (
    TooFewDigits,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.InvalidTypeException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)

# What session.sql says, seen to be so; and what is so without being said.
SEEN = [
    ("SELECT 7 / 2, -7 / 2, -7 % 3", [(3, -3, -1)]),
    ("SELECT array_agg(x ORDER BY x), array_agg(x ORDER BY x DESC) FROM (VALUES (1), (NULL)) t(x)", [([1, None], [None, 1])]),
    ("SELECT x FROM (VALUES (1), (NULL)) t(x) ORDER BY x DESC LIMIT 1", [(None,)]),
    ("SELECT row_number() OVER (ORDER BY x DESC) FROM (VALUES (1), (NULL)) t(x) WHERE x IS NULL", [(1,)]),
    ("SELECT CAST(timestamp with time zone '2015-07-15 10:20:30+02' AS timestamp)", [(datetime.datetime(2015, 7, 15, 8, 20, 30),)]),
    ("SELECT round(2.5::double), round(-0.5::double), round(2.5::decimal(2, 1)), round(0.25::decimal(3, 2), 1)", [(2, 0, 3, decimal.Decimal("0.3"))]),
    ("SELECT CAST(2.5::double AS int), CAST(2.5::decimal(2, 1) AS int)", [(2, 3)]),
    ("SELECT 'B' < 'a', 'é' > 'z', NULL || 'x', concat(NULL, 'x')", [(True, True, None, "x")]),
    ("SELECT unless_nan(corr(x, x)), unless_nan(regr_slope(x, x)) FROM (VALUES (1), (1)) t(x)", [(None, None)]),
]


def main():
    database = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    database.execute(pathlib.Path(__file__).with_name("session.sql").read_text())
    for statement, right in SEEN:
        found = database.execute(statement).fetchall()
        assert found == right, f"DuckDB has another dialect than is known here: {statement} gives {found}, not {right}"
    for line in sys.stdin:
        print(json.dumps(answer(database, json.loads(line, parse_int=str, parse_float=str))), flush=True)


def answer(database, request):
    schema = quoted(request["schema"])
    database.execute(f"CREATE SCHEMA {schema}")
    tables = [f"{schema}.{quoted(table['name'])}" for table in request["tables"]]
    for name, table in zip(tables, request["tables"]):
        columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in table["columns"])
        database.execute(f"CREATE TABLE {name} ({columns})")
    views = [made(database, view) for view in request["views"]]
    held = [[] for _ in tables]
    for state in request["states"]:
        for place, (name, table, rows) in enumerate(zip(tables, request["tables"], state)):
            if held[place] != rows:
                load(database, name, table, rows)
                held[place] = rows
        for view, asked in zip(views, request["views"]):
            if "refused" not in view:
                view["states"].append(rows_of(database, view["select"], view["zoned"], asked))
    for view, asked in zip(reversed(views), reversed(request["views"])):
        if "refused" not in view:
            database.execute(f"DROP VIEW {quoted(asked['name'])}")
    database.execute(f"DROP SCHEMA {schema} CASCADE")
    return {"views": [{key: view[key] for key in ("refused", "states") if key in view} for view in views]}


def made(database, view):
    name = quoted(view["name"])
    named = "" if view["columns"] is None else f" ({', '.join(map(quoted, view['columns']))})"
    try:
        database.execute(f"CREATE VIEW {name}{named} AS {view['text']}")
    except REFUSALS as refusal:
        return {"refused": str(refusal)}
    # A time with a zone is told as what clocks show in UTC.
    columns = [(column, kind) for column, kind, *_ in database.execute(f"DESCRIBE {name}").fetchall()]
    zoned = ["WITH TIME ZONE" in kind for _, kind in columns]
    plain = lambda column, kind: f"CAST({quoted(column)} AS {kind.replace(' WITH TIME ZONE', '')})"
    selected = [plain(*column) if zone else quoted(column[0]) for column, zone in zip(columns, zoned)]
    return {"select": f"SELECT {', '.join(selected)} FROM {name}", "zoned": zoned, "states": []}


def load(database, name, table, rows):
    database.execute(f"DELETE FROM {name}")
    if rows:
        texts = ["(" + ", ".join(literal(row.get(column)) for column, _ in table["columns"]) + ")" for row in rows]
        database.execute(f"INSERT INTO {name} VALUES {', '.join(texts)}")


def rows_of(database, select, zoned, asked):
    try:
        rows = database.execute(select).fetchall()
        of = list(zip(asked["scales"], zoned))
        return {"rows": [[cell(rounded(value, scale), zone) for value, (scale, zone) in zip(row, of, strict=True)] for row in rows]}
    except REFUSALS as refusal:
        return {"refused": str(refusal)}


def rounded(value, scale):
    if scale is None or value is None:
        return value
    if isinstance(value, float) and abs(value) * 10 ** int(scale) >= 2**53:
        raise TooFewDigits(value)
    return decimal.Decimal(str(value)).quantize(decimal.Decimal(1).scaleb(-int(scale)), decimal.ROUND_HALF_UP)


def cell(value, zoned):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat() + ("+00" if zoned else "")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        sign, length = ("-", -value) if value < datetime.timedelta() else ("", value)
        seconds, fraction = divmod(length // datetime.timedelta(microseconds=1), 1_000_000)
        return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"
    if isinstance(value, list):
        return [cell(item, zoned) for item in value]
    if isinstance(value, dict):
        return {key(name): cell(item, zoned) for name, item in value.items()}
    raise TypeError(f"a value of {type(value)}")


def key(name):
    return str(name).lower() if isinstance(name, bool) else str(name)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'"


decimal.getcontext().prec = 100
main()
