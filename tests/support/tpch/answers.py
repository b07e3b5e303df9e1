"""What DuckDB answers after each transaction: `answers.py FOLDER`.

In: FOLDER/tables.json, tables as options of a file source, with their files; FOLDER/queries.json, a list of queries; and
FOLDER/changes.jsonl, changes as a file source takes them. Out: a JSON line per state, first the one without changes: for each query its rows,
each a list of values. {"about": X} is a floating point number, {"exact": X} any other.
"""

import datetime
import decimal
import itertools
import json
import pathlib
import sys

import duckdb

TYPES = {"int64": "BIGINT", "int32": "INTEGER", "text": "VARCHAR", "date": "DATE"}
SOURCE = "tpch"


def main(folder):
    read = lambda name: json.loads((folder / name).read_text())
    tables, queries = read("tables.json"), read("queries.json")
    database = duckdb.connect()
    database.execute("SET threads = 2")
    database.execute(f"CREATE SCHEMA {SOURCE}")
    for name, table in tables.items():
        create(database, folder, name, table)
    tell(database, queries)
    with open(folder / "changes.jsonl") as lines:
        for transaction in transactions(lines):
            database.execute("BEGIN")
            for (name, op), changes in itertools.groupby(transaction, lambda change: (change["table"], change["op"])):
                apply(database, name, tables[name], op, list(changes))
            database.execute("COMMIT")
            tell(database, queries)


def create(database, folder, name, table):
    columns = ", ".join(f"{column} {TYPES.get(kind, kind)}" for column, kind in table["columns"].items())
    database.execute(f"CREATE TABLE {SOURCE}.{name} ({columns}, PRIMARY KEY ({', '.join(table['key'])}))")
    if "csv" in table:
        database.execute(f"COPY {SOURCE}.{name} FROM '{folder / table['csv']}' (HEADER, DELIMITER '|', QUOTE '')")


def transactions(lines):
    changes = []
    for line in lines:
        change = json.loads(line, parse_float=decimal.Decimal)
        if "commit" in change:
            yield changes
            changes = []
        elif "begin" not in change:
            changes.append(change)


def apply(database, name, table, op, changes):
    row = lambda image, columns: "(" + ", ".join(literal(image[column]) for column in columns) + ")"
    if op == "insert":
        rows = ", ".join(row(change["after"], table["columns"]) for change in changes)
        done = database.execute(f"INSERT INTO {SOURCE}.{name} VALUES {rows}").fetchone()[0]
    else:
        rows = ", ".join(row(change["before"], table["columns"]) for change in changes)
        same = " AND ".join(f"t.{column} = d.{column}" for column in table["columns"])
        gone = f"(VALUES {rows}) d({', '.join(table['columns'])})"
        done = database.execute(f"DELETE FROM {SOURCE}.{name} t USING {gone} WHERE {same}").fetchone()[0]
    assert done == len(changes), f"{done} of {len(changes)} changes of {name} are done"


def literal(value):
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def tell(database, queries):
    answers = [[[cell(value) for value in row] for row in database.execute(query).fetchall()] for query in queries]
    print(json.dumps(answers), flush=True)


def cell(value):
    if isinstance(value, float):
        return {"about": value}
    if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
        return {"exact": str(value)}
    return str(value) if isinstance(value, datetime.date) else value


main(pathlib.Path(sys.argv[1]))
