//! Makes a [`Plan`] from views as written and the tables they may read: every name resolved, every expression compiled and typed.
//!
//! In: [`WrittenView`]s and a [`Catalog`]. Out: the plan, or all problems of all views at once. If the tables of a source are unknown (its
//! server cannot be reached), [`examine`] still reports everything that can be checked without them.
//! Elsewhere: the tables (`catalog`), views of queries (`queries`), what an input is based on (`basis`), which lookup is inside which
//! (`parents`), relations (`relation`), columns (`input`), documents (`embed`).

mod basis;
mod catalog;
mod embed;
mod input;
mod parents;
mod problems;
mod queries;
mod relation;

use self::basis::{Basis, BasisRows};
pub use self::catalog::Catalog;
use self::catalog::table;
use self::input::InputDraft;
use self::parents::Parent;
use self::problems::ViewProblems;
use self::queries::{Nameable, QueryViews, lower_queries, refuse_unreadable_view};
use self::relation::Drafts;
use super::problem::ViewProblem;
use super::written::{Place, WrittenBody, WrittenDocument, WrittenFrom, WrittenInput, WrittenView};
use super::{Body, Document, Plan, PlanTable, View};

/// The plan of all views. If it fails, it returns every problem of every view, and at least one.
pub fn lower(views: &[WrittenView], tables: &[PlanTable]) -> Result<Plan, Vec<ViewProblem>> {
    let catalog = Catalog::from(tables.to_vec());
    let (plan, problems) = lower_all(views, &catalog);
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(problems),
    }
}

/// Every problem that the catalog allows to detect, and the plan if everything is known and correct.
pub fn examine(views: &[WrittenView], catalog: &Catalog) -> (Option<Plan>, Vec<ViewProblem>) {
    let (plan, problems) = lower_all(views, catalog);
    (plan.filter(|_| problems.is_empty()), problems)
}

fn lower_all(views: &[WrittenView], catalog: &Catalog) -> (Option<Plan>, Vec<ViewProblem>) {
    let mut problems = Vec::new();
    let nameable = Nameable { views, catalog };
    let names = NameScope { nameable, queries: lower_queries(nameable, &mut problems) };
    let mut lowered = Vec::new();
    for (index, view) in views.iter().enumerate() {
        let mut found = ViewProblems { view: view.name.value.clone(), list: Vec::new() };
        lowered.push(match &view.body {
            WrittenBody::Query(_) => names.queries.view(&view.name.value),
            WrittenBody::Document(document) => lower_document(view, document, index, &names, &mut found),
        });
        problems.append(&mut found.list);
    }
    let views: Option<Vec<View>> = lowered.into_iter().collect();
    (views.map(|views| Plan { tables: catalog.tables.clone(), views }), problems)
}

/// What the parts of a view may name.
struct NameScope<'a> {
    nameable: Nameable<'a>,
    queries: QueryViews,
}

/// `index`: of the view in the plan's views.
fn lower_document(
    view: &WrittenView,
    document: &WrittenDocument,
    index: usize,
    names: &NameScope,
    found: &mut ViewProblems,
) -> Option<View> {
    let parents = parents::parents(&document.lookups, found);
    let own = match document.root.from.as_ref().map(|from| &from.value) {
        Some(WrittenFrom::Query(query)) => names.queries.lower(query, &[], names.nameable, found),
        _ => None,
    };
    let of_root = match &own {
        Some(query) => Some(Basis::of_own_query(index, query)),
        None => basis(&document.root, names, found),
    };
    let mut drafts = Drafts {
        root: of_root.map(|of| InputDraft::new(&document.root, view.name.at, of, found)),
        lookups: document.lookups.iter().map(|l| Some(InputDraft::new(&l.input, l.at, basis(&l.input, names, found)?, found))).collect(),
    };
    let key = view_key(view, document, &mut drafts, found);
    let relations: Vec<_> = (0..document.lookups.len()).map(|i| relation::relate(document, &parents, i, &mut drafts, found)).collect();
    let orders: Vec<_> =
        (0..document.lookups.len()).map(|i| embed::order(&document.lookups[i], drafts.lookups[i].as_mut(), found)).collect();
    for (lookup, draft) in document.lookups.iter().zip(&mut drafts.lookups) {
        if let Some(draft) = draft {
            embed::take_aggregated_columns(lookup, draft);
        }
    }
    let known = drafts.root.is_some() && drafts.lookups.iter().all(Option::is_some) && !parents.contains(&Parent::Unknown);
    let built = embed::Builder { document, parents: &parents, drafts: &drafts, relations: &relations, orders: &orders };
    let (lookups, schema) = built.root(found);
    let root = drafts.root.as_ref()?;
    known.then(|| View { name: view.name.value.clone(), key, schema, body: Body::Document(Document { root: root.finish(), lookups }) })
}

/// What an input is based on; `None` if that is unknown, or wrong and reported.
fn basis<'a>(written: &'a WrittenInput, names: &'a NameScope, found: &mut ViewProblems) -> Option<Basis<'a>> {
    let NameScope { nameable: Nameable { views, catalog }, queries } = names;
    let from = written.from.as_ref()?;
    match &from.value {
        WrittenFrom::Table(name) => {
            let index = table(name, from.at, catalog, found)?;
            Some(Basis::of_table(index, &catalog.tables[index]))
        }
        WrittenFrom::View(name) => {
            let Some(query) = queries.get(name) else {
                refuse_unreadable_view(from.at, name, views, found);
                return None;
            };
            let index = views.iter().position(|other| other.name.value == *name)?;
            Some(Basis::of_view(name, index, query))
        }
        WrittenFrom::Query(_) => None,
    }
}

/// The declared key, else the table's primary key. A key column that is not shown is reported.
fn view_key(view: &WrittenView, document: &WrittenDocument, drafts: &mut Drafts, found: &mut ViewProblems) -> Vec<usize> {
    let Some(root) = drafts.root.as_mut() else { return Vec::new() };
    if view.key.is_empty() {
        let key: Vec<usize> = root.of.key.to_vec();
        let at = document.root.from.as_ref().map_or(view.name.at, |t| t.at);
        if key.is_empty() {
            let message = match root.of.rows {
                BasisRows::Table(_) => format!("{} has no primary key", root.of),
                BasisRows::Query(..) => format!("nothing says what makes a row of {} unique", root.of),
            };
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

fn refuse_hidden_key(at: Place, name: &str, found: &mut ViewProblems) {
    let help = "add it to `columns`, take it out of `exclude`, or choose another `key`".to_string();
    found.say(at, format!("the view's key `{name}` is not among its columns"), None, Some(help));
}
