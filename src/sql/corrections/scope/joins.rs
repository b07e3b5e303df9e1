//! The columns of FROM; rewrites USING and NATURAL to ON.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, Select, SelectFlavor, SelectItem, SetExpr, Spanned, TableAlias, TableFactor, TableWithJoins,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{Misnamed, Resolver, Scope, ShownColumn, query_of};
use crate::sql::SqlError;
use crate::sql::syntax::call;

/// Whether a join of this FROM merges columns.
pub(super) fn merges(from: &mut [TableWithJoins]) -> bool {
    let of_factor = |factor: &mut TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => merges(std::slice::from_mut(table_with_joins)),
        _ => false,
    };
    from.iter_mut().any(|from| {
        of_factor(&mut from.relation)
            || from.joins.iter_mut().any(|join| {
                let merged = matches!(constraint_of(&mut join.join_operator), Some(JoinConstraint::Using(_) | JoinConstraint::Natural));
                merged || of_factor(&mut join.relation)
            })
    })
}

/// Which columns a join shows, and from which side a merged column is taken.
#[derive(Clone, Copy, PartialEq)]
enum ShownSides {
    /// Those of both sides; a merged column is the left one.
    Left,
    /// Those of both sides; a merged column is the right one.
    Right,
    /// Those of both sides; a merged column is the one that is not NULL.
    Either,
    OnlyLeft,
    OnlyRight,
}

fn sides(operator: &JoinOperator) -> ShownSides {
    match operator {
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => ShownSides::Right,
        JoinOperator::FullOuter(_) => ShownSides::Either,
        JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_) => ShownSides::OnlyLeft,
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => ShownSides::OnlyRight,
        _ => ShownSides::Left,
    }
}

/// The constraint of a join of a type that DataFusion supports.
fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

impl Resolver<'_> {
    /// The scope of FROM. It is empty if the caller does not need it (`is_asked` is false).
    pub(super) fn from(&mut self, from: &mut [TableWithJoins], is_asked: bool) -> Result<Scope, SqlError> {
        let mut scope = Scope::default();
        for tables in from {
            let joined = self.joined(tables, &scope, is_asked)?;
            scope.beside(joined);
        }
        Ok(scope)
    }

    /// `before`: the scope of the preceding relations in FROM, for LATERAL.
    fn joined(&mut self, tables: &mut TableWithJoins, before: &Scope, is_asked: bool) -> Result<Scope, SqlError> {
        let mut scope = self.factor(&mut tables.relation, before, is_asked)?;
        for join in &mut tables.joins {
            let mut beside = before.clone();
            beside.beside(scope.clone());
            let right = self.factor(&mut join.relation, &beside, is_asked)?;
            scope = self.join(join, scope, right)?;
        }
        Ok(scope)
    }

    fn join(&mut self, join: &mut Join, left: Scope, right: Scope) -> Result<Scope, SqlError> {
        let sides = sides(&join.join_operator);
        let place = join.relation.span();
        let Some(constraint) = constraint_of(&mut join.join_operator) else { return Ok(both(left, right, sides, Vec::new())) };
        let names = match constraint {
            JoinConstraint::Using(names) => names.iter().map(alone).collect::<Result<_, _>>().map_err(|wrong| wrong.at_of(self.text))?,
            JoinConstraint::Natural => common(&left, &right, place),
            JoinConstraint::On(condition) => {
                let mut named = left.clone();
                named.beside(right.clone());
                self.in_full(condition, &named)?;
                return Ok(both(left, right, sides, Vec::new()));
            }
            JoinConstraint::None => return Ok(both(left, right, sides, Vec::new())),
        };
        let pairs = pairs(&names, &left, &right).map_err(|wrong| wrong.at_of(self.text))?;
        let equal = pairs.iter().map(|(name, [left, right])| Expr::BinaryOp {
            left: Box::new(at(&left.expr, name.span)),
            op: BinaryOperator::Eq,
            right: Box::new(at(&right.expr, name.span)),
        });
        let all = equal.reduce(|all, next| Expr::BinaryOp { left: Box::new(all), op: BinaryOperator::And, right: Box::new(next) });
        *constraint = JoinConstraint::On(all.unwrap_or_else(|| Expr::value(datafusion::sql::sqlparser::ast::Value::Boolean(true))));
        Ok(both(left, right, sides, pairs))
    }

    fn factor(&mut self, factor: &mut TableFactor, before: &Scope, is_asked: bool) -> Result<Scope, SqlError> {
        let is_lateral = match factor {
            TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
            TableFactor::UNNEST { .. } => true,
            _ => false,
        };
        if is_lateral && before.has_merged() {
            self.around.push(before.clone());
            let inside = self.inside(factor, is_asked);
            self.around.pop();
            inside?;
            self.lists(factor, before)?;
        } else {
            self.inside(factor, is_asked)?;
        }
        if !is_asked {
            return Ok(Scope::default());
        }
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            return self.joined(table_with_joins, before, true);
        }
        self.shown(factor)
    }

    /// Resolves the query inside a relation of FROM.
    fn inside(&mut self, factor: &mut TableFactor, is_asked: bool) -> Result<(), SqlError> {
        match factor {
            TableFactor::Derived { subquery, .. } => self.query(subquery),
            // A nested join with an alias is turned into a query.
            TableFactor::NestedJoin { table_with_joins, alias: alias @ Some(_) } => {
                if !merges(std::slice::from_mut(table_with_joins)) {
                    return self.joined(table_with_joins, &Scope::default(), false).map(drop);
                }
                let mut select = select_all((**table_with_joins).clone());
                self.select(&mut select, None)?;
                let subquery = Box::new(query_of(SetExpr::Select(Box::new(select))));
                *factor = TableFactor::Derived { lateral: false, subquery, alias: alias.take(), sample: None };
                Ok(())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if !is_asked => {
                self.joined(table_with_joins, &Scope::default(), false).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Resolves names in the lists of an UNNEST next to merged columns.
    fn lists(&mut self, factor: &mut TableFactor, before: &Scope) -> Result<(), SqlError> {
        match factor {
            TableFactor::UNNEST { array_exprs, .. } => self.in_full(array_exprs, before),
            TableFactor::Function { args, .. } => self.in_full(args, before),
            _ => Ok(()),
        }
    }

    /// The columns of a relation. A query without an alias gets one.
    fn shown(&mut self, factor: &mut TableFactor) -> Result<Scope, SqlError> {
        let place = factor.span();
        let is_list = matches!(factor, TableFactor::UNNEST { .. } | TableFactor::Function { .. });
        if let TableFactor::Derived { alias: alias @ None, .. } = factor {
            let name = Ident::with_span(place, format!("query_at_{}_{}", place.start.line, place.start.column));
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        let (alias, name) = match factor {
            TableFactor::Table { alias, name, .. } => (alias.as_ref(), Some(&*name)),
            TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::Function { alias, .. } => (alias.as_ref(), None),
            _ => (None, None),
        };
        let qualifier: Vec<Ident> = match (alias, name) {
            (Some(alias), _) => vec![alias.name.clone()],
            (None, Some(ObjectName(parts))) => parts.iter().filter_map(|part| part.as_ident().cloned()).collect(),
            (None, None) => return Ok(Scope { unnamed: Some(place), ..Scope::default() }),
        };
        let names = match alias {
            Some(alias) if !alias.columns.is_empty() => alias.columns.iter().map(|column| column.name.value.clone()).collect(),
            _ if is_list => return Ok(Scope { unnamed: Some(place), ..Scope::default() }),
            _ => {
                let tables = TableWithJoins { relation: factor.clone(), joins: Vec::new() };
                self.columns_of(query_of(SetExpr::Select(Box::new(select_all(tables)))))?
            }
        };
        let columns = names.into_iter().map(|name| {
            let name = Ident::with_quote('"', name);
            ShownColumn {
                expr: Expr::CompoundIdentifier([qualifier.as_slice(), std::slice::from_ref(&name)].concat()),
                name,
                is_merged: false,
                in_full: false,
            }
        });
        let relations = qualifier.last().map(|name| name.value.clone()).into_iter().collect();
        Ok(Scope { columns: columns.collect(), relations, unnamed: None })
    }
}

/// Checks a name in USING, which must have one part.
fn alone(name: &ObjectName) -> Result<Ident, Misnamed> {
    match name.0.as_slice() {
        [name] if name.as_ident().is_some() => Ok(name.as_ident().expect("it is one").clone()),
        _ => Err(Misnamed {
            message: format!("`{name}` is not a plain column name"),
            help: "USING names columns that both sides have, without the relation",
            place: name.span(),
        }),
    }
}

/// The names that both sides have, in the order of the left side.
fn common(left: &Scope, right: &Scope, place: Span) -> Vec<Ident> {
    let mut names: Vec<Ident> = Vec::new();
    for column in &left.columns {
        if right.named(&column.name.value).next().is_some() && !names.iter().any(|name| name.value == column.name.value) {
            names.push(Ident { span: place, ..column.name.clone() });
        }
    }
    names
}

type Pair = (Ident, [ShownColumn; 2]);

/// The two columns for each name of USING or NATURAL.
fn pairs(names: &[Ident], left: &Scope, right: &Scope) -> Result<Vec<Pair>, Misnamed> {
    let mut pairs: Vec<Pair> = Vec::new();
    for name in names {
        let wrong = |what: &str, help| Misnamed { message: format!("`{}` {what}", name.value), help, place: name.span };
        if pairs.iter().any(|(other, _)| other.value == name.value) {
            return Err(wrong("is given twice in USING", "remove one"));
        }
        let side = |scope: &Scope, side: &str| {
            let found: Vec<&ShownColumn> = scope.named(&name.value).collect();
            match found[..] {
                [column] => Ok(column.clone()),
                [] => Err(wrong(&format!("is not a column of the {side} side of this join"), "USING names columns that both sides have")),
                _ => Err(wrong(&format!("is more than one column of the {side} side of this join"), "write ON, with qualified columns")),
            }
        };
        let columns = [side(left, "left")?, side(right, "right")?];
        pairs.push((name.clone(), columns));
    }
    Ok(pairs)
}

/// The scope of a join: the merged columns, then the remaining columns of the left and of the right side.
fn both(left: Scope, right: Scope, sides: ShownSides, pairs: Vec<Pair>) -> Scope {
    let is_rest = |column: &ShownColumn| !pairs.iter().any(|(name, _)| name.value == column.name.value);
    if let ShownSides::OnlyLeft = sides {
        return left;
    }
    if let ShownSides::OnlyRight = sides {
        return right;
    }
    let rest: Vec<ShownColumn> = left.columns.into_iter().chain(right.columns).filter(is_rest).collect();
    let merged = pairs.into_iter().map(|(name, [left, right])| ShownColumn {
        expr: match sides {
            ShownSides::Right => right.expr,
            ShownSides::Either => call("coalesce", vec![left.expr, right.expr], name.span),
            ShownSides::Left | ShownSides::OnlyLeft | ShownSides::OnlyRight => left.expr,
        },
        name: Ident { quote_style: Some('"'), ..name },
        is_merged: true,
        in_full: true,
    });
    Scope {
        columns: merged.chain(rest).collect(),
        relations: [left.relations, right.relations].concat(),
        unnamed: left.unnamed.or(right.unnamed),
    }
}

/// The column with the given place in the text, for messages.
pub(super) fn at(expr: &Expr, place: Span) -> Expr {
    match expr {
        Expr::CompoundIdentifier(names) => {
            Expr::CompoundIdentifier(names.iter().map(|name| Ident { span: place, ..name.clone() }).collect())
        }
        Expr::Function(Function { args: FunctionArguments::List(list), .. }) => {
            let of = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(at(expr, place)),
                _ => None,
            };
            call("coalesce", list.args.iter().filter_map(of).collect(), place)
        }
        other => other.clone(),
    }
}

/// `SELECT *` from these relations.
fn select_all(tables: TableWithJoins) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![tables],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}
