//! Lowers views of queries, and documents' own queries, from SQL to nodes.
//!
//! In: the queries as written, and the catalog. Out: for each query its node and, if known, the key of its rows. A view is lowered before
//! the views that read it.

use std::collections::BTreeMap;

use super::catalog::{Catalog, table};
use super::problems::ViewProblems;
use crate::plan::problem::{did_you_mean, listed};
use crate::plan::query::{LoweredQuery, Readable, makes_unique};
use crate::plan::written::{Place, Written, WrittenQuery, WrittenView};
use crate::plan::{Body, Query, Uniqueness, View, ViewProblem};
use crate::sql::{Relation, place_of_relation, plan_query};
use crate::value::Schema;

/// The views of queries that have no errors.
#[derive(Default)]
pub(super) struct QueryViews(BTreeMap<String, LoweredQuery>);

/// What a query may name.
#[derive(Clone, Copy)]
pub(super) struct Nameable<'a> {
    pub views: &'a [WrittenView],
    pub catalog: &'a Catalog,
}

/// Lowers all views of queries. If every remaining view reads another remaining one, one of them is reported as part of a circle.
pub(super) fn lower_queries(nameable: Nameable, problems: &mut Vec<ViewProblem>) -> QueryViews {
    let mut waiting: Vec<(&WrittenView, &WrittenQuery)> = nameable.views.iter().filter_map(|v| Some((v, v.query()?))).collect();
    let mut lowered = QueryViews::default();
    while !waiting.is_empty() {
        let undone: Vec<&str> = waiting.iter().map(|(view, _)| view.name.value.as_str()).collect();
        let ready = waiting.iter().position(|(_, query)| query.views.iter().all(|name| !undone.contains(&name.as_str())));
        let (view, query) = waiting.remove(ready.unwrap_or(0));
        let mut found = ViewProblems { view: view.name.value.clone(), list: Vec::new() };
        match ready {
            None => {
                refuse_circle(query.sql.at, &mut found);
                let circle = query.views.iter().find(|name| undone.contains(&name.as_str()));
                point_at(query, None, circle.expect("it waits for one"), &mut found.list);
            }
            Some(_) => {
                if let Some(query) = lowered.lower(query, &view.key, nameable, &mut found) {
                    lowered.0.insert(view.name.value.clone(), query);
                }
            }
        }
        problems.append(&mut found.list);
    }
    lowered
}

impl QueryViews {
    /// The query of a view; `None` if there is no such view or it has errors.
    pub(super) fn get(&self, name: &str) -> Option<&LoweredQuery> {
        self.0.get(name)
    }

    /// The view of a query; `None` if it has errors.
    pub(super) fn view(&self, name: &str) -> Option<View> {
        let LoweredQuery { node, key, uniqueness } = self.get(name)?;
        let schema = node.schema().clone();
        let key = key.clone().unwrap_or_else(|| (0..schema.len()).collect());
        let query = Query { node: node.clone(), uniqueness: *uniqueness };
        Some(View { name: name.to_string(), key, schema, body: Body::Query(query) })
    }

    /// `key`: as declared. If empty, the key follows from the query.
    pub(super) fn lower(
        &self,
        query: &WrittenQuery,
        key: &[Written<String>],
        nameable: Nameable,
        found: &mut ViewProblems,
    ) -> Option<LoweredQuery> {
        let relations = self.relations(query, nameable, found)?;
        let text = query.sql.value.as_str();
        let readable = Readable { text, tables: &nameable.catalog.tables, views: &self.0, limit: query.limit, itself: None };
        let lowered = plan_query(text, &relations, |plan| Ok(readable.pruned(readable.node(plan)?)));
        let node = match lowered {
            Ok(node) => node,
            Err(error) => {
                found.list.push(ViewProblem {
                    view: found.view.clone(),
                    at: query.sql.at,
                    within: error.span.filter(|span| *span != (0..text.len())),
                    message: error.message,
                    label: None,
                    help: error.help,
                });
                return None;
            }
        };
        let known = readable.key(&node);
        let declared = declared_key(key, node.schema(), found)?;
        let says_less = |declared: &Vec<usize>| known.as_ref().is_some_and(|known| known.iter().all(|column| declared.contains(column)));
        let made = known.is_some() && makes_unique(&node) && declared.as_ref().is_none_or(says_less);
        let key = declared.or(known);
        let uniqueness = match key {
            Some(_) if made => Uniqueness::Made,
            Some(_) => Uniqueness::Declared,
            None => Uniqueness::None,
        };
        Some(LoweredQuery { node, key, uniqueness })
    }

    /// The tables and views that the query names; `None` if any is missing, which is reported.
    fn relations(&self, query: &WrittenQuery, nameable: Nameable, found: &mut ViewProblems) -> Option<Vec<Relation>> {
        let mut relations = Vec::new();
        for name in &query.tables {
            let said = found.list.len();
            let Some(known) = table(name, query.sql.at, nameable.catalog, found) else {
                point_at(query, Some(&name.source), &name.table, &mut found.list[said..]);
                return None;
            };
            let known = &nameable.catalog.tables[known];
            relations.push(Relation { source: Some(name.source.clone()), name: name.table.clone(), schema: known.schema.clone() });
        }
        for name in &query.views {
            let Some(view) = self.get(name) else {
                let said = found.list.len();
                refuse_unreadable_view(query.sql.at, name, nameable.views, found);
                point_at(query, None, name, &mut found.list[said..]);
                return None;
            };
            relations.push(Relation { source: None, name: name.clone(), schema: view.node.schema().clone() });
        }
        Some(relations)
    }
}

/// `None` if the key is wrong, which is reported; `Some(None)` if no key is declared.
fn declared_key(written: &[Written<String>], schema: &Schema, found: &mut ViewProblems) -> Option<Option<Vec<usize>>> {
    let mut key = Vec::new();
    for name in written {
        let Some(column) = schema.index_of(&name.value) else {
            let names = || schema.columns().iter().map(|column| column.name.as_str());
            let message = format!("the query has no column `{}`", name.value);
            found.say(name.at, message, Some(format!("columns: {}", listed(names()))), did_you_mean(&name.value, names()));
            return None;
        };
        if key.contains(&column) {
            found.say(name.at, format!("`{}` is twice in the key", name.value), None, None);
            return None;
        }
        key.push(column);
    }
    Some((!key.is_empty()).then_some(key))
}

/// Points these problems at a relation's name in the query's text.
fn point_at(query: &WrittenQuery, source: Option<&str>, name: &str, problems: &mut [ViewProblem]) {
    for problem in problems {
        problem.within = place_of_relation(&query.sql.value, source, name);
    }
}

fn refuse_circle(at: Place, found: &mut ViewProblems) {
    let help = "WITH RECURSIVE is for rows that depend on each other".to_string();
    found.say(at, "the view reads itself, through others or directly", None, Some(help));
}

/// Reports why a view cannot be read by another one. Reports nothing if the view has problems of its own.
pub(super) fn refuse_unreadable_view(at: Place, name: &str, views: &[WrittenView], found: &mut ViewProblems) {
    match views.iter().find(|v| v.name.value == name) {
        _ if name == found.view => refuse_circle(at, found),
        Some(view) => {
            let Some(document) = view.document().filter(|document| document.root.from.is_some()) else { return };
            let help = match document.lookups.is_empty() {
                true => "read the table or the view that it is built from",
                false => "read the tables and views that it is built from; rows that both need can be a view of a query",
            };
            found.say(at, format!("`{name}` is a view of documents, which no other view can read"), None, Some(help.into()));
        }
        None => {
            let names = || views.iter().filter(|v| v.query().is_some()).map(|v| v.name.value.as_str());
            let help = did_you_mean(name, names()).or(Some("a table is written `source.table`".to_string()));
            found.say(at, format!("there is no view `{name}`"), None, help);
        }
    }
}
