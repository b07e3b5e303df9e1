//! Who may import whom: the table of `docs/architecture.md`, checked against every path in `src/`, and no circles of files inside a module.

#[path = "layers/circles.rs"]
mod circles;
#[path = "layers/licences.rs"]
mod licences;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Each module of `src/` and the modules it may name, as in `docs/architecture.md`.
const LAYERS: &[(&str, &[&str])] = &[
    ("value", &[]),
    ("sql", &["value"]),
    ("plan", &["value", "sql"]),
    ("spec", &["value", "sql", "plan"]),
    ("dataflow", &["value", "plan"]),
    ("store", &["value"]),
    ("sources", &["value"]),
    ("sinks", &["value"]),
    ("serve", &["value", "sql", "plan", "store"]),
    ("cluster", &[]),
    ("run", &["value", "sql", "plan", "spec", "dataflow", "store", "sources", "sinks", "serve", "cluster"]),
    ("draft", &["value", "sources"]),
    ("estimate", &["value", "plan", "dataflow", "sources"]),
    ("cli", &["value", "sql", "plan", "spec", "dataflow", "store", "sources", "sinks", "serve", "cluster", "run", "draft", "estimate"]),
    ("options", &[]),
    ("finding", &[]),
    ("metrics", &[]),
    ("fault", &[]),
];

/// Modules that name nobody and that anybody may name.
const LEAVES: &[&str] = &["options", "finding", "metrics", "fault"];

/// External crates that only these modules may name.
const RESERVED: &[(&str, &[&str])] = &[("differential_dataflow", &["dataflow"]), ("timely", &["dataflow", "run"])];

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut problems = Vec::new();
    for file in rust_files(&root().join("src")) {
        let inside = file.strip_prefix(root().join("src")).unwrap();
        let Some(module) = module_of(inside) else { continue };
        for import in imports(&fs::read_to_string(&file).unwrap(), depth_of(inside)) {
            problems.extend(import.problem(&module).map(|why| format!("src/{}:{}: {why}", inside.display(), import.line)));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_module_is_in_the_table() {
    let mut unknown = BTreeSet::new();
    for file in rust_files(&root().join("src")) {
        let module = module_of(file.strip_prefix(root().join("src")).unwrap());
        unknown.extend(module.filter(|name| allowed(name).is_none()));
    }
    assert!(unknown.is_empty(), "not in the table of docs/architecture.md: {unknown:?}");
}

#[test]
fn the_documented_table_is_the_checked_one() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut documented: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("| module")).skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let above: Vec<String> = documented.iter().map(|(name, _)| name.clone()).collect();
        for name in cells[0].split(", ") {
            let imports = match cells[2] {
                "-" => Vec::new(),
                "all of the above" => above.clone(),
                list => list.split(", ").map(str::to_owned).collect(),
            };
            documented.push((name.to_owned(), imports));
        }
    }
    let checked: Vec<(String, Vec<String>)> =
        LAYERS.iter().map(|(name, imports)| (name.to_string(), imports.iter().map(|import| import.to_string()).collect())).collect();
    assert_eq!(documented, checked);
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let text = r##"
//! [`crate::run`] in a comment is no import.
use crate::value::{Row, Schema};
use crate::{
    plan::{self, View},
    spec::Spec as Checked, /* crate::cli */
};
fn f() -> super::super::store::Store {
    let _ = ("crate::sinks", r#"crate::serve "quoted" crate::serve"#, '"', '\'', crate::sql::parse::<'a>());
    differential_dataflow::input::Input::new()
}
pub(crate) mod tests { use super::helper; }
"##;
    let found: Vec<(usize, String)> = imports(text, 2).into_iter().map(|import| (import.line, import.name)).collect();
    let expected = [(3, "value"), (5, "plan"), (6, "spec"), (8, "store"), (9, "sql"), (10, "differential_dataflow")];
    assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
}

#[test]
fn what_is_refused_says_what_is_allowed() {
    let import = |name: &str| Import { line: 1, name: name.to_owned() };
    assert_eq!(import("value").problem("store"), None);
    assert_eq!(import("store").problem("store"), None);
    assert_eq!(import("options").problem("store"), None);
    assert_eq!(import("timely").problem("run"), None);
    assert_eq!(
        import("plan").problem("store").unwrap(),
        "`store` may not import `plan`; it may import: value, options, finding, metrics, fault"
    );
    assert_eq!(import("timely").problem("store").unwrap(), "`store` may not name the crate `timely`; only these may: dataflow, run");
    assert_eq!(import("value").problem("metrics").unwrap(), "`metrics` may not import `value`; it is a leaf and may import nothing");
}

/// A path into another module of this crate or into a reserved crate.
struct Import {
    line: usize,
    name: String,
}

impl Import {
    fn problem(&self, module: &str) -> Option<String> {
        let name = self.name.as_str();
        if let Some((_, by)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
            let only = || format!("`{module}` may not name the crate `{name}`; only these may: {}", by.join(", "));
            return (!by.contains(&module)).then(only);
        }
        let listed = allowed(module).unwrap_or_default();
        if name == module || allowed(name).is_none() || listed.contains(&name) {
            return None;
        }
        if LEAVES.contains(&module) {
            return Some(format!("`{module}` may not import `{name}`; it is a leaf and may import nothing"));
        }
        let all = [listed, LEAVES].concat();
        (!LEAVES.contains(&name)).then(|| format!("`{module}` may not import `{name}`; it may import: {}", all.join(", ")))
    }
}

fn allowed(module: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, imports)| *imports)
}

/// Every path that leaves the module, by line. `depth` is how many `super::` lead from the file to the crate's root.
fn imports(text: &str, depth: usize) -> Vec<Import> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let (line, token) = &tokens[at];
        if RESERVED.iter().any(|(name, _)| name == token) {
            found.push(Import { line: *line, name: token.clone() });
        }
        let follows_path = at > 0 && tokens[at - 1].1 == "::";
        if follows_path || !["crate", "super"].contains(&token.as_str()) {
            continue;
        }
        let mut next = at;
        while tokens.get(next).is_some_and(|(_, token)| token == "super") && is(&tokens, next + 1, "::") {
            next += 2;
        }
        let at_root = if token == "crate" { is(&tokens, at + 1, "::") } else { (next - at) / 2 >= depth };
        if at_root {
            found.extend(names_at(&tokens, if token == "crate" { at + 2 } else { next }));
        }
    }
    found
}

/// The first names of a path or of a braced group of paths.
fn names_at(tokens: &[(usize, String)], start: usize) -> Vec<Import> {
    if !is(tokens, start, "{") {
        return tokens.get(start).map(|(line, name)| Import { line: *line, name: name.clone() }).into_iter().collect();
    }
    let mut found = Vec::new();
    let mut nesting = 0;
    for at in start..tokens.len() {
        let (line, token) = &tokens[at];
        match token.as_str() {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            name if nesting == 1 && (is(tokens, at - 1, "{") || is(tokens, at - 1, ",")) => {
                found.push(Import { line: *line, name: name.to_owned() });
            }
            _ => {}
        }
        if nesting == 0 {
            break;
        }
    }
    found
}

fn is(tokens: &[(usize, String)], at: usize, expected: &str) -> bool {
    tokens.get(at).is_some_and(|(_, token)| token == expected)
}

/// Names, `::`, braces and other signs, each with its line. Comments are gone, literals stay whole.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let stream: TokenStream = text.parse().expect("a Rust file");
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, tokens: &mut Vec<(usize, String)>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = if group.delimiter() == Delimiter::Brace { ("{", "}") } else { ("(", ")") };
                tokens.push((line, open.to_owned()));
                flatten(group.stream(), tokens);
                tokens.push((group.span_close().start().line, close.to_owned()));
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' && tokens.last().is_some_and(|(_, last)| last == ":+") => {
                tokens.last_mut().unwrap().1 = "::".to_owned();
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' && sign.spacing() == Spacing::Joint => tokens.push((line, ":+".to_owned())),
            other => tokens.push((line, other.to_string())),
        }
    }
}

/// How many modules a file lies below the crate's root; `src/a/mod.rs` is one below.
fn depth_of(inside: &Path) -> usize {
    inside.components().count() - usize::from(inside.ends_with("mod.rs"))
}

/// The module that a file of `src/` belongs to. The roots of the library and of programs belong to none.
fn module_of(inside: &Path) -> Option<String> {
    let first = Path::new(inside.components().next()?.as_os_str());
    let root = [Path::new("lib.rs"), Path::new("main.rs"), Path::new("bin")].contains(&first);
    (!root).then(|| first.file_stem().unwrap().to_str().unwrap().to_owned())
}

/// Whether a file holds nothing but tests.
fn is_test(inside: &Path) -> bool {
    inside.iter().any(|part| part == "tests" || part == "tests.rs")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
