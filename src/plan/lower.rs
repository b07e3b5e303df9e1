//! Views as written, and the tables they may name, to a [`Plan`]: every name resolved, every expression compiled and typed.
//!
//! In: [`WrittenView`]s and a [`Catalog`]. Out: the plan, or all problems of all views at once. Where the tables of a source are not
//! known (its server cannot be reached) [`examine`] still says whatever can be known without them.
//! Elsewhere: which lookup lies in which (`parents`), relations (`relation`), columns (`lower_input`), documents (`lower_embed`).

use std::collections::{BTreeMap, BTreeSet};

use super::lower_embed;
use super::lower_input::InputDraft;
use super::parents::{self, Parent};
use super::problem::{Problem, did_you_mean, listed};
use super::query::{Readable, makes_unique};
use super::relation::{self, Drafts};
use super::written::{Place, TableName, Written, WrittenInput, WrittenQuery, WrittenView};
use super::{Body, Document, Node, Plan, PlanTable, Query, Uniqueness, View};
use crate::sql::{Relation, plan_query};

/// The tables that views may name.
#[derive(Debug, Default)]
pub struct Catalog {
    pub tables: Vec<PlanTable>,
    /// All names that a source has, where it was asked: for messages that name the nearest.
    pub names: BTreeMap<String, Vec<String>>,
    /// Sources whose tables are not known: nothing is said about their names.
    pub unknown: BTreeSet<String>,
    /// Tables that are there, but that their source refuses; that has been reported.
    pub unknown_tables: BTreeSet<TableName>,
}

impl From<Vec<PlanTable>> for Catalog {
    fn from(tables: Vec<PlanTable>) -> Catalog {
        Catalog { tables, ..Catalog::default() }
    }
}

/// The plan of all views. Fails with every problem of every view; never with none.
pub fn lower(views: &[WrittenView], tables: &[PlanTable]) -> Result<Plan, Vec<Problem>> {
    let catalog = Catalog::from(tables.to_vec());
    let (plan, problems) = lower_all(views, &catalog);
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(problems),
    }
}

/// Every problem that can be seen with what the catalog knows, and the plan where all is known and right.
pub fn examine(views: &[WrittenView], catalog: &Catalog) -> (Option<Plan>, Vec<Problem>) {
    let (plan, problems) = lower_all(views, catalog);
    (plan.filter(|_| problems.is_empty()), problems)
}

fn lower_all(views: &[WrittenView], catalog: &Catalog) -> (Option<Plan>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut lowered = Vec::new();
    for view in views.iter().filter(|v| v.query.is_none()) {
        let mut found = Findings { view: view.name.value.clone(), list: Vec::new() };
        lowered.push((&view.name.value, lower_view(view, catalog, &mut found)));
        problems.append(&mut found.list);
    }
    lowered.extend(lower_queries(views, catalog, &mut problems));
    lowered.sort_by_key(|(name, _)| views.iter().position(|v| v.name.value == **name));
    let views: Option<Vec<View>> = lowered.into_iter().map(|(_, view)| view).collect();
    (views.map(|views| Plan { tables: catalog.tables.clone(), views }), problems)
}

/// The problems of one view so far.
pub(super) struct Findings {
    pub view: String,
    pub list: Vec<Problem>,
}

impl Findings {
    pub(super) fn say(&mut self, at: Place, message: impl Into<String>, label: Option<String>, help: Option<String>) {
        let (view, message) = (self.view.clone(), message.into());
        self.list.push(Problem { view, at, within: None, message, label, help });
    }
}

fn lower_view(view: &WrittenView, catalog: &Catalog, found: &mut Findings) -> Option<View> {
    let parents = parents::parents(&view.lookups, found);
    let mut drafts = Drafts {
        root: draft(&view.root, view.name.at, catalog, found),
        lookups: view.lookups.iter().map(|l| draft(&l.input, l.at, catalog, found)).collect(),
    };
    let key = view_key(view, &mut drafts, found);
    let relations: Vec<_> = (0..view.lookups.len()).map(|i| relation::relate(view, &parents, i, &mut drafts, found)).collect();
    let orders: Vec<_> = (0..view.lookups.len()).map(|i| lower_embed::order(&view.lookups[i], drafts.lookups[i].as_mut(), found)).collect();
    for (lookup, draft) in view.lookups.iter().zip(&mut drafts.lookups) {
        if let Some(draft) = draft {
            lower_embed::take_aggregated_columns(lookup, draft);
        }
    }
    let known = drafts.root.is_some() && drafts.lookups.iter().all(Option::is_some) && !parents.contains(&Parent::Unknown);
    let built = lower_embed::Builder { view, parents: &parents, drafts: &drafts, relations: &relations, orders: &orders };
    let (lookups, schema) = built.root(found);
    let root = drafts.root.as_ref()?;
    known.then(|| View { name: view.name.value.clone(), key, schema, body: Body::Document(Document { root: root.finish(), lookups }) })
}

/// Views of queries, those that others read first; a view that nobody can begin with is in a circle.
fn lower_queries<'a>(views: &'a [WrittenView], catalog: &Catalog, problems: &mut Vec<Problem>) -> Vec<(&'a String, Option<View>)> {
    let mut waiting: Vec<(&WrittenView, &WrittenQuery)> = views.iter().filter_map(|v| Some((v, v.query.as_ref()?))).collect();
    let (mut lowered, mut nodes) = (Vec::new(), BTreeMap::new());
    while !waiting.is_empty() {
        let undone: Vec<&str> = waiting.iter().map(|(view, _)| view.name.value.as_str()).collect();
        let ready = waiting.iter().position(|(_, query)| query.views.iter().all(|name| !undone.contains(&name.as_str())));
        let (view, query) = waiting.remove(ready.unwrap_or(0));
        let mut found = Findings { view: view.name.value.clone(), list: Vec::new() };
        let result = match ready {
            None => {
                let help = "WITH RECURSIVE is for rows that depend on each other".to_string();
                found.say(query.sql.at, "the view reads itself, through others or directly", None, Some(help));
                None
            }
            Some(_) => lower_query_view(view, query, views, catalog, &mut nodes, &mut found),
        };
        problems.append(&mut found.list);
        lowered.push((&view.name.value, result));
    }
    lowered
}

fn lower_query_view(
    view: &WrittenView,
    query: &WrittenQuery,
    views: &[WrittenView],
    catalog: &Catalog,
    nodes: &mut BTreeMap<String, Node>,
    found: &mut Findings,
) -> Option<View> {
    let at = query.sql.at;
    let mut relations = Vec::new();
    for TableName { source, table } in &query.tables {
        match catalog.tables.iter().find(|t| t.source == *source && t.name == *table) {
            Some(known) => {
                relations.push(Relation { source: Some(source.clone()), name: table.clone(), schema: known.schema.clone() });
            }
            None if catalog.unknown.contains(source) => return None,
            None if catalog.unknown_tables.contains(&TableName { source: source.clone(), table: table.clone() }) => return None,
            None => {
                refuse_unknown_table(at, source, table, catalog, found);
                return None;
            }
        }
    }
    for name in &query.views {
        let Some(node) = nodes.get(name) else {
            refuse_unreadable_view(at, name, views, found);
            return None;
        };
        relations.push(Relation { source: None, name: name.clone(), schema: node.schema().clone() });
    }
    let readable = Readable { tables: &catalog.tables, views: nodes, limit: query.limit, itself: None };
    let lowered = plan_query(&query.sql.value, &relations).and_then(|plan| readable.node(&plan)).map(|node| readable.pruned(node));
    let node = match lowered {
        Ok(node) => node,
        Err(error) => {
            found.list.push(Problem {
                view: found.view.clone(),
                at,
                within: error.span.filter(|span| *span != (0..query.sql.value.len())),
                message: error.message,
                label: None,
                help: error.help,
            });
            return None;
        }
    };
    let key = readable.key(&node);
    let uniqueness = match &key {
        Some(_) if makes_unique(&node) => Uniqueness::Made,
        Some(_) => Uniqueness::Declared,
        None => Uniqueness::None,
    };
    let key = key.unwrap_or_else(|| (0..node.schema().len()).collect());
    let schema = node.schema().clone();
    nodes.insert(view.name.value.clone(), node.clone());
    Some(View { name: view.name.value.clone(), key, schema, body: Body::Query(Query { node, uniqueness }) })
}

/// Says why a name that a query reads cannot be read; nothing where that view's own problem has been said.
fn refuse_unreadable_view(at: Place, name: &str, views: &[WrittenView], found: &mut Findings) {
    match views.iter().find(|v| v.name.value == name) {
        Some(view) if view.query.is_some() => {}
        Some(_) => {
            let help = "read the tables that it is made of".to_string();
            found.say(at, format!("`{name}` is a view of documents, which a query cannot read"), None, Some(help));
        }
        None => {
            let names = || views.iter().filter(|v| v.query.is_some()).map(|v| v.name.value.as_str());
            let help = did_you_mean(name, names()).or(Some("a table is written `source.table`".to_string()));
            found.say(at, format!("there is no view `{name}`"), None, help);
        }
    }
}

fn draft<'a>(written: &WrittenInput, at: Place, catalog: &'a Catalog, found: &mut Findings) -> Option<InputDraft<'a>> {
    let name = written.table.as_ref()?;
    let (source, table) = (&name.value.source, &name.value.table);
    let place = catalog.tables.iter().position(|t| t.source == *source && t.name == *table);
    let Some(index) = place else {
        if !catalog.unknown.contains(source) && !catalog.unknown_tables.contains(&name.value) {
            refuse_unknown_table(name.at, source, table, catalog, found);
        }
        return None;
    };
    Some(InputDraft::new(written, at, (index, &catalog.tables[index]), found))
}

fn refuse_unknown_table(at: Place, source: &str, table: &str, catalog: &Catalog, found: &mut Findings) {
    let discovered = || catalog.tables.iter().filter(|t| t.source == source).map(|t| t.name.as_str());
    let names: Vec<&str> = match catalog.names.get(source) {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => discovered().collect(),
    };
    let label = (!names.is_empty()).then(|| format!("tables: {}", listed(names.iter().copied())));
    found.say(at, format!("`{source}` has no table `{table}`"), label, did_you_mean(table, names.iter().copied()));
}

/// The declared key, else the table's primary key; always shown.
fn view_key(view: &WrittenView, drafts: &mut Drafts, found: &mut Findings) -> Vec<usize> {
    let Some(root) = drafts.root.as_mut() else { return Vec::new() };
    if view.key.is_empty() {
        let key: Vec<usize> = root.table.key.clone();
        let at = view.root.table.as_ref().map_or(view.name.at, |t| t.at);
        if key.is_empty() {
            let message = format!("`{}` has no primary key", root.table.name);
            found.say(at, message, None, Some("say which columns make a row of the view unique: `key: [...]`".into()));
        }
        let columns: Vec<usize> = key.into_iter().map(|k| root.table_column(k)).collect();
        for &column in columns.iter().filter(|&&c| !root.is_visible(c)) {
            refuse_hidden_key(at, &root.column(column).name, found);
        }
        return columns;
    }
    let mut columns = Vec::new();
    for name in &view.key {
        let Some(column) = root.need(name, found) else { continue };
        if columns.contains(&column) {
            found.say(name.at, format!("`{}` is twice in the key", name.value), None, None);
        } else if !root.is_visible(column) {
            refuse_hidden_key(name.at, &name.value, found);
        }
        columns.push(column);
    }
    columns
}

fn refuse_hidden_key(at: Place, name: &str, found: &mut Findings) {
    let help = "add it to `columns`, take it out of `exclude`, or choose another `key`".to_string();
    found.say(at, format!("the view's key `{name}` is not among its columns"), None, Some(help));
}

impl Written<String> {
    /// A part of this text, with the same place.
    pub(super) fn part(&self, text: &str) -> Written<String> {
        Written::new(text.to_string(), self.at)
    }
}
