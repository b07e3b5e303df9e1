//! Whether the key of a parent equals that of a child, as the server compares them.
//!
//! Texts are compared by their collation. For some texts it is certain which others are equal to them: printable ASCII under the common
//! collations, all texts under a binary one. Such texts have a form that is the same for equal ones. For others the server is asked: which
//! texts a collation treats as equal does not change.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use crate::sources::SourceError;
use crate::sources::mysql::connect::connect;
use crate::sources::mysql::errors::query_error;
use crate::sources::mysql::options::MysqlOptions;

/// How the values of a column are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matching {
    /// Not a text: equal values are equal.
    Value,
    /// Texts with the same bytes. `pads`: spaces at the end do not count.
    Bytes { pads: bool },
    /// Printable ASCII is known; `folds`: upper and lower case are equal. For other texts the server is asked.
    Ascii { folds: bool, collation: Collation },
    /// The server is asked.
    Asked(Collation),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Collation {
    pub(super) charset: String,
    pub(super) name: String,
}

/// Collations that compare character by character and have no combinations of ASCII characters, without the name of the charset.
const FOLDING: [&str; 12] = [
    "general_ci",
    "general_nopad_ci",
    "unicode_ci",
    "unicode_nopad_ci",
    "unicode_520_ci",
    "unicode_520_nopad_ci",
    "0900_ai_ci",
    "0900_as_ci",
    "uca1400_ai_ci",
    "uca1400_as_ci",
    "uca1400_nopad_ai_ci",
    "uca1400_nopad_as_ci",
];
const CASE_SENSITIVE: [&str; 4] = ["0900_as_cs", "uca1400_as_cs", "uca1400_nopad_as_cs", "general_cs"];

impl Matching {
    /// The matching of a collation, such as `utf8mb4_general_ci`. `None` if it has no name of that form.
    pub(super) fn of_collation(name: &str) -> Option<Matching> {
        if name == "binary" {
            return Some(Matching::Bytes { pads: false });
        }
        let (charset, order) = name.split_once('_')?;
        let collation = Collation { charset: charset.into(), name: name.into() };
        Some(match order {
            "0900_bin" | "nopad_bin" => Matching::Bytes { pads: false },
            "bin" => Matching::Bytes { pads: true },
            "swedish_ci" | "swedish_nopad_ci" if charset == "latin1" => Matching::Ascii { folds: true, collation },
            _ if FOLDING.contains(&order) => Matching::Ascii { folds: true, collation },
            _ if CASE_SENSITIVE.contains(&order) => Matching::Ascii { folds: false, collation },
            _ => Matching::Asked(collation),
        })
    }

    /// The form of a text that all equal texts share; `None` if it is not known. Not called for other values.
    pub(super) fn form(&self, text: &str) -> Option<String> {
        match self {
            Matching::Value | Matching::Bytes { pads: false } => Some(text.into()),
            Matching::Bytes { pads: true } => Some(text.trim_end_matches(' ').into()),
            Matching::Ascii { folds, .. } if is_plain(text) => Some(if *folds { text.to_ascii_lowercase() } else { text.to_string() }),
            Matching::Ascii { .. } | Matching::Asked(_) => None,
        }
    }

    /// The collation of texts whose form is not always known.
    pub(super) fn collation(&self) -> Option<&Collation> {
        match self {
            Matching::Ascii { collation, .. } | Matching::Asked(collation) => Some(collation),
            Matching::Value | Matching::Bytes { .. } => None,
        }
    }

    /// Asks the server whether it compares ASCII as assumed; if not, it is asked for every text.
    pub(super) async fn verified(self, conn: &mut Conn) -> Result<Matching, SourceError> {
        let Matching::Ascii { folds, collation } = self else { return Ok(self) };
        let Collation { charset, name } = &collation;
        let text = |inner: &str| format!("CONVERT(CONCAT('x', {inner}, 'x') USING {charset}) COLLATE {name}");
        let (one, other, none) = (text("CHAR(a.c USING utf8mb4)"), text("CHAR(b.c USING utf8mb4)"), text("''"));
        let query = format!(
            "WITH RECURSIVE n (c) AS (SELECT 32 UNION ALL SELECT c + 1 FROM n WHERE c < 126) SELECT (SELECT COUNT(*) FROM n a JOIN n b ON \
             a.c < b.c WHERE {one} = {other}), (SELECT COUNT(*) FROM n a WHERE {one} = {none}), (SELECT COUNT(*) FROM n a JOIN n b ON \
             a.c + 32 = b.c AND a.c BETWEEN 65 AND 90 WHERE {one} = {other})"
        );
        let counts: Option<(u64, u64, u64)> =
            conn.query_first(query).await.map_err(|e| query_error("asking the server how it compares texts", e))?;
        let letters = if folds { 26 } else { 0 };
        Ok(if counts == Some((letters, 0, letters)) { Matching::Ascii { folds, collation } } else { Matching::Asked(collation) })
    }
}

/// Printable ASCII without a space at the end, which some collations ignore.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !text.ends_with(' ')
}

/// The number of texts that are compared by one query.
const TEXTS_PER_QUERY: usize = 500;
const DOING: &str = "asking the server which keys are equal";

/// Asks the server which texts are equal.
pub(super) struct Asker<'a> {
    options: &'a MysqlOptions,
    conn: Option<Conn>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(options: &'a MysqlOptions) -> Asker<'a> {
        Asker { options, conn: None }
    }

    /// For each text, whether it equals `wanted` under the collation.
    pub(super) async fn equal(&mut self, collation: &Collation, wanted: &str, texts: &[&str]) -> Result<Vec<bool>, SourceError> {
        let Collation { charset, name } = collation;
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(connect(self.options).await?),
        };
        let literal = |text: &str| {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("CONVERT(_utf8mb4 X'{hex}' USING {charset}) COLLATE {name}")
        };
        let wanted = literal(wanted);
        let mut answers = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_PER_QUERY) {
            let comparisons: Vec<String> = texts.iter().map(|text| format!("{} = {wanted}", literal(text))).collect();
            let row: Option<mysql_async::Row> =
                conn.query_first(format!("SELECT {}", comparisons.join(", "))).await.map_err(|e| query_error(DOING, e))?;
            let row = row.ok_or_else(|| SourceError::Transient { message: format!("{DOING}: it did not answer") })?;
            answers.extend((0..texts.len()).map(|i| matches!(row.as_ref(i), Some(Value::Int(1))) || row.as_ref(i) == Some(&one())));
        }
        Ok(answers)
    }

    pub(super) async fn close(self) {
        if let Some(conn) = self.conn {
            let _ = conn.disconnect().await;
        }
    }
}

/// In the text protocol numbers are texts.
fn one() -> Value {
    Value::Bytes(b"1".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_text_is_known_where_the_collation_is() {
        let form = |collation: &str, text: &str| Matching::of_collation(collation).unwrap().form(text).unwrap_or("?".into());
        for (collation, text, expected) in [
            ("utf8mb4_bin", "Ä ", "Ä"),
            ("utf8mb4_0900_bin", "Ä ", "Ä "),
            ("binary", "a ", "a "),
            ("utf8mb4_general_ci", "K7 x", "k7 x"),
            ("utf8mb4_general_ci", "K7 ", "?"),
            ("utf8mb4_general_ci", "Ä", "?"),
            ("utf8mb4_general_ci", "a\tb", "?"),
            ("utf8mb4_0900_as_cs", "K7", "K7"),
            ("latin1_swedish_ci", "VW", "vw"),
            ("utf8mb4_swedish_ci", "VW", "?"),
            ("utf8mb4_czech_ci", "ch", "?"),
            ("latin1_general_ci", "", ""),
        ] {
            assert_eq!(form(collation, text), expected, "{collation} {text:?}");
        }
    }
}
