//! The keys of a spec file, as data. Files are checked against it, and the JSON Schema for editors is generated from it.

use Shape::{Columns, Integer, Kind, List, Map, OneOf, OneOrMany, Options, Record, Text};

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// One sentence for users.
    pub help: &'static str,
}

/// The form of a key's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Integer,
    OneOf(&'static [&'static str]),
    List(&'static Shape),
    /// One value, or a list of values.
    OneOrMany(&'static Shape),
    /// A map with any names as keys and values of this shape.
    Map(&'static Shape),
    Record(&'static [Key]),
    /// A list of names and of maps from a name to SQL.
    Columns,
    /// The name of a kind of source or sink.
    Kind(Role),
    /// The options that the kind declares.
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
    required("sources", Map(&Record(SOURCE)), "The sources of rows and their changes, by name"),
    required("views", Map(&Record(VIEW)), "The views to maintain, by name"),
    key("sinks", Map(&Record(SINK)), "The targets that views are written to, in addition to the store, by name"),
];

pub(super) const SOURCE: &[Key] = &[
    required("kind", Kind(Role::Source), "The kind of source"),
    key("options", Options(Role::Source), "The options of this kind"),
    key(
        "arrival",
        OneOrMany(&Text),
        "Tables that get a column ROWOFFSET, which increases with every row that arrives: needed by latest_by_offset and similar functions",
    ),
];

pub(super) const SINK: &[Key] = &[
    required("kind", Kind(Role::Sink), "The kind of sink"),
    required("view", Text, "The view to write"),
    key("options", Options(Role::Sink), "The options of this kind"),
];

pub(super) const FROM: Key = required("from", Text, "The table, as `source.table`, or the name of another view that has a query");
pub(super) const KEY: Key = key(
    "key",
    OneOrMany(&Text),
    "The columns that make a row of the view unique; default: the table's primary key, or the key derived from the query",
);
pub(super) const LOOKUP_LIST: &str = "lookup";
const WHERE: Key = key("where", Text, "SQL over the table's columns: rows for which it is not true are left out");
const COLUMNS: Key =
    key("columns", Columns, "Exactly these columns, in this order: names, and `{name: SQL}` for renamed and computed columns");
pub(super) const EXCLUDE: Key =
    key("exclude", OneOrMany(&Text), "Columns that are not shown; `on`, `key` and `order_by` may still name them");
const RENAME: Key = key("rename", Map(&Text), "Columns by their old name, each with its new one");
const COMPUTE: Key = key("compute", Map(&Text), "Computed columns by name, each with SQL over the table's columns");

pub(super) const SQL: &str = "sql";
pub(super) const SQL_FILE: &str = "sql_file";
pub(super) const MAX_RECURSION: Key =
    key("max_recursion", Integer, "With `sql`: the number of rounds after which a WITH RECURSIVE fails with an error; default: 1000");
pub(super) const MAX_RECURSION_ROWS: Key = key(
    "max_recursion_rows",
    Integer,
    "With `sql`: the number of rows above which a WITH RECURSIVE fails with an error; default: 10000000",
);

pub(super) const VIEW: &[Key] = &[
    Key { required: false, ..FROM },
    key(
        SQL,
        Text,
        "Instead of `from`: the query whose rows the view has, over tables (`source.table`) and other views of queries; with `lookup`, \
         documents are made of them",
    ),
    key(SQL_FILE, Text, "Instead of `sql`: the file with the query, relative to the spec's folder"),
    MAX_RECURSION,
    MAX_RECURSION_ROWS,
    KEY,
    WHERE,
    COLUMNS,
    EXCLUDE,
    RENAME,
    COMPUTE,
    key(LOOKUP_LIST, List(&Record(LOOKUP)), "The tables and views to embed into each row, to any depth"),
];

pub(super) const LOOKUP: &[Key] = &[
    FROM,
    key("path", Text, "The children's field, after another lookup's path and a dot if nested; empty: among the parent's own fields"),
    key("type", OneOf(&["object", "array"]), "One child as an object, or all as an array"),
    required("on", Map(&Text), "The relation: fields of the parent, each with the child's column that equals it"),
    WHERE,
    COLUMNS,
    EXCLUDE,
    RENAME,
    COMPUTE,
    key("order_by", OneOrMany(&Text), "Columns, each optionally followed by `asc` or `desc`; default: the child's primary key"),
    key("limit", Integer, "The maximum number of elements (arrays)"),
    key("on_many", OneOf(&["first", "last", "error"]), "Which child becomes the object if several match; default: first"),
    key("missing", OneOf(&["absent", "null", "empty"]), "The value if no child matches; default: absent for objects, empty for arrays"),
    key(
        "aggregates",
        Map(&Text),
        "Fields in addition to the array, or instead of it if there is no path: each is an SQL aggregate over the children",
    ),
    key("prefix", Text, "A prefix for the names of the child's columns if the path is empty"),
];
