//! SQL conditions for the rows whose columns equal given values.
//!
//! A condition is true for every row whose value, as the engine reads it, is the given one. It may be true for more rows: texts are compared
//! by the column's collation. Where this is not certain, the column is left out of the condition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::charset::Charset;
use super::column::{ColumnKind, MysqlColumn};
use super::quoting::quoted;
use super::schema::MysqlTable;
use crate::value::{Datum, Layout, Row, key, temporal, write_text};

/// How one value is looked for.
#[derive(Debug, PartialEq, Eq)]
enum Operand {
    /// An SQL expression that the column is compared with.
    Equals(String),
    /// The column cannot hold the value.
    Nowhere,
    /// The server may not find all rows that hold the value.
    Uncertain,
}

/// The conditions for several keys. Keys are order-preserving ones ([`key`]).
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) certain: Vec<KeysCondition>,
    /// Keys for which there is no condition.
    pub(super) uncertain: Vec<Row>,
}

/// Some keys, and an SQL condition that is true for the rows of all of them.
#[derive(Debug)]
pub(super) struct KeysCondition {
    pub(super) keys: Vec<Row>,
    pub(super) text: String,
}

/// A key, and for each column the SQL expression of its value, or `None` if the column cannot be asked for it.
type ComparedKey = (Row, Vec<Option<String>>);

/// The server reads an index by each of them.
const VALUES_PER_CONDITION: usize = 200;
/// With several columns the server may read an index by each combination of their values.
const KEYS_PER_CONDITION: usize = 50;

impl Conditions {
    /// `keys`: packed rows of these columns.
    pub(super) fn new(table: &MysqlTable, columns: &[usize], keys: &[Row]) -> Conditions {
        let layout = Layout::new(&table.table.schema.project(columns));
        let all: Vec<usize> = (0..columns.len()).collect();
        // By the columns that a condition can have.
        let mut groups: BTreeMap<Vec<bool>, Vec<ComparedKey>> = BTreeMap::new();
        for row in keys {
            let operands = columns.iter().enumerate().map(|(place, &column)| operand(&table.columns[column], &layout, row, place));
            let operands: Vec<Operand> = operands.collect();
            if operands.contains(&Operand::Nowhere) {
                continue;
            }
            let value = |operand| if let Operand::Equals(value) = operand { Some(value) } else { None };
            let values: Vec<Option<String>> = operands.into_iter().map(value).collect();
            let compared = values.iter().map(Option::is_some).collect();
            groups.entry(compared).or_default().push((key::encode(&layout, row, &all), values));
        }
        let mut conditions = Conditions::default();
        for (compared, keys) in groups {
            let names: Vec<Option<&str>> =
                columns.iter().zip(&compared).map(|(&column, &is)| is.then_some(table.columns[column].name.as_str())).collect();
            match names.iter().flatten().count() {
                0 => conditions.uncertain.extend(keys.into_iter().map(|(key, _)| key)),
                1 => conditions.certain.extend(keys.chunks(VALUES_PER_CONDITION).map(|some| condition(&names, some))),
                _ => conditions.certain.extend(keys.chunks(KEYS_PER_CONDITION).map(|some| condition(&names, some))),
            }
        }
        conditions
    }
}

/// Each column is in the list of its values. It is not a list of pairs with OR: MariaDB 10.11 takes `code = 'a' OR code = 'A'` for one value
/// where the default collation of the charset does, whatever the collation of the comparison.
fn condition(names: &[Option<&str>], keys: &[ComparedKey]) -> KeysCondition {
    let mut parts = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let Some(name) = name else { continue };
        let values: BTreeSet<&str> = keys.iter().filter_map(|(_, values)| values[place].as_deref()).collect();
        parts.push(format!("{} IN ({})", quoted(name), values.into_iter().collect::<Vec<_>>().join(", ")));
    }
    KeysCondition { keys: keys.iter().map(|(key, _)| key.clone()).collect(), text: parts.join(" AND ") }
}

fn operand(column: &MysqlColumn, layout: &Layout, row: &[u8], place: usize) -> Operand {
    let datum = layout.get(row, place);
    let plain = || {
        let mut text = Vec::new();
        write_text(&layout.schema().columns()[place].ty, datum, &mut text);
        Operand::Equals(String::from_utf8_lossy(&text).into_owned())
    };
    match (&column.kind, datum) {
        (ColumnKind::Int { .. } | ColumnKind::Bit | ColumnKind::Decimal { .. }, Datum::Int(_) | Datum::UInt(_)) => plain(),
        (ColumnKind::Decimal { .. }, Datum::Decimal(_) | Datum::Decimal256(_)) => plain(),
        // Smaller numbers may mean a year of two digits.
        (ColumnKind::Year, Datum::UInt(year)) if year > 1900 => plain(),
        (ColumnKind::Double, Datum::Float64(value)) if value.is_finite() => Operand::Equals(format!("{value:e}")),
        (ColumnKind::Date, Datum::Date(days)) => time("DATE", |out| temporal::write_date(days, out)),
        (ColumnKind::DateTime { .. }, Datum::DateTime(micros)) => time("TIMESTAMP", |out| temporal::write_datetime(micros, 6, out)),
        // The session's time zone is UTC.
        (ColumnKind::Timestamp { .. }, Datum::Timestamp(micros)) => time("TIMESTAMP", |out| temporal::write_datetime(micros, 6, out)),
        (ColumnKind::Time { .. }, Datum::Time(micros)) => time("TIME", |out| temporal::write_time(micros, 6, out)),
        (ColumnKind::Binary | ColumnKind::FixedBinary { .. }, Datum::Binary(bytes)) => Operand::Equals(format!("x'{}'", hex(bytes))),
        (ColumnKind::Text(charset), Datum::Text(text)) => of_text(*charset, column.collation.as_deref(), text),
        // A BOOLEAN is any number, a FLOAT compares as a double, and JSON is read in another form than the stored one.
        _ => Operand::Uncertain,
    }
}

fn time(literal: &str, write: impl FnOnce(&mut Vec<u8>)) -> Operand {
    let mut text = Vec::new();
    write(&mut text);
    Operand::Equals(format!("{literal}'{}'", String::from_utf8_lossy(&text).replace('T', " ")))
}

fn of_text(charset: Charset, collation: Option<&str>, text: &str) -> Operand {
    let Some((name, collation)) = collation.and_then(|collation| Some((collation.split_once('_')?.0, collation))) else {
        return Operand::Uncertain;
    };
    if let Some(other) = text.chars().map(|c| is_certain(charset, c)).find(|found| *found != Certainty::Once) {
        return if other == Certainty::Never { Operand::Nowhere } else { Operand::Uncertain };
    }
    // A trailing NUL or a space is a character like any other: equal texts are equal under every collation.
    Operand::Equals(format!("CONVERT(_utf8mb4 x'{}' USING {name}) COLLATE {collation}", hex(text.as_bytes())))
}

/// In how many forms a charset holds a character.
#[derive(Debug, PartialEq, Eq)]
enum Certainty {
    Never,
    Once,
    /// In several, or not known.
    Unknown,
}

/// Bytes without a meaning are read as `?` or U+FFFD, so these characters may stand for something else.
fn is_certain(charset: Charset, c: char) -> Certainty {
    match charset {
        Charset::Utf8 | Charset::Utf16 { .. } | Charset::Utf32 if c == char::REPLACEMENT_CHARACTER => Certainty::Unknown,
        Charset::Utf8 | Charset::Utf16 { .. } | Charset::Utf32 => Certainty::Once,
        Charset::Ascii if c == '?' => Certainty::Unknown,
        Charset::Ascii if c.is_ascii() => Certainty::Once,
        Charset::Ascii => Certainty::Never,
        Charset::SingleByte(upper) => match upper.chars().filter(|other| *other == c).count() + usize::from(c.is_ascii()) {
            0 => Certainty::Never,
            1 => Certainty::Once,
            _ => Certainty::Unknown,
        },
        Charset::Swe7 | Charset::MultiByte(_) if c.is_ascii_alphanumeric() || " -_.:/,;+*=()".contains(c) => Certainty::Once,
        Charset::Swe7 | Charset::MultiByte(_) => Certainty::Unknown,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::values::ZeroDates;
    use crate::value::RowBuilder;

    fn table(kinds: &[(ColumnKind, Option<&str>)]) -> MysqlTable {
        let column = |(n, (kind, collation)): (usize, &(ColumnKind, Option<&str>))| MysqlColumn {
            name: format!("c{n}"),
            kind: kind.clone(),
            nullable: false,
            collation: collation.map(Into::into),
            computed: None,
            is_padded: false,
        };
        MysqlTable::new("d".into(), "t".into(), "t", kinds.iter().enumerate().map(column).collect(), vec![0], ZeroDates::Null)
    }

    fn of(kinds: &[(ColumnKind, Option<&str>)], data: &[Datum]) -> Conditions {
        let table = table(kinds);
        let mut row = RowBuilder::new(&table.layout);
        data.iter().for_each(|datum| row.push(*datum));
        Conditions::new(&table, &(0..kinds.len()).collect::<Vec<_>>(), &[row.finish()])
    }

    fn conditions(kinds: &[(ColumnKind, Option<&str>)], data: &[Datum]) -> (Vec<String>, usize) {
        let of = of(kinds, data);
        (of.certain.into_iter().map(|condition| condition.text).collect(), of.uncertain.len())
    }

    #[test]
    fn values_are_compared_in_the_type_of_their_column() {
        let one = |kind, collation, datum| conditions(&[(kind, collation)], &[datum]).0;
        assert_eq!(one(ColumnKind::Int { bytes: 4, unsigned: false }, None, Datum::Int(-7)), ["`c0` IN (-7)"]);
        assert_eq!(one(ColumnKind::Decimal { precision: 10, scale: 2 }, None, Datum::Decimal(-1050)), ["`c0` IN (-10.50)"]);
        assert_eq!(one(ColumnKind::Double, None, Datum::Float64(0.1)), ["`c0` IN (1e-1)"]);
        assert_eq!(one(ColumnKind::Binary, None, Datum::Binary(b"a'\0")), ["`c0` IN (x'612700')"]);
        assert_eq!(
            one(ColumnKind::DateTime { fsp: 0 }, None, Datum::DateTime(1_500_000)),
            ["`c0` IN (TIMESTAMP'1970-01-01 00:00:01.500000')"]
        );
        let latin = || ColumnKind::Text("latin1".parse().unwrap());
        let collation = Some("latin1_swedish_ci");
        assert_eq!(
            one(latin(), collation, Datum::Text("é")),
            ["`c0` IN (CONVERT(_utf8mb4 x'C3A9' USING latin1) COLLATE latin1_swedish_ci)"]
        );
        assert_eq!(conditions(&[(latin(), collation)], &[Datum::Text("漢")]), (vec![], 0), "latin1 cannot hold it");
    }

    #[test]
    fn what_is_not_certain_is_left_out_of_the_condition() {
        let int = (ColumnKind::Int { bytes: 4, unsigned: false }, None);
        let both = conditions(&[(ColumnKind::Float, None), int], &[Datum::Float32(0.1), Datum::Int(1)]);
        assert_eq!(both, (vec!["`c1` IN (1)".to_string()], 0));
        assert_eq!(conditions(&[(ColumnKind::Float, None)], &[Datum::Float32(0.1)]), (vec![], 1));
        let sjis = (ColumnKind::Text("sjis".parse().unwrap()), Some("sjis_japanese_ci"));
        assert_eq!(conditions(std::slice::from_ref(&sjis), &[Datum::Text("a?")]).1, 1);
        assert_eq!(conditions(&[sjis], &[Datum::Text("a-1")]).0.len(), 1);
    }

    #[test]
    fn several_keys_are_lists_of_values() {
        let int = || (ColumnKind::Int { bytes: 4, unsigned: false }, None);
        let table = table(&[int(), int()]);
        let mut builder = RowBuilder::new(&table.layout);
        let mut row = |a, b| {
            builder.push(Datum::Int(a));
            builder.push(Datum::Int(b));
            builder.finish()
        };
        let keys: Vec<Row> = [(1, 2), (1, 3), (4, 2)].map(|(a, b)| row(a, b)).to_vec();
        let conditions = Conditions::new(&table, &[0, 1], &keys);
        let [only] = &conditions.certain[..] else { panic!("{conditions:?}") };
        assert_eq!((only.text.as_str(), only.keys.len()), ("`c0` IN (1, 4) AND `c1` IN (2, 3)", 3));
        let many: Vec<Row> = (0..450).map(|n| row(n, 0)).collect();
        assert_eq!(Conditions::new(&table, &[0, 1], &many[..50]).certain.len(), 1);
        assert_eq!(Conditions::new(&table, &[0, 1], &many).certain.len(), 9);
    }
}
