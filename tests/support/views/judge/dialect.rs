//! What of our SQL must be said in other words at PostgreSQL, which has everything else as it is written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    GroupByExpr, Ident, JoinConstraint, JoinOperator, NullTreatment, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, VisitMut,
    VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::values::Nearness;

/// How far the doubles of a query may be from PostgreSQL's.
pub(super) fn nearness(sql: &str) -> Nearness {
    match ["regr_", "corr(", "covar_"].iter().any(|call| sql.contains(call)) {
        true => Nearness::Share(1e-12),
        false => Nearness::Ulps(4),
    }
}

/// The text of a query for PostgreSQL. What does not have to be said in other words, or cannot be, stays.
pub(crate) fn at_postgres(sql: &str) -> String {
    let mut saying = Saying { changed: false };
    let text = said(sql, &mut saying);
    if saying.changed { text } else { sql.to_string() }
}

/// The text after a visit; the same text where it cannot be read.
pub(super) fn said(sql: &str, visitor: &mut impl VisitorMut<Break = ()>) -> String {
    let Ok(mut statements) = Parser::parse_sql(&GenericDialect, sql) else { return sql.to_string() };
    let _ = statements.visit(visitor);
    match statements.as_slice() {
        [statement] => statement.to_string(),
        _ => sql.to_string(),
    }
}

struct Saying {
    changed: bool,
}

impl VisitorMut for Saying {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.changed |= full_joins(select) | rolled_up(select) | qualified(select);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        self.changed |= cast(expression) || ignoring_nulls(expression) || of_different(expression) || aggregate(expression);
        ControlFlow::Continue(())
    }
}

pub(super) fn parsed<T>(text: &str, parse: impl Fn(&mut Parser) -> Result<T, datafusion::sql::sqlparser::parser::ParserError>) -> T {
    let mut parser = Parser::new(&GenericDialect).try_with_sql(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    parse(&mut parser).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(super) fn expression(text: &str) -> Expr {
    parsed(text, |parser| parser.parse_expr())
}

/// PostgreSQL has FULL JOIN by equal columns only: here by what is equal of all rows, and the condition.
fn full_joins(select: &mut Select) -> bool {
    let mut changed = false;
    for from in &mut select.from {
        let Some(left) = name_of(&from.relation) else { continue };
        for join in &mut from.joins {
            if let JoinOperator::FullOuter(JoinConstraint::On(on)) = &mut join.join_operator
                && !has_equality(on)
                && let Some(right) = name_of(&join.relation)
            {
                *on = expression(&format!("({on}) AND num_nulls({left}) * 0 = num_nulls({right}) * 0"));
                changed = true;
            }
        }
    }
    changed
}

fn has_equality(on: &Expr) -> bool {
    match on {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => has_equality(left) || has_equality(right),
        Expr::BinaryOp { op: BinaryOperator::Eq, .. } => true,
        Expr::Nested(on) => has_equality(on),
        _ => false,
    }
}

fn name_of(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// `GROUP BY a WITH ROLLUP` is `GROUP BY ROLLUP (a)`.
pub(super) fn rolled_up(select: &mut Select) -> bool {
    let GroupByExpr::Expressions(groups, modifiers) = &mut select.group_by else { return false };
    if modifiers.is_empty() {
        return false;
    }
    *groups = vec![Expr::Rollup(groups.drain(..).map(|group| vec![group]).collect())];
    modifiers.clear();
    true
}

/// QUALIFY is a filter of a query around.
fn qualified(select: &mut Select) -> bool {
    let Some(mut condition) = select.qualify.take() else { return false };
    let mut names = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => names.push(alias.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => names.push(name.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names_of)) => names.extend(names_of.last().cloned()),
            _ => {
                select.qualify = Some(condition);
                return false;
            }
        }
    }
    let _ = condition.visit(&mut Shown(&select.projection));
    select.projection.push(SelectItem::ExprWithAlias { expr: condition, alias: Ident::new("qualified") });
    let names: Vec<String> = names.iter().map(Ident::to_string).collect();
    let text = format!("SELECT {} FROM ({select}) AS qualifying WHERE qualified", names.join(", "));
    let query: Box<Query> = parsed(&text, |parser| parser.parse_query());
    let SetExpr::Select(around) = *query.body else { unreachable!("it is a SELECT") };
    *select = *around;
    true
}

/// In place of names of what is selected, what they name.
struct Shown<'a>(&'a [SelectItem]);

impl VisitorMut for Shown<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expression {
            let named = self.0.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if alias == name => Some(expr),
                _ => None,
            });
            if let Some(named) = named {
                *expression = Expr::Nested(Box::new(named.clone()));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Types that have other names.
fn cast(expression: &mut Expr) -> bool {
    let Expr::Cast { data_type, .. } = expression else { return false };
    let other = match data_type {
        DataType::Double(_) => DataType::DoublePrecision,
        DataType::Float(_) => DataType::Real,
        DataType::TinyInt(_) => DataType::SmallInt(None),
        DataType::String(_) => DataType::Text,
        _ => return false,
    };
    *data_type = other;
    true
}

/// `lag` and `lead` with IGNORE NULLS: of the list of what stands before or behind.
fn ignoring_nulls(found: &mut Expr) -> bool {
    let Expr::Function(call) = &*found else { return false };
    let (Some(NullTreatment::IgnoreNulls), Some(WindowType::WindowSpec(window))) = (call.null_treatment, &call.over) else { return false };
    let name = call.name.to_string().to_lowercase();
    let frame = match name.as_str() {
        "lag" => "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "lead" => "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
        _ => return false,
    };
    let arguments = arguments(call);
    let [value, more @ ..] = arguments.as_slice() else { return false };
    let more: String = more.iter().map(|argument| format!(", {argument}")).collect();
    *found = expression(&format!("{name}_known({value}, array_agg({value}) OVER ({window} {frame}){more})"));
    true
}

/// Window functions of different values: of the list of what is in the frame.
fn of_different(found: &mut Expr) -> bool {
    let Expr::Function(call) = found else { return false };
    let name = call.name.to_string().to_lowercase();
    let FunctionArguments::List(list) = &mut call.args else { return false };
    if call.over.is_none() || list.duplicate_treatment != Some(DuplicateTreatment::Distinct) {
        return false;
    }
    list.duplicate_treatment = None;
    call.name = ObjectName::from(vec![Ident::new("array_agg")]);
    *found = expression(&format!("different_{name}({call})"));
    true
}

pub(super) fn arguments(call: &Function) -> Vec<String> {
    let FunctionArguments::List(list) = &call.args else { return Vec::new() };
    list.args.iter().map(FunctionArg::to_string).collect()
}

/// Aggregates of which PostgreSQL has the names for window functions only, and those that go by the order of arrival.
fn aggregate(found: &mut Expr) -> bool {
    let Expr::Function(call) = found else { return false };
    let name = call.name.to_string().to_lowercase();
    let given = arguments(call);
    let FunctionArguments::List(list) = &mut call.args else { return false };
    let of_list = match (name.as_str(), given.as_slice()) {
        ("latest_by_offset" | "earliest_by_offset" | "collect_list", [_, ..]) if list.clauses.is_empty() => {
            let order = parsed("\"ROWOFFSET\"", |parser| parser.parse_order_by_expr());
            list.clauses.push(FunctionArgumentClause::OrderBy(vec![order]));
            return true;
        }
        ("to_char", [_, pattern]) => {
            let Some(same) = pattern_at_postgres(pattern) else { return false };
            list.args[1] = FunctionArg::Unnamed(FunctionArgExpr::Expr(expression(&same)));
            return true;
        }
        ("var", [_]) | ("covar", [_, _]) => {
            call.name = ObjectName::from(vec![Ident::new(format!("{name}_samp"))]);
            return true;
        }
        ("latest_by_time" | "earliest_by_time", [_, time]) => {
            let direction = if name == "latest_by_time" { "DESC" } else { "ASC" };
            let order = parsed(&format!("{time} {direction} NULLS LAST"), |parser| parser.parse_order_by_expr());
            list.clauses.push(FunctionArgumentClause::OrderBy(vec![order]));
            "nth_of(#, 1)".to_string()
        }
        ("first_value", [_]) if call.over.is_none() => "nth_of(#, 1)".to_string(),
        ("last_value", [_]) if call.over.is_none() => "nth_of(#, -1)".to_string(),
        ("nth_value", [_, place]) if call.over.is_none() => format!("nth_of(#, {place})"),
        ("percentile_cont" | "approx_percentile_cont", [_, share]) => format!("percentile_of(#::float8[], {share})"),
        ("percentile_cont" | "approx_percentile_cont", [share]) => {
            let [order] = call.within_group.as_slice() else { return false };
            let share = if order.options.asc == Some(false) { format!("1 - {share}") } else { share.clone() };
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(order.expr.clone()))];
            call.within_group.clear();
            format!("percentile_of(#::float8[], {share})")
        }
        _ => return false,
    };
    list.args.truncate(1);
    call.name = ObjectName::from(vec![Ident::new("array_agg")]);
    *found = expression(&of_list.replace('#', &call.to_string()));
    true
}

/// A pattern of strftime, as a literal, in PostgreSQL's words.
fn pattern_at_postgres(pattern: &str) -> Option<String> {
    let words = [("%Y", "YYYY"), ("%m", "MM"), ("%d", "DD"), ("%H", "HH24"), ("%M", "MI"), ("%S", "SS")];
    let same = words.iter().fold(pattern.to_string(), |text, (ours, theirs)| text.replace(ours, theirs));
    (pattern.contains('%') && !same.contains('%')).then_some(same)
}
