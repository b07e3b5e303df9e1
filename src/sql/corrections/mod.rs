//! Corrections of what DataFusion interprets differently from PostgreSQL, answers incorrectly, or cannot make a join of: one file per fault, which
//! says when the correction can be removed.
//!
//! They are applied in the order of three lists: to the syntax tree ([`OF_SYNTAX`]), to the plan ([`OF_PLAN`]), and then what is left and would
//! still be wrong is refused ([`REFUSED`]). Corrections of single functions and operators are in [`functions`](super::functions).

mod ambiguous_names;
pub(super) mod coercions;
mod decorrelated;
mod distinct_on;
pub(super) mod equal_columns;
mod ignored_clauses;
mod in_subqueries;
mod lateral;
mod outer_types;
mod remaining_correlation;
pub(super) mod rounded_casts;
mod scalar_subqueries;
mod scope;
mod set_operations;
mod single_rows;
pub(super) mod time_casts;
pub(super) mod time_literals;
mod unique_names;
mod unnested;
mod volatile_calls;

use datafusion::common::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use super::error::planned_wrong;
use super::{Relation, SqlError, stream_functions};

/// The syntax tree of a query, on its way to a plan.
pub(super) struct SyntaxTree<'a> {
    pub(super) text: &'a str,
    pub(super) statement: SqlStatement,
    pub(super) relations: &'a [Relation],
    pub(super) session: &'a SessionState,
}

impl SyntaxTree<'_> {
    /// DataFusion's plan of a statement.
    pub(super) fn plan(&self, statement: SqlStatement) -> Result<LogicalPlan, DataFusionError> {
        planned(self.session, statement)
    }
}

fn planned(session: &SessionState, statement: SqlStatement) -> Result<LogicalPlan, DataFusionError> {
    // Never blocks: all tables are empty and in memory.
    futures::executor::block_on(session.statement_to_plan(Statement::Statement(Box::new(statement))))
}

type CorrectSyntax = fn(&mut SyntaxTree) -> Result<(), SqlError>;
type CorrectPlan = fn(LogicalPlan) -> Result<LogicalPlan, DataFusionError>;
type Refuse = fn(&LogicalPlan, &SessionState) -> Result<(), SqlError>;

const OF_SYNTAX: [CorrectSyntax; 6] = [
    |tree| ignored_clauses::write_out(tree.text, &mut tree.statement),
    |tree| {
        time_literals::write_out(&mut tree.statement);
        Ok(())
    },
    |tree| stream_functions::write_out(tree.text, &mut tree.statement, tree.relations),
    |tree| volatile_calls::refuse(tree.text, &tree.statement),
    |tree| {
        let session = tree.session;
        scope::write_out(tree.text, &mut tree.statement, |statement| planned(session, statement))
    },
    |tree| match ambiguous_names::ambiguous(&tree.statement, |statement| tree.plan(statement)) {
        Some(error) => Err(planned_wrong(tree.text, &error)),
        None => Ok(()),
    },
];

const OF_PLAN: [CorrectPlan; 10] = [
    lateral::without_joins_beside,
    coercions::bring_together,
    set_operations::count_copies,
    distinct_on::without_distinct_on,
    rounded_casts::round_casts,
    single_rows::look_at_only_rows,
    in_subqueries::spell_out_membership,
    scalar_subqueries::aggregate_scalar_subqueries,
    unique_names::keep_names_apart,
    decorrelated::decorrelate,
];

const REFUSED: [Refuse; 3] = [
    |plan, _| remaining_correlation::refuse_what_is_not_taken_out(plan),
    time_casts::refuse_what_changes_values,
    |plan, _| unnested::refuse_what_takes_elements_for_unique(plan),
];

/// Corrects a query before it is planned.
pub(super) fn correct_syntax(tree: &mut SyntaxTree) -> Result<(), SqlError> {
    OF_SYNTAX.into_iter().try_for_each(|correct| correct(tree))
}

/// Corrects the plan of a query before it is optimized.
pub(super) fn correct_plan(text: &str, plan: LogicalPlan, session: &SessionState) -> Result<LogicalPlan, SqlError> {
    let described = |error: DataFusionError| planned_wrong(text, &error);
    let plan = OF_PLAN.into_iter().try_fold(plan, |plan, correct| correct(plan)).map_err(described)?;
    REFUSED.into_iter().try_for_each(|refuse| refuse(&plan, session))?;
    outer_types::with_types_of_outer(plan, session).map_err(described)
}
