//! Reads a view's `sql` or `sql_file`, and refuses the keys that cannot be combined with it.

use std::sync::Arc;

use super::grammar::{EXCLUDE, KEY, Key, LOOKUP_LIST, MAX_RECURSION, MAX_RECURSION_ROWS, SQL, SQL_FILE};
use super::problem::Problem;
use super::text::Text;
use super::views::ViewsReader;
use super::yaml::YamlNode;
use crate::plan::{RecursionLimit, TableName, Written, WrittenQuery, did_you_mean, listed};
use crate::sql::{place_of_relation, relations_of};

/// Keys that are allowed with both `sql` and `sql_file`.
const LIMITS: [&str; 2] = [MAX_RECURSION.name, MAX_RECURSION_ROWS.name];

impl ViewsReader<'_> {
    /// The view's query, if it is valid, and whether the view has one. Names of sources are checked here, names of relations later.
    pub(super) fn query(&mut self, view: &YamlNode) -> (Option<WrittenQuery>, bool) {
        let found = [SQL, SQL_FILE].into_iter().find_map(|name| Some((name, view.get(name)?)));
        let Some((name, node)) = found else {
            for (key, _) in view.entries().iter().filter(|(key, _)| LIMITS.contains(&key.key_text())) {
                let problem = Problem::new(key.span, format!("`{}` needs `sql`", key.key_text()));
                self.problems.push(problem.help("it limits a query with WITH RECURSIVE"));
            }
            return (None, false);
        };
        let of_documents = [LOOKUP_LIST, EXCLUDE.name];
        let may_stand = |key: &str| {
            key == name || key == KEY.name || LIMITS.contains(&key) || view.get(LOOKUP_LIST).is_some() && of_documents.contains(&key)
        };
        for (key, _) in view.entries().iter().filter(|(key, _)| !may_stand(key.key_text())) {
            let problem = Problem::new(key.span, format!("`{}` cannot be combined with `{name}`", key.key_text()));
            let help =
                if key.key_text() == EXCLUDE.name { "it needs `lookup`; select only the other columns" } else { "express it in the query" };
            self.problems.push(problem.help(help));
        }
        let sql = match name {
            SQL => self.text(node),
            _ => self.file(node),
        };
        (sql.and_then(|sql| self.read(sql, recursion_limit(view))), true)
    }

    fn read(&mut self, sql: Written<String>, limit: RecursionLimit) -> Option<WrittenQuery> {
        let mut query = WrittenQuery { sql, tables: Vec::new(), views: Vec::new(), limit };
        let relations = match relations_of(&query.sql.value) {
            Ok(relations) => relations,
            Err(error) => {
                let problem = self.spots[query.sql.at.0].problem(error.span, error.message);
                self.problems.push(Problem { help: error.help, ..problem });
                return None;
            }
        };
        for (source, name) in relations {
            let Some(source) = source else {
                query.views.push(name);
                continue;
            };
            if !self.sources.contains(&source) {
                let sources = || self.sources.iter().map(String::as_str);
                let place = place_of_relation(&query.sql.value, Some(&source), &name);
                let problem = self.spots[query.sql.at.0].problem(place, format!("there is no source `{source}`"));
                let problem = problem.label(format!("sources: {}", listed(sources())));
                let help = did_you_mean(&source, sources());
                self.problems.push(Problem { help, ..problem });
                return None;
            }
            query.tables.push(TableName { source, table: name });
        }
        Some(query)
    }

    /// The text of the file that the node names.
    fn file(&mut self, node: &YamlNode) -> Option<Written<String>> {
        let name = node.text()?;
        match std::fs::read_to_string(self.folder.join(name)) {
            Ok(text) => {
                let at = self.place(node.span, Some((0, text.clone())));
                self.spots[at.0].file = Some(Arc::new(Text::new(name, &text)));
                Some(Written::new(text, at))
            }
            Err(error) => {
                let problem = Problem::new(node.span, format!("the query cannot be read: {error}"));
                self.problems.push(problem.help("a relative path is taken from the spec's folder"));
                None
            }
        }
    }
}

fn recursion_limit(view: &YamlNode) -> RecursionLimit {
    let told = |key: Key| view.get(key.name).and_then(YamlNode::integer);
    let default = RecursionLimit::default();
    RecursionLimit {
        // A number too large for the type is effectively no limit. The cap leaves room for the round after the last one.
        rounds: told(MAX_RECURSION).map_or(default.rounds, |rounds| u32::try_from(rounds).unwrap_or(u32::MAX).min(u32::MAX - 1)),
        rows: told(MAX_RECURSION_ROWS).map_or(default.rows, |rows| i64::try_from(rows).unwrap_or(i64::MAX)),
    }
}
