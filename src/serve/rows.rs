//! The rows of a view, all of one commit.

use super::AccessError;
use super::json_lines::{Lines, push_row};
use super::question::Get;
use crate::store::{Scan, Store, StoreSnapshot, ViewSnapshot};
use crate::value::{Layout, Row, RowBuilder, Schema, key, push_text};

/// The rows that were asked for, in key order.
pub(super) struct RowsAnswer {
    pub(super) schema: Schema,
    pub(super) scan: Scan,
    /// Where one row was asked for: there must be one.
    one: Option<String>,
}

impl RowsAnswer {
    pub(super) fn read(snapshot: &StoreSnapshot, get: &Get) -> Result<RowsAnswer, AccessError> {
        let view = view(snapshot, &get.view)?;
        let scan = view.scan_prefix(&key_prefix(view, &get.key)?)?;
        let one = (get.key.len() == view.key_columns().len()).then(|| get.view.clone());
        Ok(RowsAnswer { schema: view.schema().clone(), scan, one })
    }

    /// Call once the scan has ended.
    pub(super) fn check_found(&self, found: bool) -> Result<(), AccessError> {
        match &self.one {
            Some(view) if !found => Err(AccessError::not_found(format!("`{view}` has no row with this key"), None)),
            _ => Ok(()),
        }
    }
}

/// The view of this name.
pub(super) fn view<'a>(snapshot: &'a StoreSnapshot, name: &str) -> Result<ViewSnapshot<'a>, AccessError> {
    if let Some(view) = snapshot.view(name) {
        return Ok(view);
    }
    let names: Vec<String> = snapshot.views().map(|view| format!("`{}`", view.name())).collect();
    let help = match names.is_empty() {
        true => "nothing is committed yet".to_string(),
        false => format!("there is {}", names.join(", ")),
    };
    Err(AccessError::not_found(format!("there is no view `{name}`"), Some(help)))
}

/// The order-preserving key of these values of the first key columns.
fn key_prefix(view: ViewSnapshot, values: &[String]) -> Result<Vec<u8>, AccessError> {
    let (layout, row) = key_values(view.name(), view.schema(), view.key_columns(), values)?;
    let all: Vec<usize> = (0..values.len()).collect();
    Ok(key::encode(&layout, &row, &all).to_vec())
}

/// The row of these values, given as text, of the first key columns of a view with this schema.
pub fn key_values(view: &str, schema: &Schema, key: &[usize], values: &[String]) -> Result<(Layout, Row), AccessError> {
    let names = |schema: &Schema| schema.columns().iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ");
    let Some(columns) = key.get(..values.len()) else {
        let has = names(&schema.project(key));
        let given = values.len();
        return Err(AccessError::invalid(format!("the key of `{view}` has only the columns {has}, but {given} values were given")));
    };
    let schema = schema.project(columns);
    let layout = Layout::new(&schema);
    let mut builder = RowBuilder::new(&layout);
    for (value, column) in values.iter().zip(schema.columns()) {
        push_text(&mut builder, value).map_err(|e| AccessError::invalid(format!("`{}` of `{view}`: {e}", column.name)))?;
    }
    Ok((layout, builder.finish()))
}

/// The first `most` rows that were asked for and whose key `is_shown`, as lines.
pub fn first_rows(store: &Store, get: &Get, most: usize, is_shown: &dyn Fn(&[u8]) -> bool) -> Result<Lines, AccessError> {
    let mut rows = RowsAnswer::read(&store.snapshot(), get)?;
    let layout = Layout::new(&rows.schema);
    let (mut lines, mut shown) = (Lines::new(), 0);
    while shown < most
        && let Some(read) = rows.scan.next()
    {
        let (key, row) = read?;
        if is_shown(&key) {
            push_row(&layout, &row, &mut lines);
            shown += 1;
        }
    }
    rows.check_found(shown > 0)?;
    Ok(lines)
}
