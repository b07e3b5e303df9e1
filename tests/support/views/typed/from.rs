//! What stands in FROM, and what can be named of it.

use super::tables::TABLES;
use super::values::{condition, value};
use super::{COLUMNS, KINDS, Kind};
use crate::support::random::Random;

/// What expressions can name, and what is around.
pub(super) struct Scope<'a> {
    /// As they are named, and what they are.
    pub(super) columns: Vec<(String, Kind)>,
    /// Of the query around a subquery.
    pub(super) around: Option<&'a Scope<'a>>,
    /// Of the subqueries that this is in.
    pub(super) depth: usize,
}

impl Scope<'_> {
    /// With its relation, as one of a query around is named: a subquery may have columns of its name.
    pub(super) fn in_full(&self, kind: Kind, random: &mut Random) -> Option<String> {
        let columns = self.columns.iter().filter(|(name, _)| name.contains('.')).cloned().collect();
        Scope { columns, around: None, depth: self.depth }.any(kind, random)
    }

    pub(super) fn any(&self, kind: Kind, random: &mut Random) -> Option<String> {
        let of_kind: Vec<&String> = self.columns.iter().filter(|(_, is)| *is == kind).map(|(name, _)| name).collect();
        if of_kind.is_empty() { None } else { Some((*random.pick(&of_kind)).clone()) }
    }
}

/// A relation of FROM.
struct Relation {
    text: String,
    alias: String,
    columns: Vec<(String, Kind)>,
}

impl Relation {
    fn named(&self) -> impl Iterator<Item = (String, Kind)> {
        self.columns.iter().map(|(name, kind)| (format!("{}.{name}", self.alias), *kind))
    }

    fn of(&self, kind: Kind, random: &mut Random) -> Option<String> {
        let columns: Vec<String> = self.named().filter(|(_, is)| *is == kind).map(|(name, _)| name).collect();
        if columns.is_empty() { None } else { Some(random.pick(&columns).clone()) }
    }
}

/// FROM of a few relations, whose names begin with `prefix`.
pub(super) fn from<'a>(prefix: &str, around: Option<&'a Scope<'a>>, random: &mut Random) -> (String, Scope<'a>) {
    let depth = around.map_or(0, |around| around.depth + 1);
    let first = relation(format!("{prefix}p"), random);
    let mut text = first.text.clone();
    let mut scope = Scope { columns: first.named().collect(), around, depth };
    let mut relations = vec![first];
    let more = if depth > 0 { [0, 0, 1][random.below(3)] } else { [0, 0, 1, 1, 2][random.below(5)] };
    for n in 0..more {
        let other = relation(format!("{prefix}{}", ["q", "r"][n]), random);
        join(&mut text, &mut scope, &relations, &other, random);
        relations.push(other);
    }
    (text, scope)
}

fn join(text: &mut String, scope: &mut Scope, relations: &[Relation], other: &Relation, random: &mut Random) {
    let kind = *random.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let common: Vec<(String, Kind)> = match relations {
        [first] => first.columns.iter().filter(|column| other.columns.contains(column)).cloned().collect(),
        _ => Vec::new(),
    };
    let mut merged = Vec::new();
    match random.below(10) {
        0 => *text += &format!(" CROSS JOIN {}", other.text),
        1 if !common.is_empty() && other.columns.len() < COLUMNS.len() - 1 => {
            *text += &format!(" NATURAL {kind} {}", other.text);
            merged.extend(common.iter().map(|(name, _)| name.clone()));
            scope.columns.extend(common);
        }
        2..5 if !common.is_empty() => {
            let (name, of) = random.pick(&common).clone();
            *text += &format!(" {kind} {} USING ({name})", other.text);
            // The merged one is named alone.
            merged.push(name.clone());
            scope.columns.push((name, of));
        }
        _ => {
            let left = random.pick(relations);
            let of: Vec<Kind> =
                KINDS.into_iter().filter(|kind| left.of(*kind, random).is_some() && other.of(*kind, random).is_some()).collect();
            if of.is_empty() {
                *text += &format!(" CROSS JOIN {}", other.text);
                scope.columns.extend(other.named());
                return;
            }
            let kind_of = *random.pick(&of);
            let mut on = format!("{} = {}", left.of(kind_of, random).unwrap(), other.of(kind_of, random).unwrap());
            if random.percent(20) {
                let both = Scope { columns: left.named().chain(other.named()).collect(), around: None, depth: 9 };
                on += &format!(" AND {}", condition(&both, 1, random));
            }
            *text += &format!(" {kind} {} ON {on}", other.text);
        }
    }
    // What is merged and there once more has no meaning alone.
    scope.columns.retain(|(name, _)| name.contains('.') || !other.columns.iter().any(|(other, _)| other == name) || merged.contains(name));
    scope.columns.extend(other.named());
}

/// A table, or a query that shows some of its columns and some values of them.
fn relation(alias: String, random: &mut Random) -> Relation {
    let table = format!("s.u{}", random.below(TABLES));
    let own: Vec<(String, Kind)> = COLUMNS.iter().filter_map(|(name, _, kind)| Some((name.to_string(), (*kind)?))).collect();
    if random.percent(70) {
        return Relation { text: format!("{table} {alias}"), alias, columns: own };
    }
    let inside = Scope { columns: own.iter().map(|(name, kind)| (format!("i.{name}"), *kind)).collect(), around: None, depth: 9 };
    let (mut shown, mut columns) = (Vec::new(), Vec::new());
    for (name, kind) in &own {
        if random.percent(40) {
            shown.push(format!("i.{name}"));
            columns.push((name.clone(), *kind));
        }
    }
    let computed = *random.pick(&KINDS);
    let name = format!("{alias}v");
    shown.push(format!("{} AS {name}", value(computed, &inside, 2, random)));
    columns.push((name, computed));
    let filter = if random.percent(30) { format!(" WHERE {}", condition(&inside, 1, random)) } else { String::new() };
    let distinct = if random.percent(15) { "DISTINCT " } else { "" };
    Relation { text: format!("(SELECT {distinct}{} FROM {table} i{filter}) {alias}", shown.join(", ")), alias, columns }
}
