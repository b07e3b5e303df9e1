//! Guesses from names which columns refer to which tables: `customer_id` to `customers.id`.
//!
//! Only keys of one column, and composite keys whose columns all have the same names in the child, are guessed. Types must be comparable,
//! and both tables must be in one database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::reference::{Checked, Evidence, Reference, comparable};
use super::words::{singular, table_words, words};
use crate::sources::{Survey, SurveyedTable};

/// Words that name a key without saying of what.
const GENERIC: [&str; 12] = ["id", "uuid", "guid", "code", "key", "name", "no", "nr", "number", "pk", "oid", "slug"];
/// Unique columns with these names are referred to although they are not the primary key.
const OTHER_KEYS: [&str; 9] = ["code", "uuid", "guid", "no", "nr", "number", "key", "slug", "sku"];

/// How a column's name can name a key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    /// The table and the key: `customer_id` for `customers.id`.
    Whole,
    /// The key, whose name says of what it is: `customer_id` for `people.customer_id`.
    Key,
    /// The table alone: `customer` for `customers.id`.
    Table,
}

/// Key columns of tables, by the words by which columns can name them.
type KeyNames = HashMap<Vec<String>, Vec<(usize, usize, NamedBy)>>;

/// The guesses for each column, the likeliest first. `taken`: columns that belong to a foreign key.
pub(super) fn guesses(survey: &Survey, taken: &BTreeSet<(usize, usize)>) -> Vec<Reference> {
    let known = known(survey);
    let mut guesses = Vec::new();
    for (child, table) in survey.tables.iter().enumerate() {
        for column in (0..table.columns.len()).filter(|&column| !taken.contains(&(child, column))) {
            let mut found: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            for (rank, parent, key) in candidates(survey, &known, child, column) {
                let best = found.entry((parent, key)).or_insert(rank);
                *best = rank.min(*best);
            }
            let mut ranked: Vec<(usize, usize, usize)> = found.into_iter().map(|((parent, key), rank)| (rank, parent, key)).collect();
            ranked.sort_unstable();
            guesses.extend(ranked.into_iter().map(|(_, parent, key)| guess(child, vec![column], parent, vec![key])));
        }
        guesses.extend(composite(survey, child, taken));
    }
    guesses
}

fn guess(child: usize, child_columns: Vec<usize>, parent: usize, parent_columns: Vec<usize>) -> Reference {
    Reference { child, child_columns, parent, parent_columns, evidence: Evidence::Guess, checked: Checked::NotYet }
}

fn known(survey: &Survey) -> KeyNames {
    let mut known: KeyNames = HashMap::new();
    let prefixes = prefixes(survey);
    for (index, table) in survey.tables.iter().enumerate() {
        for column in keys_of_one_column(table) {
            let key = words(&table.columns[column].name);
            for name in names_of(table, &prefixes) {
                let whole = if key.len() > name.len() && key.starts_with(&name) { key.clone() } else { [&name[..], &key].concat() };
                known.entry(whole).or_default().push((index, column, NamedBy::Whole));
                if table.key == [column] {
                    known.entry(name).or_default().push((index, column, NamedBy::Table));
                }
            }
            if table.key == [column] && !(key.len() == 1 && GENERIC.contains(&key[0].as_str())) {
                known.entry(key).or_default().push((index, column, NamedBy::Key));
            }
        }
    }
    known
}

/// The primary key, and other unique columns whose name is that of a key.
fn keys_of_one_column(table: &SurveyedTable) -> impl Iterator<Item = usize> {
    let own = |column: usize| {
        let words = words(&table.columns[column].name);
        words.last().is_some_and(|last| OTHER_KEYS.contains(&last.as_str()))
    };
    let others = table.unique.iter().filter(|key| key.len() == 1).map(|key| key[0]).filter(|&column| own(column));
    let primary = (table.key.len() == 1).then(|| table.key[0]);
    primary.into_iter().chain(others.collect::<Vec<_>>())
}

/// The words of a table's name, and the same without the prefix that most tables of its database have.
fn names_of(table: &SurveyedTable, prefixes: &BTreeSet<(&[String], String)>) -> Vec<Vec<String>> {
    let name = table_words(own_name(table));
    let is_prefix = |word: &String| ["tbl", "tb", "t"].contains(&word.as_str()) || prefixes.contains(&(database(table), word.clone()));
    match name.split_first() {
        Some((first, rest)) if !rest.is_empty() && is_prefix(first) => vec![name.clone(), rest.to_vec()],
        _ => vec![name],
    }
}

/// The words with which most tables of a database begin, with the database.
fn prefixes(survey: &Survey) -> BTreeSet<(&[String], String)> {
    let mut tables: BTreeMap<&[String], usize> = BTreeMap::new();
    let mut begin: BTreeMap<(&[String], String), usize> = BTreeMap::new();
    for table in &survey.tables {
        *tables.entry(database(table)).or_default() += 1;
        if let Some(first) = words(own_name(table)).into_iter().next() {
            *begin.entry((database(table), first)).or_default() += 1;
        }
    }
    let is_prefix = |((database, _), count): &(&(&[String], String), &usize)| **count > 2 && **count * 2 > tables[database];
    begin.iter().filter(is_prefix).map(|(prefix, _)| prefix.clone()).collect()
}

fn own_name(table: &SurveyedTable) -> &str {
    table.path.last().map_or(table.name.as_str(), String::as_str)
}

/// The parts of the table's path before its own name.
fn database(table: &SurveyedTable) -> &[String] {
    table.path.split_last().map_or(&[], |(_, database)| database)
}

fn is_together(one: &SurveyedTable, other: &SurveyedTable) -> bool {
    database(one) == database(other)
}

/// What a column may refer to: a rank (lower is likelier), the table and its key.
fn candidates(survey: &Survey, known: &KeyNames, child: usize, column: usize) -> Vec<(usize, usize, usize)> {
    let table = &survey.tables[child];
    let mut found = Vec::new();
    let is_own_key = table.key == [column];
    for name in readings(&table.columns[column].name) {
        for start in 0..name.len() {
            for &(parent, key, named) in known.get(&name[start..]).into_iter().flatten() {
                let rank = match (named, start) {
                    (NamedBy::Whole, 0) => 0,
                    (NamedBy::Key, 0) => 1,
                    (NamedBy::Table, 0) => 2,
                    (NamedBy::Whole | NamedBy::Key, more) => 4 + more,
                    (NamedBy::Table, _) => continue,
                };
                // The key of a table refers to another table only if it is named after it.
                let is_key_of_other = !is_own_key || named == NamedBy::Whole && start == 0;
                found.extend((parent != child && is_key_of_other).then_some((rank, parent, key)));
                found.extend((parent == child && key != column && start > 0).then_some((rank, parent, key)));
            }
        }
        if let [own] = table.key[..]
            && own != column
            && is_parent(&name)
        {
            found.push((3, child, own));
        }
    }
    let fits = |&(_, parent, key): &(usize, usize, usize)| {
        let of = &survey.tables[parent];
        is_together(table, of) && comparable(&table.columns[column], &of.columns[key])
    };
    found.retain(fits);
    found
}

/// `parent_id`, `parent`, `comment_parent`: a row of the same table.
fn is_parent(name: &[String]) -> bool {
    let name = name.strip_suffix(&["id".to_string()]).unwrap_or(name);
    name.first().is_some_and(|word| word == "parent") && name.len() == 1 || name.len() == 2 && name[1] == "parent"
}

/// The ways to read a column's name: `id_customer` and `fk_customer` are also `customer_id`.
fn readings(column: &str) -> Vec<Vec<String>> {
    let plain = words(column);
    let without = |list: &[String]| list.iter().filter(|word| *word != "fk").cloned().collect::<Vec<_>>();
    let mut readings = vec![plain.clone()];
    let bare = without(&plain);
    if bare.len() < plain.len() {
        readings.push(bare.clone());
        readings.push([bare.clone(), vec!["id".to_string()]].concat());
    }
    if let [first, rest @ ..] = &bare[..]
        && first == "id"
        && !rest.is_empty()
    {
        readings.push([rest, std::slice::from_ref(first)].concat());
    }
    let in_singular: Vec<Vec<String>> = readings.iter().map(|reading| reading.iter().map(|word| singular(word)).collect()).collect();
    readings.extend(in_singular);
    readings.dedup();
    readings
}

/// The tables whose composite key has the names of columns of this table.
fn composite(survey: &Survey, child: usize, taken: &BTreeSet<(usize, usize)>) -> Vec<Reference> {
    let table = &survey.tables[child];
    let places: HashMap<String, usize> = table.columns.iter().enumerate().map(|(i, c)| (c.name.to_lowercase(), i)).collect();
    let mut found = Vec::new();
    for (parent, of) in survey.tables.iter().enumerate() {
        if parent == child || of.key.len() < 2 || !is_together(table, of) {
            continue;
        }
        let place = |&column: &usize| {
            let own = *places.get(&of.columns[column].name.to_lowercase())?;
            let is_named = !GENERIC.contains(&of.columns[column].name.to_lowercase().as_str());
            (is_named && comparable(&table.columns[own], &of.columns[column])).then_some(own)
        };
        let Some(columns) = of.key.iter().map(place).collect::<Option<Vec<usize>>>() else { continue };
        let is_taken = columns.iter().all(|&column| taken.contains(&(child, column)));
        // Two tables with one key: neither name tells which one refers to the other.
        let have_one_key = columns.len() == table.key.len() && table.key.iter().all(|column| columns.contains(column));
        if !is_taken && !have_one_key {
            found.push(guess(child, columns, parent, of.key.clone()));
        }
    }
    found
}
