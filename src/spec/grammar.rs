//! The keys of a spec file, as data: what checks a file and what the JSON Schema for editors is made of.

use Shape::{Columns, Integer, Kind, List, Map, OneOf, OneOrMany, Options, Record, Text};

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// One sentence for people.
    pub help: &'static str,
}

/// What stands behind a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Integer,
    OneOf(&'static [&'static str]),
    List(&'static Shape),
    /// One, or a list of them.
    OneOrMany(&'static Shape),
    /// Any names, each with one of these.
    Map(&'static Shape),
    Record(&'static [Key]),
    /// A list of names and of maps from a name to SQL.
    Columns,
    /// The name of a kind of source or sink.
    Kind(Role),
    /// What that kind takes.
    Options(Role),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Sink,
}

const fn key(name: &'static str, shape: Shape, help: &'static str) -> Key {
    Key { name, shape, required: false, help }
}

const fn required(name: &'static str, shape: Shape, help: &'static str) -> Key {
    Key { name, shape, required: true, help }
}

pub(super) const SPEC: &[Key] = &[
    required("sources", Map(&Record(SOURCE)), "Where rows and their changes come from, by name"),
    required("views", Map(&Record(VIEW)), "The views that are kept fresh, by name"),
    key("sinks", Map(&Record(SINK)), "Where views go besides the store, by name"),
];

pub(super) const SOURCE: &[Key] = &[
    required("kind", Kind(Role::Source), "The kind of source"),
    key("options", Options(Role::Source), "What this kind takes"),
    key(
        "arrival",
        OneOrMany(&Text),
        "Tables whose rows get the column ROWOFFSET, which rises with every row that arrives: for latest_by_offset and its like",
    ),
];

pub(super) const SINK: &[Key] = &[
    required("kind", Kind(Role::Sink), "The kind of sink"),
    required("view", Text, "The view that goes there"),
    key("options", Options(Role::Sink), "What this kind takes"),
];

pub(super) const FROM: Key = required("from", Text, "The table, as `source.table`, or another view of a query, by its name");
pub(super) const KEY: Key = key(
    "key",
    OneOrMany(&Text),
    "The columns that make a row of the view unique; default: the table's primary key, or what the query says of its rows",
);
pub(super) const LOOKUP_LIST: &str = "lookup";
const WHERE: Key = key("where", Text, "SQL over the table's columns: rows for which it is not true are not there");
const COLUMNS: Key =
    key("columns", Columns, "Exactly these columns, in this order: names, and `{name: SQL}` for renamed and computed ones");
pub(super) const EXCLUDE: Key =
    key("exclude", OneOrMany(&Text), "Columns that are not shown; relations, keys and orders may still name them");
const RENAME: Key = key("rename", Map(&Text), "Columns by their old name, each with its new one");
const COMPUTE: Key = key("compute", Map(&Text), "Computed columns by name, each with SQL over the table's columns");

pub(super) const SQL: &str = "sql";
pub(super) const SQL_FILE: &str = "sql_file";
pub(super) const MAX_RECURSION: Key =
    key("max_recursion", Integer, "Beside `sql`: after how many rounds a WITH RECURSIVE is stopped, with an error; default: 1000");
pub(super) const MAX_RECURSION_ROWS: Key = key(
    "max_recursion_rows",
    Integer,
    "Beside `sql`: a WITH RECURSIVE that finds more rows than this is stopped, with an error; default: 10000000",
);

pub(super) const VIEW: &[Key] = &[
    Key { required: false, ..FROM },
    key(
        SQL,
        Text,
        "Instead of `from`: the query whose rows the view has, over tables (`source.table`) and other views of queries; with `lookup`, \
         documents are made of them",
    ),
    key(SQL_FILE, Text, "Instead of `sql`: the file that the query is in, from the spec's folder"),
    MAX_RECURSION,
    MAX_RECURSION_ROWS,
    KEY,
    WHERE,
    COLUMNS,
    EXCLUDE,
    RENAME,
    COMPUTE,
    key(LOOKUP_LIST, List(&Record(LOOKUP)), "The tables and views of queries that are embedded into each row, to any depth"),
];

pub(super) const LOOKUP: &[Key] = &[
    FROM,
    key("path", Text, "Where the children stand: a field, below another lookup's path and a dot; empty: among the parent's own fields"),
    key("type", OneOf(&["object", "array"]), "One child as an object, or all as an array"),
    required("on", Map(&Text), "The relation: fields of the parent, each with the child's column that equals it"),
    WHERE,
    COLUMNS,
    EXCLUDE,
    RENAME,
    COMPUTE,
    key("order_by", OneOrMany(&Text), "Columns, each with `asc` or `desc` behind it; default: the child's primary key"),
    key("limit", Integer, "At most so many elements (arrays)"),
    key("on_many", OneOf(&["first", "last", "error"]), "Which child an object is, where several match; default: first"),
    key(
        "missing",
        OneOf(&["absent", "null", "empty"]),
        "What stands where no child matches; default: absent for objects, empty for arrays",
    ),
    key(
        "aggregates",
        Map(&Text),
        "Fields beside the array, or instead of it where there is no path: each an SQL aggregate over the children",
    ),
    key("prefix", Text, "Before the names of the child's columns where the path is empty"),
];
