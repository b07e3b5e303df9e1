//! What of our SQL must be said in other words at DuckDB, which has everything else as it is written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    Select, SelectItem, TableFactor, Value, VisitorMut,
};

use super::super::dialect::{arguments, expression, parsed, rolled_up, said};

/// The text of a query for DuckDB. What does not have to be said in other words, or cannot be, stays. `None`: of what means something else there,
/// and has no other words.
pub(crate) fn at_duckdb(sql: &str) -> Option<String> {
    let mut saying = Saying::default();
    let text = said(sql, &mut saying);
    let Saying { changed, has_exponent, shows_all, merges } = saying;
    // Merged columns stay in their place in `*`, and a number with an exponent is a double.
    let is_another = has_exponent || shows_all && merges;
    (!is_another).then(|| if changed { text } else { sql.to_string() })
}

#[derive(Default)]
struct Saying {
    changed: bool,
    /// There is a number like `2.5e0`.
    has_exponent: bool,
    /// There is a `*`.
    shows_all: bool,
    /// There is a join with USING, or a NATURAL one.
    merges: bool,
}

impl VisitorMut for Saying {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.changed |= rolled_up(select);
        let is_all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        self.shows_all |= select.projection.iter().any(is_all);
        self.merges |= select.from.iter().flat_map(|from| &from.joins).any(merges);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = relation {
            self.merges |= table_with_joins.joins.iter().any(merges);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, found: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = found
            && let Some(text) = said_of(call)
        {
            *found = expression(&text.replace('#', &call.to_string()));
            self.changed = true;
        }
        if let Expr::Value(value) = found
            && let Value::Number(number, _) = &value.value
        {
            self.has_exponent |= number.contains(['e', 'E']);
        }
        ControlFlow::Continue(())
    }
}

fn merges(join: &Join) -> bool {
    match &join.join_operator {
        JoinOperator::Join(by)
        | JoinOperator::Inner(by)
        | JoinOperator::Left(by)
        | JoinOperator::LeftOuter(by)
        | JoinOperator::Right(by)
        | JoinOperator::RightOuter(by)
        | JoinOperator::FullOuter(by) => matches!(by, JoinConstraint::Using(_) | JoinConstraint::Natural),
        _ => false,
    }
}

/// What stands in place of a call, with `#` for the call, which may have become another one.
fn said_of(call: &mut Function) -> Option<String> {
    let name = call.name.to_string().to_lowercase();
    let given = arguments(call);
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let FunctionArguments::List(list) = &mut call.args else { return None };
    let text = match (name.as_str(), given.as_slice()) {
        ("lag" | "lead", _) => {
            list.clauses.push(FunctionArgumentClause::IgnoreOrRespectNulls(call.null_treatment.take()?));
            "#"
        }
        ("corr" | "regr_slope", _) => "unless_nan(#)",
        ("histogram", _) => "counts(#)",
        ("make_array", _) => renamed(call, "list_value"),
        ("to_char", _) => renamed(call, "strftime"),
        ("var", _) => renamed(call, "var_samp"),
        ("covar", _) => renamed(call, "covar_samp"),
        ("percentile_cont" | "approx_percentile_cont", [_, _]) => renamed(call, "quantile_cont"),
        ("approx_percentile_cont", _) => renamed(call, "percentile_cont"),
        ("approx_distinct", _) => {
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            renamed(call, "count")
        }
        _ if call.over.is_none() => return of_list(call, &name, &given),
        _ => return None,
    };
    Some(text.to_string())
}

fn renamed(call: &mut Function, name: &str) -> &'static str {
    call.name = ObjectName::from(vec![Ident::new(name)]);
    "#"
}

/// Aggregates that are a part of the list of a group's values.
fn of_list(call: &mut Function, name: &str, given: &[&str]) -> Option<String> {
    let arrival = "\"ROWOFFSET\"".to_string();
    let (order, known, text) = match (name, given) {
        ("first_value", [_]) => (None, false, "list_extract(#, 1)".into()),
        ("last_value", [_]) => (None, false, "list_extract(#, -1)".into()),
        ("nth_value", [_, place]) => (None, false, format!("list_extract(#, {place})")),
        ("collect_list", [_]) => (Some(arrival), false, "#".into()),
        ("collect_set", [value]) => (Some(value.to_string()), false, "#".into()),
        ("topk" | "topkdistinct", [value, count]) => (Some(format!("{value} DESC")), true, format!("first_of(#, {count})")),
        ("latest_by_time", [_, time]) => (Some(format!("{time} DESC NULLS LAST")), false, "list_extract(#, 1)".into()),
        ("earliest_by_time", [_, time]) => (Some(format!("{time} ASC NULLS LAST")), false, "list_extract(#, 1)".into()),
        ("latest_by_offset" | "earliest_by_offset", [_, more @ ..]) => {
            let (one, some) = match name {
                "latest_by_offset" => ("list_extract(#, -1)", "last_of"),
                _ => ("list_extract(#, 1)", "first_of"),
            };
            let count = more.iter().find(|argument| argument.parse::<u64>().is_ok());
            let text = count.map_or(one.to_string(), |count| format!("{some}(#, {count})"));
            (Some(arrival), !more.contains(&"false"), text)
        }
        _ => return None,
    };
    renamed(call, "array_agg");
    let FunctionArguments::List(list) = &mut call.args else { return None };
    list.args.truncate(1);
    if ["collect_set", "topkdistinct"].contains(&name) {
        list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
    }
    if let Some(order) = order {
        list.clauses.push(FunctionArgumentClause::OrderBy(vec![parsed(&order, |parser| parser.parse_order_by_expr())]));
    }
    if known {
        let more = call.filter.take().map_or(String::new(), |filter| format!(" AND ({filter})"));
        call.filter = Some(Box::new(expression(&format!("({}) IS NOT NULL{more}", given[0]))));
    }
    Some(text)
}
