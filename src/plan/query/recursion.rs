//! Lowers recursions: WITH RECURSIVE.
//!
//! The step is lowered like any query, over the recursion's own rows. It must be linear in them, so that new rows only add to its result:
//! every branch reads them once, and the result for a row does not depend on other rows. SQL requires the first; what breaks the second
//! (aggregates, LIMIT, tests that a row is missing) is refused here.

use datafusion::common::DFSchema;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, RecursiveQuery, TableScan};

use super::{Readable, compiled, group, select, with_schema};
use crate::plan::{Group, InputColumn, Join, JoinKind, Node, Recursion};
use crate::sql::SqlError;
use crate::value::{Column, Schema};

impl Readable<'_> {
    pub(super) fn recursion(&self, query: &RecursiveQuery) -> Result<Node, SqlError> {
        let base = self.node(&query.static_term)?;
        if base.reads_itself() {
            return Err(nested());
        }
        let distinct = query.is_distinct;
        let (step, schema) = self.step(query, base.schema().clone())?;
        let step = linear(step, distinct)?;
        let base = with_schema(base, &schema);
        if matches!(step, Node::Nothing(_)) {
            return Ok(if distinct { group(base, (0..schema.len()).collect(), Vec::new()) } else { base });
        }
        let step = with_schema(step, &schema);
        Ok(Node::Recursion(Box::new(Recursion { base, step, distinct, limit: self.limit, schema })))
    }

    /// The step, and the schema of the recursion's rows. A column may be NULL if it may be NULL in the base or in the step. The latter may
    /// depend on the recursion's own schema, so this repeats until the schema stays the same.
    fn step(&self, query: &RecursiveQuery, mut schema: Schema) -> Result<(Node, Schema), SqlError> {
        loop {
            let readable = Readable { itself: Some((&query.name, &schema)), ..*self };
            let step = readable.node(&query.recursive_term)?;
            let mut columns = schema.columns().to_vec();
            for (column, other) in columns.iter_mut().zip(step.schema().columns()) {
                if column.ty.arrow() != other.ty.arrow() {
                    let message = format!(
                        "the column `{}` of the recursion is {} in the first SELECT, but {} in the recursive one",
                        column.name, column.ty, other.ty
                    );
                    return Err(SqlError::new(message).help("cast it in the first SELECT"));
                }
                *column = Column { nullable: column.nullable || other.nullable, absent_when_null: false, ..column.clone() };
            }
            let both = Schema::new(columns);
            if both == schema {
                return Ok((step, schema));
            }
            schema = both;
        }
    }

    /// The rows of the recursion whose step this is.
    pub(super) fn itself(&self, scan: &TableScan, recursion: &str) -> Result<Node, SqlError> {
        let Some((name, schema)) = self.itself else {
            let message = format!("`{recursion}` is only read in a subquery of its own recursion");
            return Err(SqlError::new(message).help("join with it"));
        };
        if name != recursion {
            return Err(nested());
        }
        let names = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &schema.arrow());
        let names = names.map_err(|error| SqlError::of_definition(&error))?;
        let filter = scan.filters.iter().cloned().reduce(Expr::and);
        let filter = filter.map(|filter| compiled(&filter, &names, schema)).transpose()?;
        let node = Node::Itself(schema.clone());
        Ok(match (&scan.projection, filter) {
            (None, None) => node,
            (None, filter) => select(node, filter, (0..schema.len()).map(InputColumn::Column).collect()),
            (Some(columns), filter) => select(node, filter, columns.iter().copied().map(InputColumn::Column).collect()),
        })
    }
}

/// The name of the recursion whose rows are scanned; `None` for a table.
pub(super) fn recursion_of(scan: &TableScan) -> Option<String> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<CteWorkTable>().map(|table| table.name().to_string())
}

/// The step, reduced to nodes that are linear in the recursion's rows, or [`Node::Nothing`].
fn linear(step: Node, distinct: bool) -> Result<Node, SqlError> {
    if !step.reads_itself() {
        return match step {
            step if is_nothing(&step) => Ok(Node::Nothing(step.schema().clone())),
            _ => Err(SqlError::new("a part of the recursive SELECT does not read the recursion").help("put it before the first UNION")),
        };
    }
    match step {
        Node::Itself(_) => Ok(step),
        Node::Select(mut of) => {
            of.of = linear(of.of, distinct)?;
            Ok(Node::Select(of))
        }
        Node::Join(join) => linear_join(*join, distinct),
        Node::Group(group) if distinct && group.calls.is_empty() => {
            // UNION removes duplicates anyway.
            let Group { of, key, .. } = *group;
            let of = linear(of, distinct)?;
            Ok(select(of, None, key.into_iter().map(InputColumn::Column).collect()))
        }
        Node::Union(branches) => {
            let branches = branches.into_iter().filter(|branch| !matches!(branch, Node::Nothing(_)));
            Ok(Node::Union(branches.map(|branch| linear(branch, distinct)).collect::<Result<_, _>>()?))
        }
        Node::Group(group) if group.calls.is_empty() => {
            Err(refused("DISTINCT", "write UNION instead of UNION ALL, or select DISTINCT from the whole recursion"))
        }
        Node::Group(_) => Err(refused("an aggregate", "aggregate the whole recursion, in the SELECT that reads it")),
        Node::Top(_) => Err(refused("LIMIT", "limit the SELECT that reads the recursion, or stop by a condition: WHERE")),
        Node::Window(_) => Err(refused("a window function", "number the rows of the whole recursion, in the SELECT that reads it")),
        Node::Recursion(_) => Err(nested()),
        Node::Unnest(_) => Err(refused("UNNEST", "unnest the rows of the whole recursion, in the SELECT that reads it")),
        Node::Table(_) | Node::Constants(_) | Node::Nothing(_) => Ok(step),
    }
}

/// Whether the node is known to have no rows.
fn is_nothing(node: &Node) -> bool {
    match node {
        Node::Nothing(_) => true,
        Node::Select(select) => is_nothing(&select.of),
        Node::Top(top) => is_nothing(&top.of),
        Node::Window(window) => is_nothing(&window.of),
        Node::Unnest(unnest) => is_nothing(&unnest.of),
        Node::Group(group) => !group.key.is_empty() && is_nothing(&group.of),
        Node::Union(nodes) => nodes.iter().all(is_nothing),
        Node::Join(join) => match join.kind {
            JoinKind::Inner | JoinKind::Semi => is_nothing(&join.left.node) || is_nothing(&join.right.node),
            JoinKind::Left | JoinKind::Anti | JoinKind::NotIn | JoinKind::Mark => is_nothing(&join.left.node),
            JoinKind::Full => is_nothing(&join.left.node) && is_nothing(&join.right.node),
        },
        Node::Table(_) | Node::Constants(_) | Node::Itself(_) | Node::Recursion(_) => false,
    }
}

/// A join of the recursion's rows with rows that do not depend on them.
fn linear_join(mut join: Join, distinct: bool) -> Result<Node, SqlError> {
    let (left, right) = (join.left.node.reads_itself(), join.right.node.reads_itself());
    if left && right {
        return Err(SqlError::new("the recursive SELECT reads the recursion more than once")
            .help("read it once: the rows found so far are joined in the rounds that follow"));
    }
    match (join.kind, right) {
        (JoinKind::Semi, true) if distinct => {
            // The inner join returns a left row once for each partner. UNION removes the duplicates.
            join.kind = JoinKind::Inner;
            join.right.node = linear(join.right.node, distinct)?;
            Ok(Node::Join(Box::new(join)))
        }
        (JoinKind::Inner, true) => {
            join.right.node = linear(join.right.node, distinct)?;
            Ok(Node::Join(Box::new(join)))
        }
        (JoinKind::Full, _) | (JoinKind::Left, true) => {
            let help = "join so that the recursion's rows are those that are kept: recursion LEFT JOIN table";
            Err(refused("an outer join that keeps other rows than the recursion's", help))
        }
        (JoinKind::NotIn, _) => Err(refused("NOT IN over columns that may be NULL", "write NOT EXISTS, or test for NULL: IS NOT NULL")),
        (JoinKind::Semi | JoinKind::Anti | JoinKind::Mark, true) => {
            Err(refused("EXISTS or IN over the recursion's own rows", "join with them, or test them outside the recursion"))
        }
        (JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark, false) => {
            join.left.node = linear(join.left.node, distinct)?;
            Ok(Node::Join(Box::new(join)))
        }
    }
}

fn refused(what: &str, help: &str) -> SqlError {
    SqlError::new(format!("in the recursive SELECT, {what} is not maintained")).help(help)
}

fn nested() -> SqlError {
    SqlError::new("a recursion inside the recursive SELECT of another reads the other's rows")
        .help("make them one recursion, with a column that says which of the two a row belongs to")
}
