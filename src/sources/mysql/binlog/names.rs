//! Compares names in a log with those of the captured tables, as the server compares names.

/// The captured tables, each as database and table name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapturedNames {
    tables: Vec<(String, String)>,
    case: Case,
}

/// Whether names are case-sensitive: `lower_case_table_names` of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// 0: names are case-sensitive.
    Kept,
    /// 1 and 2: names are case-insensitive.
    Folded,
    /// For a recorded log. A table map has the name as the server stores it; a statement may have it in another case.
    Unknown,
}

impl CapturedNames {
    pub(crate) fn case(&self) -> Case {
        self.case
    }

    pub(crate) fn new(tables: Vec<(String, String)>, case: Case) -> CapturedNames {
        CapturedNames { tables, case }
    }

    /// Returns the index of the captured table that a table map describes.
    pub(crate) fn mapped(&self, database: &[u8], name: &[u8]) -> Option<usize> {
        let exact = self.tables.iter().position(|(d, n)| d.as_bytes() == database && n.as_bytes() == name);
        if exact.is_some() || self.case != Case::Folded {
            return exact;
        }
        self.table(std::str::from_utf8(database).ok()?, std::str::from_utf8(name).ok()?)
    }

    /// Returns the index of the captured table that a name in a statement may mean.
    pub(crate) fn table(&self, database: &str, name: &str) -> Option<usize> {
        self.tables.iter().position(|(d, n)| self.same(d, database) && self.same(n, name))
    }

    /// Returns the index of a captured table in this database.
    pub(crate) fn in_database(&self, database: &str) -> Option<usize> {
        self.tables.iter().position(|(d, _)| self.same(d, database))
    }

    /// A name with undecodable characters may be any name.
    fn same(&self, captured: &str, found: &str) -> bool {
        if captured == found || found.contains(char::REPLACEMENT_CHARACTER) {
            return true;
        }
        self.case != Case::Kept && folded(captured).eq(folded(found))
    }
}

/// Lower-cases character by character, as the server does.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| c.to_lowercase().next().unwrap_or(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_server_compares_them() {
        let tables = vec![("Shop".to_string(), "Žluť".to_string())];
        let kept = CapturedNames::new(tables.clone(), Case::Kept);
        let folded = CapturedNames::new(tables, Case::Folded);
        for (database, name, is_kept, is_folded) in [
            ("Shop", "Žluť", true, true),
            ("shop", "žluť", false, true),
            ("SHOP", "ŽLUŤ", false, true),
            ("Shop", "Zlut", false, false),
            ("shop2", "Žluť", false, false),
            ("Shop", "\u{fffd}lu\u{fffd}", true, true),
        ] {
            assert_eq!((kept.table(database, name).is_some(), folded.table(database, name).is_some()), (is_kept, is_folded), "{name}");
        }
        assert_eq!((kept.in_database("shop"), folded.in_database("shop")), (None, Some(0)));
    }
}
