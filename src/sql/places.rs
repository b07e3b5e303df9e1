//! Finds the places of relation names in a query's text.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::error::bytes_of;
use super::query::parse;

/// The first place that names this table or view.
pub fn place_of_relation(text: &str, source: Option<&str>, name: &str) -> Option<Range<usize>> {
    match parse(text).ok()?.visit(&mut WantedTable { source, name }) {
        ControlFlow::Break(span) => bytes_of(text, span),
        ControlFlow::Continue(()) => None,
    }
}

/// The place where WITH defines this name.
pub fn place_of_with(text: &str, name: &str) -> Option<Range<usize>> {
    match parse(text).ok()?.visit(&mut With(name)) {
        ControlFlow::Break(span) => bytes_of(text, span),
        ControlFlow::Continue(()) => None,
    }
}

struct With<'a>(&'a str);

impl Visitor for With<'_> {
    type Break = Span;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Span> {
        let mut named = query.with.iter().flat_map(|with| &with.cte_tables).map(|table| &table.alias.name);
        named.find(|name| name.value == self.0).map_or(ControlFlow::Continue(()), |name| ControlFlow::Break(name.span))
    }
}

struct WantedTable<'a> {
    source: Option<&'a str>,
    name: &'a str,
}

impl Visitor for WantedTable<'_> {
    type Break = Span;

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Span> {
        let mut parts = relation.0.iter().rev().map(|part| part.as_ident().map(|ident| ident.value.as_str()));
        match parts.next().flatten() == Some(self.name) && parts.next().flatten() == self.source {
            true => ControlFlow::Break(relation.span()),
            false => ControlFlow::Continue(()),
        }
    }
}
