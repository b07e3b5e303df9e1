//! Lists the tables of which documents could be made.

use std::fmt::Write;

use super::links::other_side;
use super::reference::Evidence;
use super::references::References;
use super::write::{is_query, rows};
use crate::sources::Survey;

/// A table and what its documents could embed.
struct Candidate {
    name: String,
    rows: String,
    count: u64,
    arrays: usize,
    objects: usize,
    remark: &'static str,
}

/// The list, for people: the tables with the most arrays and objects first. Then the tables that cannot be captured, with the reason.
pub fn candidates(survey: &Survey, references: &References) -> String {
    let standing = references.standing();
    let mut list = Vec::new();
    for (index, table) in survey.tables.iter().enumerate().filter(|(_, table)| table.unusable.is_none()) {
        let of = |&&reference: &&usize| references.list[reference].child == index;
        let to = |&&reference: &&usize| references.list[reference].parent == index;
        let is_link = standing.iter().filter(of).any(|&one| other_side(survey, references, &standing, one).is_some());
        let remark = match (is_link, is_query(table)) {
            (true, _) => "a link table",
            (false, true) => "no key: rows only",
            (false, false) => "",
        };
        list.push(Candidate {
            name: table.name.clone(),
            rows: table.rows.map_or("?".to_string(), |count| rows(count).trim_end_matches(" rows").trim_end_matches(" row").to_string()),
            count: table.rows.map_or(0, |count| count.rows),
            arrays: standing.iter().filter(to).count(),
            objects: standing.iter().filter(of).count(),
            remark,
        });
    }
    let order = |c: &Candidate| {
        (!c.remark.is_empty(), c.arrays + c.objects == 0, std::cmp::Reverse((c.arrays.min(1), c.arrays + c.objects, c.count)))
    };
    list.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
    let mut out = shown(&list);
    if standing.iter().any(|&index| references.list[index].evidence == Evidence::Guess) {
        out.push_str("\nSome of these relations are guesses from names, which a draft checks with the data.\n");
    }
    let unusable: Vec<_> = survey.tables.iter().filter_map(|table| Some((&table.name, table.unusable.as_ref()?))).collect();
    if !unusable.is_empty() {
        out.push_str("\nnot possible:\n");
    }
    for (name, why) in unusable {
        let _ = writeln!(out, "  `{name}` {why}");
    }
    out
}

fn shown(list: &[Candidate]) -> String {
    let width = |of: &dyn Fn(&Candidate) -> usize, least: usize| list.iter().map(of).max().unwrap_or(0).max(least);
    let names = width(&|c| c.name.chars().count(), 5);
    let rows = width(&|c| c.rows.len(), 4);
    let mut out = format!("{:names$}  {:>rows$}  arrays  objects\n", "table", "rows");
    for c in list {
        let line = format!("{:names$}  {:>rows$}  {:>6}  {:>7}  {}", c.name, c.rows, c.arrays, c.objects, c.remark);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
