//! What the lookups of a spec say about columns: the two sides of each relation, with casts where their types differ; columns under other
//! names; and which columns look personal or large.

use super::fields::shown_name;
use super::tree::{BranchForm, Outline};
use super::words::{table_words, words};
use crate::sources::{Survey, SurveyedColumn, SurveyedTable};
use crate::value::Type;

/// What is written beside the `from` of a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BranchColumns {
    pub rename: Vec<(String, String)>,
    /// Computed columns, each with its SQL. None of them is shown.
    pub compute: Vec<(String, String)>,
    /// Columns of the table that are not shown.
    pub exclude: Vec<String>,
    /// Fields of the parent, each with the column that equals it.
    pub on: Vec<(String, String)>,
}

/// The columns of every branch of the outline.
pub(super) fn columns(survey: &Survey, outline: &Outline) -> Vec<BranchColumns> {
    let mut all: Vec<BranchColumns> = outline.branches.iter().map(|branch| own(&survey.tables[branch.table], branch.form)).collect();
    for (at, branch) in outline.branches.iter().enumerate() {
        let Some(parent) = branch.parent else { continue };
        let (table, of_parent) = (&survey.tables[branch.table], &survey.tables[outline.branches[parent].table]);
        let path = &outline.branches[parent].path;
        for &(parent_column, child_column) in &branch.on {
            let (above, below) = (&of_parent.columns[parent_column], &table.columns[child_column]);
            let cast = match relation_of(&above.ty, &below.ty) {
                TypeRelation::Cast(to) => Some(to),
                TypeRelation::Same | TypeRelation::Unlike => None,
            };
            let field = field_of(&mut all[parent], of_parent, above, cast.as_ref());
            let child = match &cast {
                Some(to) if *to != below.ty => computed(&mut all[at], table, below, &cast_of(&below.name, to)),
                _ => below.name.clone(),
            };
            let field = path.iter().map(String::as_str).chain([field.as_str()]).collect::<Vec<_>>().join(".");
            all[at].on.push((field, child));
        }
    }
    all
}

fn own(table: &SurveyedTable, form: BranchForm) -> BranchColumns {
    let mut own = BranchColumns::default();
    if form == BranchForm::Links {
        own.exclude = table.columns.iter().map(|column| column.name.clone()).collect();
        return own;
    }
    for column in &table.columns {
        let mut shown = shown_name(&column.name);
        if shown != column.name {
            while table.columns.iter().any(|other| other.name == shown) || own.rename.iter().any(|(_, other)| *other == shown) {
                shown.push('_');
            }
            own.rename.push((column.name.clone(), shown));
        }
    }
    own
}

/// The name by which a relation can name a column of the parent, cast if necessary. A dot in it would be read as the end of a path.
fn field_of(of: &mut BranchColumns, table: &SurveyedTable, column: &SurveyedColumn, cast: Option<&Type>) -> String {
    match cast {
        Some(to) if *to != column.ty => return computed(of, table, column, &cast_of(&column.name, to)),
        _ => {}
    }
    if let Some((_, shown)) = of.rename.iter().find(|(name, _)| *name == column.name) {
        return shown.clone();
    }
    match column.name.contains('.') {
        true => computed(of, table, column, &quoted(&column.name)),
        false => column.name.clone(),
    }
}

/// The name of a computed column with this SQL; it is added if there is none yet.
fn computed(of: &mut BranchColumns, table: &SurveyedTable, column: &SurveyedColumn, sql: &str) -> String {
    if let Some((name, _)) = of.compute.iter().find(|(_, other)| other == sql) {
        return name.clone();
    }
    let mut name = format!("{}_key", shown_name(&column.name).replace('.', "_"));
    let taken = |name: &String| {
        table.columns.iter().any(|c| c.name == *name) || of.rename.iter().chain(&of.compute).any(|(a, b)| a == name || b == name)
    };
    while taken(&name) {
        name.push('_');
    }
    of.compute.push((name.clone(), sql.to_string()));
    name
}

fn cast_of(column: &str, to: &Type) -> String {
    let name = match to {
        Type::Int8 => "tinyint",
        Type::Int16 => "smallint",
        Type::Int32 => "int",
        Type::Int64 => "bigint",
        Type::UInt8 => "tinyint unsigned",
        Type::UInt16 => "smallint unsigned",
        Type::UInt32 => "int unsigned",
        Type::UInt64 => "bigint unsigned",
        _ => "decimal(20,0)",
    };
    format!("cast({} as {name})", quoted(column))
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How values of two types are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TypeRelation {
    Same,
    /// Both as this type, which has all values of both.
    Cast(Type),
    /// Not at all.
    Unlike,
}

pub(super) fn relation_of(one: &Type, other: &Type) -> TypeRelation {
    match (one, other) {
        _ if one == other => TypeRelation::Same,
        (Type::DateTime { .. }, Type::DateTime { .. })
        | (Type::Timestamp { .. }, Type::Timestamp { .. })
        | (Type::Time { .. }, Type::Time { .. }) => TypeRelation::Same,
        _ => match (integer(one), integer(other)) {
            (Some(one), Some(other)) => TypeRelation::Cast(common(one, other)),
            _ => TypeRelation::Unlike,
        },
    }
}

/// Whether a type is an integer: its bits, and whether it is signed.
fn integer(ty: &Type) -> Option<(u32, bool)> {
    Some(match ty {
        Type::Int8 => (8, true),
        Type::Int16 => (16, true),
        Type::Int32 => (32, true),
        Type::Int64 => (64, true),
        Type::UInt8 => (8, false),
        Type::UInt16 => (16, false),
        Type::UInt32 => (32, false),
        Type::UInt64 => (64, false),
        _ => return None,
    })
}

fn common((bits, signed): (u32, bool), (other_bits, other_signed): (u32, bool)) -> Type {
    let needed = |bits: u32, is_signed: bool| if is_signed { bits } else { bits * 2 };
    match (signed, other_signed) {
        (false, false) => match bits.max(other_bits) {
            8 => Type::UInt8,
            16 => Type::UInt16,
            32 => Type::UInt32,
            _ => Type::UInt64,
        },
        _ => match needed(bits, signed).max(needed(other_bits, other_signed)) {
            8 => Type::Int8,
            16 => Type::Int16,
            32 => Type::Int32,
            64 => Type::Int64,
            _ => Type::Decimal { precision: 20, scale: 0 },
        },
    }
}

/// The columns whose values may be very long, each with its type.
pub(super) fn large(table: &SurveyedTable) -> Vec<String> {
    const LONG: u64 = 65_535;
    let is_large = |column: &&SurveyedColumn| column.length.is_some_and(|length| length >= LONG) || column.ty == Type::Json;
    table.columns.iter().filter(is_large).map(|column| format!("{} ({})", column.name, column.declared)).collect()
}

/// The columns whose names suggest personal data or secrets.
pub(super) fn personal(table: &SurveyedTable) -> Vec<String> {
    const ALONE: [&str; 44] = [
        "email",
        "mail",
        "phone",
        "telephone",
        "mobile",
        "fax",
        "birthday",
        "birthdate",
        "birth",
        "dob",
        "surname",
        "lastname",
        "firstname",
        "fullname",
        "forename",
        "nickname",
        "username",
        "login",
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "token",
        "secret",
        "salt",
        "ssn",
        "passport",
        "iban",
        "bic",
        "cvv",
        "street",
        "address",
        "address1",
        "address2",
        "zip",
        "zipcode",
        "postcode",
        "postal",
        "gender",
        "sex",
        "religion",
        "ip",
        "salary",
        "signature",
    ];
    const NAMES: [&str; 8] = ["first", "last", "middle", "full", "given", "family", "maiden", "user"];
    const PEOPLE: [&str; 18] = [
        "customer",
        "user",
        "person",
        "employee",
        "staff",
        "actor",
        "author",
        "contact",
        "member",
        "patient",
        "student",
        "client",
        "teacher",
        "guest",
        "driver",
        "supplier",
        "account",
        "subscriber",
    ];
    let of = table_words(table.path.last().map_or(&table.name, |name| name));
    let is_of_people = of.iter().any(|word| PEOPLE.contains(&word.as_str()));
    let is_personal = |column: &&SurveyedColumn| {
        let words = words(&column.name);
        // `address_id` refers to an address, and is none; `mail_count` and `is_email_verified` are none either.
        let is_about = words.last().is_some_and(|last| ["id", "count", "type", "at", "verified"].contains(&last.as_str()));
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let is_name = words.last().is_some_and(|last| last == "name") && (has(&NAMES) || is_of_people);
        !is_about && (has(&ALONE) || is_name) || words == ["tax", "id"] || words == ["national", "id"]
    };
    table.columns.iter().filter(is_personal).map(|column| column.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_meet_in_a_type_that_has_all_values_of_both() {
        let cast = TypeRelation::Cast;
        assert_eq!(relation_of(&Type::Int32, &Type::Int64), cast(Type::Int64));
        assert_eq!(relation_of(&Type::UInt16, &Type::UInt32), cast(Type::UInt32));
        assert_eq!(relation_of(&Type::Int32, &Type::UInt32), cast(Type::Int64));
        assert_eq!(relation_of(&Type::UInt64, &Type::Int8), cast(Type::Decimal { precision: 20, scale: 0 }));
        assert_eq!(relation_of(&Type::Text, &Type::Int8), TypeRelation::Unlike);
        assert_eq!(relation_of(&Type::Time { fsp: 0 }, &Type::Time { fsp: 6 }), TypeRelation::Same);
    }
}
