//! Cuts a table into ranges of the first column of its primary key, which are read in parallel.
//!
//! The ranges are half open and cover all values, so each row is in exactly one range, even if many rows share a value. An integer key is
//! cut evenly between its minimum and maximum; other keys are walked with `LIMIT 1 OFFSET n`. A table with few rows, or without a key that
//! can be cut, is one range.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::charset::Charset;
use super::column::{ColumnKind, MysqlColumn};
use super::quoting::quoted;
use super::schema::MysqlTable;

/// Tables with less than twice this many rows are not cut.
const ROWS_PER_RANGE: u64 = 50_000;

/// The remaining ranges of one table.
#[derive(Debug)]
pub(super) enum Boundaries {
    Whole,
    /// From `next` to `last`, in steps. `None` before the first range. `i128` holds every 64-bit value and its successor.
    Integer {
        column: String,
        next: Option<i128>,
        last: i128,
        step: i128,
    },
    /// The literal after which the next range begins; `None` before the first.
    Walk {
        column: String,
        after: Option<String>,
    },
    Done,
}

impl Boundaries {
    /// Decides how to cut a table.
    pub(super) async fn read(conn: &mut Conn, table: &MysqlTable) -> Result<Boundaries, Error> {
        let Some(column) = table.table.key.first().map(|&i| &table.columns[i]) else { return Ok(Boundaries::Whole) };
        if few_rows(conn, table).await? {
            return Ok(Boundaries::Whole);
        }
        let name = quoted(&column.name);
        match column.kind {
            ColumnKind::Int { .. } => integer_range(conn, table, name).await,
            _ if literal_of(column, "").is_some() => Ok(Boundaries::Walk { column: name, after: None }),
            _ => Ok(Boundaries::Whole),
        }
    }

    /// The condition of the next range; `None` after the last. The inner `None` means the whole table.
    pub(super) async fn next(&mut self, conn: &mut Conn, table: &MysqlTable) -> Result<Option<Option<String>>, Error> {
        match std::mem::replace(self, Boundaries::Done) {
            Boundaries::Done => Ok(None),
            Boundaries::Whole => Ok(Some(None)),
            Boundaries::Integer { column, next, last, step } => {
                let end = next.unwrap_or(last) + step;
                let from = next.map(|from| format!("{column} >= {from}"));
                if next.is_none() || end > last {
                    return Ok(Some(from));
                }
                *self = Boundaries::Integer { column: column.clone(), next: Some(end), last, step };
                Ok(Some(Some(format!("{} AND {column} < {end}", from.unwrap_or_else(|| "TRUE".into())))))
            }
            Boundaries::Walk { column, after } => {
                let from = after.map(|literal| format!("{column} > {literal}"));
                match boundary(conn, table, &column, from.as_deref()).await? {
                    None => Ok(Some(from)),
                    Some(to) => {
                        *self = Boundaries::Walk { column: column.clone(), after: Some(to.clone()) };
                        let from = from.unwrap_or_else(|| "TRUE".into());
                        Ok(Some(Some(format!("{from} AND {column} <= {to}"))))
                    }
                }
            }
        }
    }
}

async fn few_rows(conn: &mut Conn, table: &MysqlTable) -> Result<bool, Error> {
    let estimate = format!(
        "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        super::quoting::literal(&table.database),
        super::quoting::literal(&table.name)
    );
    let row: Option<Row> = conn.query_first(estimate).await?;
    let rows = row.and_then(|row| row.get_opt::<Option<u64>, usize>(0)).and_then(Result::ok).flatten();
    Ok(rows.unwrap_or(0) < 2 * ROWS_PER_RANGE)
}

async fn integer_range(conn: &mut Conn, table: &MysqlTable, column: String) -> Result<Boundaries, Error> {
    let query = format!("SELECT MIN({column}), MAX({column}) FROM {}", table.quoted());
    let row: Option<Row> = conn.query_first(query).await?;
    let number = |row: &Row, i| {
        let text = row.get_opt::<Option<String>, usize>(i)?.ok()??;
        text.parse::<i128>().ok()
    };
    let Some((first, last)) = row.and_then(|row| Some((number(&row, 0)?, number(&row, 1)?))) else { return Ok(Boundaries::Whole) };
    let estimate: Option<u64> = conn
        .query_first(format!(
            "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            super::quoting::literal(&table.database),
            super::quoting::literal(&table.name)
        ))
        .await?;
    let ranges = (estimate.unwrap_or(0) / ROWS_PER_RANGE).clamp(1, 10_000) as i128;
    let step = ((last - first) / ranges).max(1);
    Ok(Boundaries::Integer { column, next: Some(first), last, step })
}

/// The value that is `ROWS_PER_RANGE` rows further, as a literal.
async fn boundary(conn: &mut Conn, table: &MysqlTable, column: &str, from: Option<&str>) -> Result<Option<String>, Error> {
    let condition = from.map_or(String::new(), |c| format!(" WHERE {c}"));
    let query = format!("SELECT HEX({column}) FROM {}{condition} ORDER BY {column} LIMIT 1 OFFSET {ROWS_PER_RANGE}", table.quoted());
    let hex: Option<String> = conn.query_first(query).await?;
    let key = &table.columns[table.table.key[0]];
    Ok(hex.and_then(|hex| literal_of(key, &hex)))
}

/// A literal that compares with the column like the column's own values. `hex` has the bytes as hexadecimal digits.
pub(super) fn literal_of(column: &MysqlColumn, hex: &str) -> Option<String> {
    match (&column.kind, &column.collation) {
        (ColumnKind::Text(charset), Some(collation)) if *charset != Charset::Ascii => {
            let charset = collation.split('_').next()?;
            // MariaDB's newer collations do not begin with the name of their charset.
            if charset.starts_with("uca") { None } else { Some(format!("_{charset} x'{hex}' COLLATE {collation}")) }
        }
        (ColumnKind::Text(_), Some(collation)) => Some(format!("_ascii x'{hex}' COLLATE {collation}")),
        (ColumnKind::Binary | ColumnKind::FixedBinary { .. }, _) => Some(format!("x'{hex}'")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_has_the_columns_charset_and_collation() {
        let column = |kind, collation: Option<&str>| MysqlColumn {
            name: "k".into(),
            kind,
            nullable: false,
            collation: collation.map(Into::into),
            computed: None,
            is_padded: false,
        };
        let latin = column(ColumnKind::Text("latin1".parse().unwrap()), Some("latin1_swedish_ci"));
        assert_eq!(literal_of(&latin, "E9").unwrap(), "_latin1 x'E9' COLLATE latin1_swedish_ci");
        assert_eq!(literal_of(&column(ColumnKind::Binary, None), "00FF").unwrap(), "x'00FF'");
        assert_eq!(literal_of(&column(ColumnKind::Double, None), ""), None);
    }
}
