//! Writes rows as text: CSV lines, SQL literals, JSON objects.

use std::io::{self, Write};

use super::changes::RowChange;
use super::rows::Cell;
use super::tables::TableShape;

/// Appends a row as a CSV line. NULL is an empty field; the shop has no empty texts.
pub(super) fn csv_line(cells: &[Cell], out: &mut Vec<u8>) {
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Null => {}
            Cell::Text(text) if text.contains([',', '"', '\n', '\r']) => {
                out.push(b'"');
                out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
                out.push(b'"');
            }
            Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
            Cell::Zip(zip) => digits(*zip as u64, 5, out),
            _ => plain(cell, out),
        }
    }
    out.push(b'\n');
}

/// Appends a cell as a MySQL literal.
pub(super) fn sql_literal(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"NULL"),
        Cell::Int(_) | Cell::Money(_) => plain(cell, out),
        Cell::Id(_) | Cell::Time(_) => {
            out.push(b'\'');
            plain(cell, out);
            out.push(b'\'');
        }
        Cell::Zip(zip) => {
            out.push(b'\'');
            digits(*zip as u64, 5, out);
            out.push(b'\'');
        }
        Cell::Text(text) => {
            out.push(b'\'');
            out.extend_from_slice(text.replace('\\', "\\\\").replace('\'', "''").as_bytes());
            out.push(b'\'');
        }
    }
}

/// Appends `(literal, literal, ...)`.
pub(super) fn sql_tuple(cells: &[Cell], out: &mut Vec<u8>) {
    for (i, cell) in cells.iter().enumerate() {
        out.push(if i == 0 { b'(' } else { b',' });
        sql_literal(cell, out);
    }
    out.push(b')');
}

/// Appends a row as a JSON object in the order of its columns: decimals as numbers with their digits, times as
/// `2017-10-02T10:56:33`.
pub(super) fn json_object(table: &TableShape, cells: &[Cell], out: &mut Vec<u8>) {
    for (i, (cell, column)) in cells.iter().zip(table.columns).enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        let _ = write!(out, "\"{}\":", column.name);
        match cell {
            Cell::Null => out.extend_from_slice(b"null"),
            Cell::Int(_) | Cell::Money(_) => plain(cell, out),
            Cell::Text(text) => serde_json::to_writer(&mut *out, text).expect("text into memory"),
            Cell::Id(_) => {
                out.push(b'"');
                plain(cell, out);
                out.push(b'"');
            }
            Cell::Time(seconds) => {
                out.push(b'"');
                time(*seconds, b'T', out);
                out.push(b'"');
            }
            Cell::Zip(zip) => {
                out.push(b'"');
                digits(*zip as u64, 5, out);
                out.push(b'"');
            }
        }
    }
    out.push(b'}');
}

/// Appends the statement of a change, without the semicolon.
pub(super) fn sql_change(change: &RowChange, out: &mut Vec<u8>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    match change {
        RowChange::Insert(row) => {
            row.cells(&mut after);
            let _ = write!(out, "INSERT INTO `{}` VALUES ", row.table().shape().sql_name());
            sql_tuple(&after, out);
        }
        RowChange::Delete(row) => {
            row.cells(&mut before);
            let _ = write!(out, "DELETE FROM `{}`", row.table().shape().sql_name());
            sql_where(row.table().shape(), &before, out);
        }
        RowChange::Update(old, new) => {
            old.cells(&mut before);
            new.cells(&mut after);
            let table = new.table().shape();
            let _ = write!(out, "UPDATE `{}`", table.sql_name());
            let mut word = " SET";
            for (i, column) in table.columns.iter().enumerate().filter(|(i, _)| before[*i] != after[*i]) {
                let _ = write!(out, "{word} `{}` = ", column.name);
                sql_literal(&after[i], out);
                word = ",";
            }
            sql_where(table, &before, out);
        }
    }
}

fn sql_where(table: &TableShape, cells: &[Cell], out: &mut Vec<u8>) {
    for (i, column) in table.key_columns().iter().enumerate() {
        let _ = write!(out, " {} `{}` = ", if i == 0 { "WHERE" } else { "AND" }, column.name);
        sql_literal(&cells[i], out);
    }
}

/// Appends the change as a line of a changes file, as sources of kind `file` read it.
pub(super) fn json_change(change: &RowChange, out: &mut Vec<u8>) {
    let (op, before, after) = match change {
        RowChange::Insert(row) => ("insert", None, Some(row)),
        RowChange::Update(before, after) => ("update", Some(before), Some(after)),
        RowChange::Delete(row) => ("delete", Some(row), None),
    };
    let table = before.or(after).expect("a change has a row").table().shape();
    let _ = write!(out, "{{\"table\":\"{}\",\"op\":\"{op}\"", table.short);
    let mut cells = Vec::new();
    for (name, row) in [("before", before), ("after", after)] {
        if let Some(row) = row {
            row.cells(&mut cells);
            let _ = write!(out, ",\"{name}\":");
            json_object(table, &cells, out);
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Writes the statement that creates a table, without the semicolon.
pub(super) fn create_table(table: &TableShape, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "CREATE TABLE `{}` (", table.sql_name())?;
    for column in table.columns {
        let null = if column.nullable { "NULL" } else { "NOT NULL" };
        writeln!(out, "  `{}` {} {null},", column.name, column.sql)?;
    }
    for index in table.indexes {
        writeln!(out, "  KEY `{index}` (`{index}`),")?;
    }
    let key: Vec<String> = table.key_columns().iter().map(|c| format!("`{}`", c.name)).collect();
    write!(out, "  PRIMARY KEY ({})\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4", key.join(", "))
}

/// Appends an id, a number, an amount of money or a time, without quotes.
fn plain(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Id(id) => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let mut text = [0u8; 32];
            for (i, place) in text.iter_mut().enumerate() {
                *place = HEX[(id >> (124 - 4 * i)) as usize & 15];
            }
            out.extend_from_slice(&text);
        }
        Cell::Int(v) => {
            if *v < 0 {
                out.push(b'-');
            }
            digits(v.unsigned_abs(), 1, out);
        }
        Cell::Money(v) => {
            if *v < 0 {
                out.push(b'-');
            }
            digits(v.unsigned_abs() / 100, 1, out);
            out.push(b'.');
            digits(v.unsigned_abs() % 100, 2, out);
        }
        Cell::Time(seconds) => time(*seconds, b' ', out),
        Cell::Null | Cell::Text(_) | Cell::Zip(_) => unreachable!("written by the caller, each format in its own way"),
    }
}

/// Appends a time as `2017-10-02 10:56:33`, with the byte `between` between day and hour.
fn time(seconds: i64, between: u8, out: &mut Vec<u8>) {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u64);
    let (year, month, day) = civil(days);
    digits(year as u64, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(between);
    digits(second / 3600, 2, out);
    out.push(b':');
    digits(second / 60 % 60, 2, out);
    out.push(b':');
    digits(second % 60, 2, out);
}

/// The year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, u64, u64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month as u64, day as u64)
}

/// Appends the digits of a number, at least `width` of them.
fn digits(mut v: u64, width: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while v > 0 || text.len() - at < width {
        at -= 1;
        text[at] = b'0' + (v % 10) as u8;
        v /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_quotes_only_what_needs_it() {
        let cells = [Cell::Id(0xab), Cell::Zip(1151), Cell::Null, Cell::Money(1205), Cell::Text("a \"b\", c"), Cell::Time(1_506_941_793)];
        assert_eq!(
            text_of(|out| csv_line(&cells, out)),
            "000000000000000000000000000000ab,01151,,12.05,\"a \"\"b\"\", c\",2017-10-02 10:56:33\n"
        );
    }

    #[test]
    fn sql_escapes_quotes_and_backslashes() {
        let cells = [Cell::Text("d'oeste\\"), Cell::Null, Cell::Int(-7), Cell::Money(5)];
        assert_eq!(text_of(|out| sql_tuple(&cells, out)), "('d''oeste\\\\',NULL,-7,0.05)");
    }

    #[test]
    fn days_become_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (-1, (1969, 12, 31)), (11_016, (2000, 2, 29)), (17_441, (2017, 10, 2))] {
            assert_eq!(civil(days), date);
        }
    }
}
