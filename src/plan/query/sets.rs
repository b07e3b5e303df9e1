//! GROUPING SETS, ROLLUP and CUBE: one group node for each set, over the same rows. Columns that are not in a set are NULL, and a number
//! identifies the set.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet};

use super::group::{GroupInput, group};
use super::{Readable, compiled, unique_names};
use crate::plan::{InputColumn, Node, Select};
use crate::sql::SqlError;
use crate::value::{Column, Schema};

impl Readable<'_> {
    pub(super) fn grouping_sets(&self, aggregate: &Aggregate, sets: &GroupingSet) -> Result<Node, SqlError> {
        let exprs = sets.distinct_expr();
        let GroupInput { of, key, calls } = self.grouping(aggregate, &exprs)?;
        let keys = key.iter().map(|&k| Column { nullable: true, ..of.schema().columns()[k].clone() });
        let number = Column::from_arrow(aggregate.schema.field(exprs.len())).map_err(SqlError::new)?;
        let numbered = number.ty.arrow();
        let schema = unique_names(keys.chain([number]).chain(calls.iter().map(|call| call.output().clone())).collect());
        let members = members(sets, &exprs)?;
        let mut nodes = Vec::new();
        for (n, set) in members.iter().enumerate() {
            let places: Vec<usize> = (0..exprs.len()).filter(|&i| set[i]).collect();
            let node = group(of.clone(), places.iter().map(|&i| key[i]).collect(), calls.clone());
            let column = |i: usize| match places.iter().position(|&place| place == i) {
                Some(place) => Ok(InputColumn::Column(place)),
                None => literal(ScalarValue::try_from(&schema.columns()[i].ty.arrow()), node.schema()),
            };
            let mut columns = (0..exprs.len()).map(column).collect::<Result<Vec<_>, _>>()?;
            let id = id(set, members[..n].iter().filter(|other| *other == set).count());
            columns.push(literal(ScalarValue::UInt64(Some(id)).cast_to(&numbered), node.schema())?);
            columns.extend((places.len()..node.schema().len()).map(InputColumn::Column));
            nodes.push(Node::Select(Box::new(Select { of: node, filter: None, columns, schema: schema.clone() })));
        }
        Ok(Node::Union(nodes))
    }
}

/// For each set, which of the expressions it has.
fn members(sets: &GroupingSet, exprs: &[&Expr]) -> Result<Vec<Vec<bool>>, SqlError> {
    let width = exprs.len();
    let many = match sets {
        GroupingSet::Rollup(_) => width + 1,
        GroupingSet::Cube(_) => 1usize.checked_shl(width as u32).unwrap_or(usize::MAX),
        GroupingSet::GroupingSets(sets) => sets.len(),
    };
    if many > MOST_SETS {
        return Err(SqlError::new(format!("these are more than {MOST_SETS} grouping sets")).help("list only the sets that are needed"));
    }
    Ok(match sets {
        GroupingSet::Rollup(_) => (0..=width).map(|first| (0..width).map(|i| i < first).collect()).collect(),
        GroupingSet::Cube(_) => (0..1usize << width).map(|bits| (0..width).map(|i| bits >> i & 1 == 0).collect()).collect(),
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| exprs.iter().map(|expr| set.contains(expr)).collect()).collect(),
    })
}

/// Each set is a group of its own, which takes memory.
const MOST_SETS: usize = 256;

/// The number as `Aggregate::INTERNAL_GROUPING_ID` defines it: a bit for each expression, set if the expression is not in the set, with the
/// last expression lowest. The bits above are the number of equal sets before this one.
fn id(set: &[bool], before: usize) -> u64 {
    set.iter().fold(before as u64, |id, &there| id << 1 | u64::from(!there))
}

fn literal(value: Result<ScalarValue, datafusion::common::DataFusionError>, input: &Schema) -> Result<InputColumn, SqlError> {
    let value = value.map_err(|error| SqlError::of_definition(&error))?;
    compiled(&Expr::Literal(value, None), &DFSchema::empty(), input).map(InputColumn::Computed)
}
