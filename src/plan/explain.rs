//! The plan as text: what each view embeds and how it is related, which arrangements are held and shared, and which columns are never read.
//! Elsewhere: the nodes of queries (`explain_node`).

use std::fmt::{Display, Formatter, Result};

use super::size::{ArrangedSize, bytes_a_row};
use super::{
    Arrangement, ArrangementKind, Arrangements, Body, Document, Embed, Expression, Input, InputColumn, Lookup, LookupArrangements, Missing,
    Node, OnMany, OrderBy, Origin, Plan, TableRows, Up, ViewReads,
};
use crate::value::Schema;

/// See [`Plan::explain`].
#[derive(Debug, Clone)]
pub struct Explanation<'p> {
    pub(super) plan: &'p Plan,
    /// The size of each arrangement; `None` if unknown.
    sizes: Vec<Option<ArrangedSize>>,
}

impl Plan {
    /// Displays the plan for people. `sizes`: the size of each arrangement, if known.
    pub fn explain(&self, sizes: &[Option<ArrangedSize>]) -> Explanation<'_> {
        Explanation { plan: self, sizes: sizes.to_vec() }
    }
}

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let arrangements = self.plan.arrangements();
        for (view, reads) in arrangements.by_view(self.plan) {
            write!(f, "view {} key {}\n  ", view.name, names(&view.schema, &view.key))?;
            match reads {
                ViewReads::Document(Document { root, lookups }, used) => {
                    self.input(f, root, None)?;
                    writeln!(f, " {}", number(used.root))?;
                    self.lookups(f, root, lookups, &used.lookups, "  ")?;
                    if let Some(query) = view.query() {
                        write!(f, "  the query: ")?;
                        self.node(f, query, &arrangements, "  ", true)?;
                    }
                }
                ViewReads::Query(query, _) => self.node(f, &query.node, &arrangements, "  ", true)?,
            }
            writeln!(f)?;
        }
        self.arrangements(f, &arrangements)?;
        self.pruned(f)
    }
}

impl Plan {
    /// A short name for each arrangement: its number in `explain`, its rows and their key.
    pub fn names_of(&self, arrangements: &Arrangements) -> Vec<String> {
        let name = |(i, Arrangement { input, kind }): (usize, &Arrangement)| {
            let (of, schema) = (self.explain(&[]).origin(input.of), input.schema());
            match kind {
                ArrangementKind::Rows { key } => format!("{} {of} by {}", number(i), names(schema, key)),
                ArrangementKind::Reverse { from, to } => format!("{} {of}: {} to {}", number(i), names(schema, from), names(schema, to)),
            }
        };
        arrangements.list.iter().enumerate().map(name).collect()
    }

    /// A short name for a join side that is not listed, with the first view that it is part of.
    pub fn name_of(&self, side: &Node, key: &[usize]) -> String {
        let view = self.views.iter().find(|view| view.query().is_some_and(|query| query.contains(side)));
        format!("{}: a join's side by {}", view.map_or("query", |view| &view.name), names(side.schema(), key))
    }
}

impl Explanation<'_> {
    fn lookups(&self, f: &mut Formatter<'_>, parent: &Input, lookups: &[Lookup], used: &[LookupArrangements], indent: &str) -> Result {
        for (i, (lookup, used)) in lookups.iter().zip(used).enumerate() {
            let last = i + 1 == lookups.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "{indent}{branch}{} ", embed(lookup))?;
            self.input(f, &lookup.input, Some(&lookup.order_by))?;
            let (from, to) = (names(parent.schema(), &lookup.parent_columns), names(lookup.input.schema(), &lookup.child_columns));
            write!(f, " on {from} = {to} {}", number(used.rows))?;
            if let Up::Index(index) = used.up {
                write!(f, ", up by {}", number(index))?;
            }
            writeln!(f)?;
            self.lookups(f, &lookup.input, &lookup.children, &used.children, &format!("{indent}{below}"))?;
        }
        Ok(())
    }

    fn input(&self, f: &mut Formatter<'_>, input: &Input, order: Option<&[OrderBy]>) -> Result {
        match input.of {
            Origin::Own(_) => write!(f, "the query")?,
            Origin::Table(_) | Origin::View(_) => write!(f, "{}", self.origin(input.of))?,
        }
        write_filter(f, input.filter(self.plan))?;
        if let Some(order) = order.filter(|o| !o.is_empty()) {
            let column = |o: &OrderBy| format!("{}{}", input.schema().columns()[o.column].name, if o.descending { " desc" } else { "" });
            write!(f, " order {}", order.iter().map(column).collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }

    pub(super) fn table_name(&self, table: usize) -> String {
        self.plan.tables[table].full_name()
    }

    fn origin(&self, of: Origin) -> String {
        match of {
            Origin::Table(table) => self.table_name(table),
            Origin::View(view) => format!("view {}", self.plan.views[view].name),
            Origin::Own(view) => format!("the query of {}", self.plan.views[view].name),
        }
    }

    fn arrangements(&self, f: &mut Formatter<'_>, arrangements: &Arrangements) -> Result {
        writeln!(f, "arrangements")?;
        let users = users(self.plan, arrangements);
        for (i, (arrangement, users)) in arrangements.list.iter().zip(&users).enumerate() {
            let shared = if users.len() > 1 { "shared by " } else { "for " };
            let (text, users) = (self.arrangement(arrangement), users.join(", "));
            writeln!(f, "  {} {text} {shared}{users}; {}", number(i), self.bytes(i, arrangement))?;
        }
        Ok(())
    }

    fn arrangement(&self, Arrangement { input, kind }: &Arrangement) -> String {
        let name = self.origin(input.of);
        match kind {
            ArrangementKind::Rows { key } => {
                let filter = input.filter(self.plan).map(|f| format!(" where {}", f.text())).unwrap_or_default();
                let columns: Vec<&str> = input.schema().columns().iter().map(|c| c.name.as_str()).collect();
                let (shown, hidden) = columns.split_at(input.visible);
                let hidden = if hidden.is_empty() { String::new() } else { format!(" (not shown: {})", hidden.join(", ")) };
                format!("{name}{filter} rows by {}: {}{hidden};", names(input.schema(), key), shown.join(", "))
            }
            ArrangementKind::Reverse { from, to } => {
                format!("{name} index {} -> {};", names(input.schema(), from), names(input.schema(), to))
            }
        }
    }

    /// Estimates the memory of an arrangement; without a known size, that of a row by the types of its columns.
    fn bytes(&self, place: usize, arrangement: &Arrangement) -> String {
        match self.sizes.get(place).copied().flatten() {
            Some(ArrangedSize { rows, bytes }) if rows >= 1.0 => {
                format!("about {:.0} bytes a row, about {} in all", bytes / rows, size(bytes.round() as u64))
            }
            Some(_) => "no rows".into(),
            None => format!("about {} bytes a row", bytes_a_row(arrangement)),
        }
    }

    /// Columns of captured tables that no view reads.
    fn pruned(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "pruned columns")?;
        let mut any = false;
        for (i, table) in self.plan.tables.iter().enumerate() {
            let mut used = vec![false; table.schema.len()];
            for view in &self.plan.views {
                let read = match &view.body {
                    Body::Document(document) => document.inputs().into_iter().flat_map(|input| input.rows.tables()).collect(),
                    Body::Query(query) => query.node.tables(),
                };
                read.into_iter().filter(|rows| rows.table == i).for_each(|rows| mark(rows, &mut used));
            }
            let pruned: Vec<&str> =
                table.schema.columns().iter().zip(&used).filter(|(_, used)| !**used).map(|(c, _)| c.name.as_str()).collect();
            if !pruned.is_empty() {
                any = true;
                writeln!(f, "  {}.{}: {}", table.source, table.name, pruned.join(", "))?;
            }
        }
        if !any {
            writeln!(f, "  none")?;
        }
        Ok(())
    }
}

fn embed(lookup: &Lookup) -> String {
    let rule = |on_many: &OnMany| match on_many {
        OnMany::First => "first",
        OnMany::Last => "last",
        OnMany::Error => "only",
    };
    let or = |missing: &Missing, default: Missing| match missing {
        same if *same == default => "",
        Missing::Absent => " or absent",
        Missing::Null => " or null",
        Missing::Empty => " or empty",
    };
    match &lookup.embed {
        Embed::Object { field, on_many, missing } => format!("{field}: object{}, {} of", or(missing, Missing::Absent), rule(on_many)),
        Embed::Flatten { prefix, on_many, missing } => format!("{prefix}*: columns{}, {} of", or(missing, Missing::Null), rule(on_many)),
        Embed::Array { field, limit, missing, aggregates } => {
            let mut parts = Vec::new();
            if let Some(field) = field {
                let limit = limit.map(|n| format!(" of at most {n}")).unwrap_or_default();
                parts.push(format!("{field}: array{limit}{}", or(missing, Missing::Empty)));
            }
            parts.extend(aggregates.iter().map(|a| format!("{}: {}", a.field, a.function.text())));
            format!("{} of", parts.join(", "))
        }
    }
}

/// The users of each arrangement, each once, in the order of the views.
fn users(plan: &Plan, arrangements: &Arrangements) -> Vec<Vec<String>> {
    let mut users = vec![Vec::new(); arrangements.list.len()];
    for (view, reads) in arrangements.by_view(plan) {
        match reads {
            ViewReads::Document(document, used) => {
                add(&mut users, used.root, &view.name);
                add_lookups(&mut users, &view.name, &document.lookups, &used.lookups);
                used.query.iter().for_each(|&u| add(&mut users, u, &view.name));
            }
            ViewReads::Query(_, joined) => joined.iter().for_each(|&u| add(&mut users, u, &view.name)),
        }
    }
    users
}

fn add_lookups(users: &mut [Vec<String>], view: &str, lookups: &[Lookup], used: &[LookupArrangements]) {
    for (lookup, used) in lookups.iter().zip(used) {
        let name = format!("{view} {}", lookup.path);
        add(users, used.rows, &name);
        if let Up::Index(index) = used.up {
            add(users, index, &name);
        }
        add_lookups(users, view, &lookup.children, &used.children);
    }
}

fn add(users: &mut [Vec<String>], arrangement: usize, name: &str) {
    if !users[arrangement].iter().any(|n| n == name) {
        users[arrangement].push(name.to_string());
    }
}

fn mark(rows: &TableRows, used: &mut [bool]) {
    rows.filter.iter().for_each(|f| f.columns().iter().for_each(|&c| used[c] = true));
    for column in &rows.columns {
        match column {
            InputColumn::Column(c) => used[*c] = true,
            InputColumn::Computed(expression) => expression.columns().iter().for_each(|&c| used[c] = true),
        }
    }
}

pub(super) fn write_filter(f: &mut Formatter<'_>, filter: Option<&Expression>) -> Result {
    filter.map_or(Ok(()), |filter| write!(f, " where {}", filter.text()))
}

pub(super) fn all_names(schema: &Schema) -> String {
    schema.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The names of these columns, in parentheses if there are several.
pub(super) fn names(schema: &Schema, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|&c| schema.columns()[c].name.as_str()).collect();
    match names.as_slice() {
        [one] => one.to_string(),
        several => format!("({})", several.join(", ")),
    }
}

/// The number of an arrangement, as `[1]`.
pub(super) fn number(arrangement: usize) -> String {
    format!("[{}]", arrangement + 1)
}

fn size(bytes: u64) -> String {
    match bytes {
        ..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
