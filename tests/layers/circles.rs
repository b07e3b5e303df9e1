//! Circles of imports between the files of `src/`.
//!
//! A file imports another where one of its paths leads into it: a path from `crate`, `super` or `self`, or from a child module that the
//! file declares. Tests are left out. So are paths that lead to a module around the file, since what a module's `mod.rs` holds is for its
//! children.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{is, is_test, module_of, root, rust_files, tokens};

/// The path of a module from the root of the crate; empty: the root.
type Module = Vec<String>;

/// For each module that is a file, the others that it imports, each with the first line that does.
type Graph = BTreeMap<Module, BTreeMap<Module, usize>>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let (files, graph) = source();
    let found: Vec<String> = circles(&graph).iter().map(|circle| shown(circle, &graph, &files)).collect();
    assert!(found.is_empty(), "move what two files need from each other to a file below both\n{}", found.join("\n"));
}

/// The files of all modules, by module, and what they import.
fn source() -> (BTreeMap<Module, String>, Graph) {
    let mut files = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for path in rust_files(&root().join("src")) {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        if module_of(inside).is_none() || is_test(inside) {
            continue;
        }
        let mut module: Module = inside.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        module.pop_if(|last| last == "mod");
        texts.insert(module.clone(), fs::read_to_string(&path).unwrap());
        files.insert(module, format!("src/{}", inside.display()));
    }
    let graph = graph(&texts);
    (files, graph)
}

fn graph(texts: &BTreeMap<Module, String>) -> Graph {
    let imports = |module: &Module, text: &String| {
        let mut imported = BTreeMap::new();
        for (line, path) in paths(text, module) {
            let file = (1..=path.len()).rev().map(|length| &path[..length]).find(|path| texts.contains_key(*path));
            if let Some(file) = file.filter(|file| !module.starts_with(file)) {
                imported.entry(file.to_vec()).or_insert(line);
            }
        }
        imported
    };
    texts.iter().map(|(module, text)| (module.clone(), imports(module, text))).collect()
}

/// Every path that begins in this crate, from its root on, with its line. `module`: whose text it is.
fn paths(text: &str, module: &[String]) -> Vec<(usize, Module)> {
    let tokens = tokens(text);
    let is_child = |name: &str| (0..tokens.len()).any(|at| is(&tokens, at, "mod") && is(&tokens, at + 1, name) && is(&tokens, at + 2, ";"));
    let mut found = Vec::new();
    // The modules around a place that stand in the file itself, and how many braces are open in each.
    let mut here = module.to_vec();
    let mut inner: Vec<usize> = Vec::new();
    let mut open = 0;
    let mut at = 0;
    while let Some((_, token)) = tokens.get(at) {
        if let Some(end) = end_of_test(&tokens, at) {
            at = end;
            continue;
        }
        match token.as_str() {
            "{" => {
                open += 1;
                if at >= 2 && is(&tokens, at - 2, "mod") {
                    here.push(tokens[at - 1].1.clone());
                    inner.push(open);
                }
            }
            "}" => {
                if inner.pop_if(|braces| *braces == open).is_some() {
                    here.pop();
                }
                open -= 1;
            }
            name => {
                let begins = is(&tokens, at + 1, "::") && (at == 0 || !is(&tokens, at - 1, "::"));
                if begins && (["crate", "super", "self"].contains(&name) || inner.is_empty() && is_child(name)) {
                    at = take_path(&tokens, at, here.clone(), &mut found);
                    continue;
                }
            }
        }
        at += 1;
    }
    found
}

/// Takes the path, or the tree of paths, that begins at a token; answers where it ends.
fn take_path(tokens: &[(usize, String)], mut at: usize, mut path: Module, found: &mut Vec<(usize, Module)>) -> usize {
    loop {
        let (line, token) = &tokens[at];
        match token.as_str() {
            "{" => {
                at += 1;
                while !is(tokens, at, "}") {
                    at = take_path(tokens, at, path.clone(), found);
                    // Over `as` and a name.
                    while !is(tokens, at, ",") && !is(tokens, at, "}") {
                        at += 1;
                    }
                    at += usize::from(is(tokens, at, ","));
                }
                return at + 1;
            }
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            "self" | "*" => {}
            name => path.push(name.to_owned()),
        }
        let goes_on = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{' || c == '*');
        if !is(tokens, at + 1, "::") || !tokens.get(at + 2).is_some_and(|(_, token)| goes_on(token)) {
            found.push((*line, path));
            return at + 1;
        }
        at += 2;
    }
}

/// Where the item ends that is only there in tests and begins at a token.
fn end_of_test(tokens: &[(usize, String)], start: usize) -> Option<usize> {
    let attribute = ["#", "(", "cfg", "(", "test", ")", ")"];
    if !attribute.iter().enumerate().all(|(i, expected)| is(tokens, start + i, expected)) {
        return None;
    }
    let mut open = 0;
    for (at, (_, token)) in tokens.iter().enumerate().skip(start + attribute.len()) {
        match token.as_str() {
            "{" | "(" => open += 1,
            "}" | ")" => open -= 1,
            _ => {}
        }
        if open == 0 && ["}", ";"].contains(&token.as_str()) {
            return Some(at + 1);
        }
    }
    Some(tokens.len())
}

/// The largest sets of modules that all import each other, directly or through others.
fn circles(graph: &Graph) -> Vec<BTreeSet<&Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = graph.keys().map(|module| (module, reached_from(module, graph))).collect();
    let mut circles: Vec<BTreeSet<&Module>> = Vec::new();
    for (module, others) in &reached {
        if others.contains(module) && !circles.iter().any(|circle| circle.contains(module)) {
            circles.push(others.iter().copied().filter(|other| reached[other].contains(module)).collect());
        }
    }
    circles
}

/// All that a module imports, and what that imports, and so on.
fn reached_from<'a>(start: &'a Module, graph: &'a Graph) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for imported in graph[module].keys() {
            if reached.insert(imported) {
                next.push(imported);
            }
        }
    }
    reached
}

/// The files of a circle, and a line of code for each import between them.
fn shown(circle: &BTreeSet<&Module>, graph: &Graph, files: &BTreeMap<Module, String>) -> String {
    let mut text = format!("{} files import each other in a circle:\n", circle.len());
    for module in circle {
        for (imported, line) in graph[*module].iter().filter(|(imported, _)| circle.contains(imported)) {
            text.push_str(&format!("  {}:{line} imports {}\n", files[*module], files[imported]));
        }
    }
    text
}

mod tests {
    use super::*;

    fn module(path: &str) -> Module {
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn a_circle_is_found_whole_and_what_only_leads_to_it_is_not_in_it() {
        let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("f", "a"), ("d", "g")];
        let mut graph: Graph = edges.iter().flat_map(|(from, to)| [*from, *to]).map(|name| (module(name), BTreeMap::new())).collect();
        for (line, (from, to)) in edges.iter().enumerate() {
            graph.get_mut(&module(from)).unwrap().insert(module(to), line + 1);
        }
        let found: Vec<Vec<String>> =
            circles(&graph).iter().map(|circle| circle.iter().map(|module| module.join("::")).collect()).collect();
        assert_eq!(found, [vec!["a", "b", "c"], vec!["d", "e"]]);
        let files = graph.keys().map(|module| (module.clone(), format!("src/{}.rs", module.join("/")))).collect();
        assert_eq!(
            shown(&circles(&graph)[1], &graph, &files),
            "2 files import each other in a circle:\n  src/d.rs:5 imports src/e.rs\n  src/e.rs:6 imports src/d.rs\n"
        );
    }

    #[test]
    fn a_path_is_followed_from_where_it_stands() {
        let text = r#"
//! [`super::comment`] is no import.
mod child;
mod grandchild;
use super::sibling::{self, Kind as Other, deep::{Deeper, *}};
use crate::{store::Store, value::Row};
use self::child::Child;
pub(super) fn f() -> super::super::Top {
    let _ = ("super::text", super::super::plan::get::<u8>(), grandchild::made());
    std::child::other()
}
mod inner {
    use super::*;
    use super::super::uncle;
    fn g() { self::made(); child::not_this_one() }
}
#[cfg(test)]
mod tests {
    use super::super::only_in_tests;
}
#[cfg(test)]
use crate::also_only_in_tests;
fn last() -> crate::End {}
"#;
        let found: Vec<(usize, String)> = paths(text, &module("a::b")).into_iter().map(|(line, path)| (line, path.join("::"))).collect();
        let expected = [
            (5, "a::sibling"),
            (5, "a::sibling::Kind"),
            (5, "a::sibling::deep::Deeper"),
            (5, "a::sibling::deep"),
            (6, "store::Store"),
            (6, "value::Row"),
            (7, "a::b::child::Child"),
            (8, "Top"),
            (9, "plan::get"),
            (9, "a::b::grandchild::made"),
            (13, "a::b"),
            (14, "a::uncle"),
            (15, "a::b::inner::made"),
            (23, "End"),
        ];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn an_import_is_of_the_file_that_the_path_leads_into() {
        let texts = [
            ("a", "mod b;\npub use b::Thing;"),
            ("a::b", "use super::c::d::Thing;\nuse super::c;\nuse crate::a::Shared;"),
            ("a::c", "use super::Shared;"),
            ("e", "use crate::a::b::inner::Thing;\nuse crate::a::Thing;\nuse crate::Nothing;"),
        ];
        let graph = graph(&texts.iter().map(|(name, text)| (module(name), (*text).to_owned())).collect());
        let found: Vec<(String, String, usize)> =
            graph.iter().flat_map(|(from, imports)| imports.iter().map(|(to, line)| (from.join("::"), to.join("::"), *line))).collect();
        let expected = [("a", "a::b", 2), ("a::b", "a::c", 1), ("e", "a", 2), ("e", "a::b", 1)];
        assert_eq!(found, expected.map(|(from, to, line)| (from.to_owned(), to.to_owned(), line)));
    }
}
