//! Aggregates with the names that users of stream databases know (ksqlDB's, and `LATEST_BY_TIME`), rewritten to calls that DataFusion has.
//!
//! In: a parsed query. Out: the same query with these calls replaced. "By offset" means by order of arrival: the column `ROWOFFSET` of a
//! stream. To add a function, add a file with its name and template, and a line in [`ALL`].

mod by_offset;
mod by_time;
mod collect;
mod histogram;
mod top;

use std::ops::ControlFlow;

use datafusion::config::Dialect;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, ExprWithAlias, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, Select, Spanned,
    Statement, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::SqlError;
use super::error::bytes_of;
use super::relation::Relation;
use super::session::state;
use crate::value::ROW_OFFSET;

/// A function and its rewrite.
pub(super) struct StreamFunction {
    /// In lower case.
    pub(super) name: &'static str,
    /// Example calls, for messages.
    usage: &'static str,
    write: fn(&FunctionCall) -> Result<Replacement, Wrong>,
}

pub(super) const ALL: &[StreamFunction] = &[
    by_offset::LATEST,
    by_offset::EARLIEST,
    by_time::LATEST,
    by_time::EARLIEST,
    collect::LIST,
    collect::SET,
    histogram::HISTOGRAM,
    top::TOPK,
    top::TOPK_DISTINCT,
];

/// The arguments of a call, and whether the order of arrival is known.
struct FunctionCall<'a> {
    arguments: Vec<&'a Expr>,
    arrival: ArrivalColumn,
}

/// Whether the rows of a SELECT have the column `ROWOFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrivalColumn {
    Known,
    None,
    /// The rows are from a subquery.
    Unsure,
}

/// SQL that replaces the call; `$1`, `$2` and so on are its arguments. `where_` is a condition that a row must meet to count.
struct Replacement {
    text: String,
    where_: Option<&'static str>,
}

enum Wrong {
    Arguments,
    NeedsArrival,
}

impl FunctionCall<'_> {
    /// An argument that is a positive integer literal.
    fn number(&self, argument: usize) -> Option<u64> {
        match self.arguments.get(argument)? {
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) => text.parse().ok().filter(|n| *n > 0),
                _ => None,
            },
            _ => None,
        }
    }

    /// An argument that is a literal `true` or `false`.
    fn flag(&self, argument: usize) -> Option<bool> {
        match self.arguments.get(argument)? {
            Expr::Value(value) => match value.value {
                Value::Boolean(flag) => Some(flag),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Replaces such calls in a query over these relations.
pub(super) fn write_out(text: &str, statement: &mut Statement, relations: &[Relation]) -> Result<(), SqlError> {
    match VisitMut::visit(statement, &mut CallRewriter { text, relations, arrivals: Vec::new() }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct CallRewriter<'a> {
    text: &'a str,
    relations: &'a [Relation],
    /// For the enclosing SELECTs, the innermost last.
    arrivals: Vec<ArrivalColumn>,
}

impl VisitorMut for CallRewriter<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        self.arrivals.push(self.arrival_of(select));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<SqlError> {
        self.arrivals.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        let Some(known) = ALL.iter().find(|known| known.name == name) else { return ControlFlow::Continue(()) };
        match self.written(known, function) {
            Ok(written) => {
                *expr = written;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error.at(bytes_of(self.text, function.name.span()))),
        }
    }
}

impl CallRewriter<'_> {
    fn arrival_of(&self, select: &Select) -> ArrivalColumn {
        let mut found = ArrivalColumn::None;
        let factors =
            select.from.iter().flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        for factor in factors {
            let relation = match factor {
                TableFactor::Table { name, .. } => {
                    let parts: Vec<&str> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(|ident| ident.value.as_str()).collect();
                    self.relations.iter().find(|relation| match parts.as_slice() {
                        [name] => relation.source.is_none() && relation.name == *name,
                        [source, name] => relation.source.as_deref() == Some(*source) && relation.name == *name,
                        _ => false,
                    })
                }
                _ => None,
            };
            match relation {
                Some(relation) if relation.schema.index_of(ROW_OFFSET).is_some() => return ArrivalColumn::Known,
                Some(_) => {}
                None => found = ArrivalColumn::Unsure,
            }
        }
        found
    }

    fn written(&self, known: &StreamFunction, function: &Function) -> Result<Expr, SqlError> {
        let misused = || SqlError::new(format!("`{}` is not called like this", known.name)).help(format!("write {}", known.usage));
        let FunctionArguments::List(list) = &function.args else { return Err(misused()) };
        let argument = |argument: &FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        };
        let arguments = list.args.iter().map(argument).collect::<Option<Vec<Expr>>>().ok_or_else(misused)?;
        if !list.clauses.is_empty() || list.duplicate_treatment.is_some() || function.over.is_some() || !function.within_group.is_empty() {
            return Err(misused());
        }
        let arrival = self.arrivals.last().copied().unwrap_or(ArrivalColumn::None);
        let written = (known.write)(&FunctionCall { arguments: arguments.iter().collect(), arrival }).map_err(|wrong| match wrong {
            Wrong::Arguments => misused(),
            Wrong::NeedsArrival => {
                SqlError::new(format!("`{}` needs the order in which rows arrive, which is not recorded for these", known.name))
                    .help("name the table in its source's `arrival: [...]`, or order by a column: latest_by_time(value, time)")
            }
        })?;
        let span = function.name.span();
        let mut expr = parsed(&written.text, &arguments, span);
        let counts = written.where_.map(|text| parsed(text, &arguments, span));
        let filter = match (function.filter.clone(), counts) {
            (Some(theirs), Some(ours)) => {
                let nested = |expr: Expr| Box::new(Expr::Nested(Box::new(expr)));
                Some(Expr::BinaryOp { left: nested(*theirs), op: BinaryOperator::And, right: nested(ours) })
            }
            (theirs, ours) => theirs.map(|filter| *filter).or(ours),
        };
        // If the template wraps the aggregate in other calls, the filter belongs to the aggregate.
        let mut within = FilterSetter(filter);
        let _ = VisitMut::visit(&mut expr, &mut within);
        Ok(expr)
    }
}

/// Adds the filter to the first aggregate call.
struct FilterSetter(Option<Expr>);

impl VisitorMut for FilterSetter {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if state().aggregate_functions().contains_key(&function.name.to_string()) => {
                function.filter = self.0.take().map(Box::new);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The template with its arguments inserted. Everything else in it gets the place `span`, for messages.
fn parsed(template: &str, arguments: &[Expr], span: Span) -> Expr {
    struct Fill<'a>(&'a [Expr], Span);
    impl VisitorMut for Fill<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(Ident { value, span, .. }) => {
                    let number = value.strip_prefix(ARGUMENT).and_then(|number| number.parse::<usize>().ok());
                    match number.and_then(|number| self.0.get(number - 1)) {
                        Some(argument) => *expr = argument.clone(),
                        None => *span = self.1,
                    }
                }
                Expr::Function(function) => {
                    for part in &mut function.name.0 {
                        if let ObjectNamePart::Identifier(ident) = part {
                            ident.span = self.1;
                        }
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let template = template.replace('$', ARGUMENT);
    let parsed = state().sql_to_expr_with_alias(&template, &Dialect::Generic);
    let ExprWithAlias { mut expr, .. } = parsed.expect("templates are SQL");
    let _ = VisitMut::visit(&mut expr, &mut Fill(arguments, span));
    expr
}

/// Prefix of the names that replace `$` while a template is parsed.
const ARGUMENT: &str = "argument_";
