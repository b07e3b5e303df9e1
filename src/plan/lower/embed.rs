//! How lookups embed their children: the order, the aggregates, the fields, and the resulting schema of the document.

use super::input::InputDraft;
use super::parents::Parent;
use super::problems::ViewProblems;
use super::relation::Drafts;
use crate::plan::written::{Place, Written, WrittenDocument, WrittenEmbed, WrittenLookup};
use crate::plan::{DocumentAggregate, Embed, Lookup, Missing, OrderBy};
use crate::sql::AggregateFunction;
use crate::value::{Column, Schema, Type};

/// The declared order, followed by the columns of the child's key to make it total.
pub(super) fn order(lookup: &WrittenLookup, draft: Option<&mut InputDraft>, found: &mut ViewProblems) -> Vec<OrderBy> {
    let Some(draft) = draft else { return Vec::new() };
    let mut order: Vec<OrderBy> = Vec::new();
    for written in &lookup.order_by {
        let Some((name, descending)) = direction(written, found) else { continue };
        if let Some(column) = draft.need(&name, found) {
            order.push(OrderBy { column, descending });
        }
    }
    for &k in draft.of.key {
        let column = draft.table_column(k);
        if !order.iter().any(|o| o.column == column) {
            order.push(OrderBy { column, descending: false });
        }
    }
    order
}

/// `column`, `column asc` or `column desc`.
fn direction(written: &Written<String>, found: &mut ViewProblems) -> Option<(Written<String>, bool)> {
    let mut words = written.value.split_whitespace();
    let name = written.part(words.next().unwrap_or_default());
    let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
        None | Some("asc") => Some(false),
        Some("desc") => Some(true),
        Some(_) => None,
    };
    if descending.is_none() || words.next().is_some() || name.value.is_empty() {
        let help = "compute a column to order by an expression".to_string();
        found.say(written.at, "`order_by` takes columns, each optionally followed by `asc` or `desc`", None, Some(help));
        return None;
    }
    descending.map(|descending| (name, descending))
}

/// Adds the columns that the aggregates read to the input. Errors in the aggregates are reported by [`Builder`].
pub(super) fn take_aggregated_columns(lookup: &WrittenLookup, draft: &mut InputDraft) {
    let nameable = draft.nameable();
    for (_, sql) in &lookup.aggregates {
        if let Ok(function) = AggregateFunction::compile(&sql.value, &nameable) {
            for &column in function.columns().iter() {
                draft.find(&nameable.columns()[column].name);
            }
        }
    }
}

/// Builds the lookups and their schemas, from the leaves up.
pub(super) struct Builder<'a, 'd> {
    pub document: &'a WrittenDocument,
    pub parents: &'a [Parent],
    pub drafts: &'a Drafts<'d>,
    pub relations: &'a [(Vec<usize>, Vec<usize>)],
    pub orders: &'a [Vec<OrderBy>],
}

/// A field of an element, and where its name was written.
struct ElementField {
    column: Column,
    at: Place,
    /// The lookup that adds it; `None` for a column of the element's own table.
    of: Option<usize>,
}

impl Builder<'_, '_> {
    /// The root's lookups and the document's schema. Lookups of unknown tables are left out.
    pub(super) fn root(&self, found: &mut ViewProblems) -> (Vec<Lookup>, Schema) {
        self.element(self.drafts.root.as_ref(), Parent::Root, found)
    }

    fn element(&self, draft: Option<&InputDraft>, at: Parent, found: &mut ViewProblems) -> (Vec<Lookup>, Schema) {
        let mut fields = Vec::new();
        if let Some(draft) = draft {
            fields.extend(draft.visible().map(|(column, at)| ElementField { column: column.clone(), at, of: None }));
        }
        let own = fields.len();
        let mut lookups = Vec::new();
        for i in (0..self.parents.len()).filter(|&i| self.parents[i] == at) {
            if let Some(lookup) = self.lookup(i, &mut fields, found) {
                lookups.push(lookup);
            }
        }
        self.refuse_collisions(&fields, own, draft, found);
        (lookups, Schema::new(fields.into_iter().map(|f| f.column).collect()))
    }

    fn lookup(&self, i: usize, fields: &mut Vec<ElementField>, found: &mut ViewProblems) -> Option<Lookup> {
        let written = &self.document.lookups[i];
        let draft = self.drafts.lookups[i].as_ref();
        let (children, element) = self.element(draft, Parent::Lookup(i), found);
        let aggregates = draft.map(|d| aggregates(written, d, found)).unwrap_or_default();
        let embed = embed(written, aggregates, &element, |column, at| fields.push(ElementField { column, at, of: Some(i) }));
        let draft = draft?;
        let (parent_columns, child_columns) = self.relations[i].clone();
        let mut order_by = self.orders[i].clone();
        if draft.of.key.is_empty() {
            let rest = (0..draft.len()).filter(|c| !order_by.iter().any(|o| o.column == *c)).collect::<Vec<_>>();
            order_by.extend(rest.into_iter().map(|column| OrderBy { column, descending: false }));
        }
        let path = written.label();
        Some(Lookup { path, input: draft.finish(), parent_columns, child_columns, embed: embed?, order_by, children, element })
    }

    /// Reports fields with equal names. The first `own` fields, and lookups with equal paths, have been compared elsewhere.
    fn refuse_collisions(&self, fields: &[ElementField], own: usize, draft: Option<&InputDraft>, found: &mut ViewProblems) {
        let path = |field: &ElementField| field.of.map(|i| &self.document.lookups[i].path.value).filter(|p| !p.is_empty());
        let name = |field: &ElementField| match field.of {
            Some(i) if self.document.lookups[i].path.value.is_empty() => format!("the {}", self.document.lookups[i].label()),
            Some(i) => format!("the lookup `{}`", self.document.lookups[i].label()),
            None => draft.map_or_else(String::new, |draft| draft.of.to_string()),
        };
        for (i, field) in fields.iter().enumerate().skip(own) {
            let Some(other) = fields[..i].iter().find(|other| other.column.name == field.column.name) else { continue };
            if other.of != field.of && path(other).is_some() && path(other) == path(field) {
                continue;
            }
            let message = match other.of == field.of {
                true => format!("{} makes the field `{}` twice", name(field), field.column.name),
                false => format!("{} and {} both make the field `{}`", name(other), name(field), field.column.name),
            };
            let help = "choose another path, name or `prefix`, or rename or exclude the column".to_string();
            found.say(field.at, message, None, Some(help));
        }
    }
}

fn aggregates(written: &WrittenLookup, draft: &InputDraft, found: &mut ViewProblems) -> Vec<(DocumentAggregate, Place)> {
    let (schema, nameable) = (draft.schema(), draft.nameable());
    let place = |column: usize| draft.place(&nameable.columns()[column].name).expect("what aggregates name was taken before");
    let mut out = Vec::new();
    for (field, sql) in &written.aggregates {
        if let Some(function) = found.sql(sql, AggregateFunction::compile(&sql.value, &nameable)) {
            out.push((DocumentAggregate { field: field.value.clone(), function: function.over(&schema, place) }, field.at));
        }
    }
    out
}

/// Passes each field that the lookup adds to the parent to `field_made`.
fn embed(
    written: &WrittenLookup,
    aggregates: Vec<(DocumentAggregate, Place)>,
    element: &Schema,
    mut field_made: impl FnMut(Column, Place),
) -> Option<Embed> {
    let field = written.path.value.last().cloned();
    let mut add = |name: &str, ty: Type, nullable: bool, absent_when_null: bool, at: Place| {
        field_made(Column { name: name.into(), ty, nullable, absent_when_null }, at);
    };
    Some(match written.embed.as_ref()? {
        WrittenEmbed::Object { on_many, missing } => {
            let field = field?;
            add(&field, Type::Struct(element.clone()), true, *missing == Missing::Absent, written.path.at);
            Embed::Object { field, on_many: *on_many, missing: *missing }
        }
        WrittenEmbed::Array { limit, missing } => {
            let name = field?;
            let list = Type::List(Box::new(Type::Struct(element.clone())));
            add(&name, list, *missing != Missing::Empty, *missing == Missing::Absent, written.path.at);
            for (aggregate, at) in &aggregates {
                let output = aggregate.function.output();
                add(&aggregate.field, output.ty.clone(), output.nullable, false, *at);
            }
            let aggregates = aggregates.into_iter().map(|(a, _)| a).collect();
            Embed::Array { field: Some(name), limit: *limit, missing: *missing, aggregates }
        }
        WrittenEmbed::Aggregates => {
            for (aggregate, at) in &aggregates {
                let output = aggregate.function.output();
                add(&aggregate.field, output.ty.clone(), output.nullable, false, *at);
            }
            let aggregates = aggregates.into_iter().map(|(a, _)| a).collect();
            Embed::Array { field: None, limit: None, missing: Missing::Empty, aggregates }
        }
        WrittenEmbed::Flatten { prefix, on_many, missing } => {
            let absent = *missing == Missing::Absent;
            for column in element.columns() {
                let name = format!("{prefix}{}", column.name);
                add(&name, column.ty.clone(), true, absent || column.absent_when_null, written.path.at);
            }
            Embed::Flatten { prefix: prefix.clone(), on_many: *on_many, missing: *missing }
        }
    })
}
