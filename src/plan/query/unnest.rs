//! Lowers UNNEST: rows for the elements of lists.

use datafusion::common::NullHandling;

use super::{Readable, unique_names};
use crate::plan::{Node, Unnest, UnnestColumn, WithoutElements};
use crate::sql::SqlError;
use crate::value::{Column, Type};

impl Readable<'_> {
    pub(super) fn unnest(&self, unnest: &datafusion::logical_expr::Unnest) -> Result<Node, SqlError> {
        if !unnest.struct_type_columns.is_empty() {
            return Err(SqlError::new("UNNEST of a struct is not maintained").help("name its fields: get_field(s, 'name')"));
        }
        let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(column, _)| *column).collect();
        let alone = lists.iter().enumerate().all(|(i, list)| !lists[..i].contains(list));
        if !alone || unnest.list_type_columns.iter().any(|(_, list)| list.depth != 1) {
            return Err(SqlError::new("UNNEST of an UNNEST is not maintained").help("make the inner one a view of its own"));
        }
        let of = self.node(&unnest.input)?;
        let mut columns = Vec::new();
        let mut schema = Vec::new();
        for (&from, field) in unnest.dependency_indices.iter().zip(unnest.schema.fields()) {
            let column = of.schema().columns()[from].clone();
            let (shown, ty, nullable) = match (lists.contains(&from), column.ty) {
                (true, Type::List(item)) => (UnnestColumn::Element(from), *item, true),
                (false, ty) => (UnnestColumn::Column(from), ty, column.nullable),
                (true, ty) => return Err(SqlError::new(format!("UNNEST takes a list, this is {ty}"))),
            };
            columns.push(shown);
            schema.push(Column { name: field.name().clone(), ty, nullable, absent_when_null: column.absent_when_null && !nullable });
        }
        let without = match unnest.options.null_handling {
            NullHandling::Drop => WithoutElements::NoRow,
            NullHandling::Preserve => WithoutElements::RowOfNull,
            NullHandling::PreserveAndExpandEmpty => WithoutElements::Row,
        };
        Ok(Node::Unnest(Box::new(Unnest { of, columns, without, schema: unique_names(schema) })))
    }
}
