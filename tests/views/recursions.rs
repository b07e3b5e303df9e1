//! Recursions as people write them, against PostgreSQL's answer after every transaction, and those that do not end.

use serde_json::{Map, Value, json};

use crate::support::case::scratch;
use crate::support::engine::{Way, prepare};
use crate::support::generate::Generated;
use crate::support::judge::confirm_end;
use crate::support::query_case;
use crate::support::random::Random;

const EDGES: &str = r#"{"a": "int64", "b": "int64", "n": "int64"}"#;
const PEOPLE: &str = r#"{"id": "int64", "boss": "int64", "name": "text"}"#;

/// `edges (a, b, n)`: from, to, and a quantity.
fn edge(a: i64, b: i64, n: i64) -> Value {
    json!({"a": a, "b": b, "n": n})
}

fn person(id: i64, boss: Option<i64>, name: &str) -> Value {
    json!({"id": id, "boss": boss, "name": name})
}

/// One transaction: rows that go and rows that come.
fn transaction(table: &str, gone: &[Value], new: &[Value]) -> String {
    let gone = gone.iter().map(|row| json!({"table": table, "op": "delete", "before": row}));
    let new = new.iter().map(|row| json!({"table": table, "op": "insert", "after": row}));
    let lines: String = gone.chain(new).map(|line| format!("{line}\n")).collect();
    format!("{{\"begin\": true}}\n{lines}{{\"commit\": true}}\n")
}

/// Views over `s.edges` and `s.people`, each with other keys than `sql`, where there are any.
fn case(views: &[(&str, &str, Value)], edges: &[Value], people: &[Value], changes: &[String]) -> Generated {
    let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let columns = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let view = |(name, sql, more): &(&str, &str, Value)| {
        let mut view = more.as_object().cloned().unwrap_or_default();
        view.insert("sql".into(), (*sql).into());
        (name.to_string(), Value::Object(view))
    };
    let spec = json!({
        "sources": {"s": {"kind": "file", "options": {"changes": "changes.jsonl", "tables": {
            "edges": {"jsonl": "edges.jsonl", "key": [], "columns": columns(EDGES)},
            "people": {"jsonl": "people.jsonl", "key": ["id"], "columns": columns(PEOPLE)},
        }}}},
        "views": views.iter().map(view).collect::<Map<_, _>>(),
    });
    let files = [("spec.yaml", format!("{spec:#}\n")), ("edges.jsonl", lines(edges)), ("people.jsonl", lines(people))];
    Generated { files: files.map(|(name, text)| (name.to_string(), text)).to_vec(), changes: changes.concat() }
}

async fn holds(views: &[(&str, &str, Value)], edges: &[Value], people: &[Value], changes: &[String]) {
    for seed in 0..4 {
        let checked = query_case::check(&case(views, edges, people, changes), &mut Random::new(seed)).await;
        checked.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
}

/// The rows and the number of errors of a view at the end.
async fn at_the_end(view: (&str, Value), edges: &[Value], changes: &[String], workers: usize) -> (Vec<String>, u64) {
    let generated = case(&[("v", view.0, view.1)], edges, &[], changes);
    let folder = scratch();
    for (name, text) in generated.files.iter().chain([&("changes.jsonl".to_string(), generated.changes.clone())]) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap();
    let mut observed = prepared.run(&folder.path().join("state"), Way { workers, scatter: Some(7) }).await;
    // PostgreSQL does not end where the engine stops a recursion.
    if observed[0].errors == 0 {
        confirm_end(&prepared, &observed).await.unwrap_or_else(|wrong| panic!("PostgreSQL says otherwise of {}\n{wrong}", view.0));
    }
    let observed = observed.remove(0);
    (observed.rows, observed.errors)
}

const REACHED: &str = "WITH RECURSIVE r AS (
    SELECT b AS node FROM s.edges WHERE a = 1 UNION SELECT e.b FROM r JOIN s.edges e ON e.a = r.node
) SELECT node FROM r";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reached_in_a_circle_is_gone_with_the_only_way_into_it() {
    let pairs = "WITH RECURSIVE r AS (
        SELECT a, b FROM s.edges UNION SELECT r.a, e.b FROM r JOIN s.edges e ON e.a = r.b
    ) SELECT a, b FROM r";
    let alone = "WITH RECURSIVE r AS (
        SELECT b AS node FROM s.edges WHERE a = 1 UNION SELECT e.b FROM r JOIN s.edges e ON e.a = r.node
    ) SELECT DISTINCT e.a FROM s.edges e WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.node = e.a)";
    // 1 -> 2 -> 3 -> 4 -> 2 is a circle behind 1; 4 -> 5; 6 -> 7 -> 6 is one that nothing leads to.
    let edges = [edge(1, 2, 1), edge(2, 3, 1), edge(3, 4, 1), edge(4, 2, 1), edge(4, 5, 1), edge(6, 7, 1), edge(7, 6, 1)];
    let changes = [
        transaction("edges", &[edge(1, 2, 1)], &[]),
        transaction("edges", &[], &[edge(1, 4, 1)]),
        transaction("edges", &[edge(4, 2, 1)], &[]),
        transaction("edges", &[], &[edge(5, 6, 1), edge(5, 6, 1)]),
        transaction("edges", &[edge(5, 6, 1)], &[edge(4, 2, 1)]),
        transaction("edges", &[edge(5, 6, 1), edge(1, 4, 1)], &[edge(1, 3, 1)]),
        transaction("edges", &[edge(3, 4, 1)], &[edge(3, 3, 1), edge(3, 1, 1)]),
        transaction("edges", &[edge(3, 3, 1), edge(1, 3, 1)], &[edge(1, 1, 1)]),
    ];
    holds(&[("reached", REACHED, json!({})), ("pairs", pairs, json!({})), ("alone", alone, json!({}))], &edges, &[], &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bill_of_materials_multiplies_and_adds_up_quantities() {
    let parts = "WITH RECURSIVE parts AS (
        SELECT a AS whole, b AS part, n FROM s.edges
        UNION ALL SELECT p.whole, e.b, p.n * e.n FROM parts p JOIN s.edges e ON e.a = p.part
    ) SELECT whole, part, sum(n) AS needed, count(*) AS ways FROM parts GROUP BY whole, part";
    // 1 needs 2 and 3, both need 4, twice each way; 4 needs 5.
    let edges = [edge(1, 2, 2), edge(1, 3, 3), edge(2, 4, 2), edge(3, 4, 2), edge(3, 4, 1), edge(4, 5, 10)];
    let changes = [
        transaction("edges", &[edge(3, 4, 1)], &[edge(3, 4, 5)]),
        transaction("edges", &[edge(4, 5, 10)], &[]),
        transaction("edges", &[], &[edge(4, 6, 7), edge(6, 5, 3), edge(1, 5, 1), edge(1, 5, 1)]),
        transaction("edges", &[edge(1, 2, 2), edge(1, 3, 3), edge(1, 5, 1)], &[]),
        transaction("edges", &[], &[edge(9, 1, 4), edge(1, 3, 1)]),
    ];
    holds(&[("parts", parts, json!({}))], &edges, &[], &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hierarchy_has_depths_and_paths_and_moves_as_a_whole() {
    let tree = "WITH RECURSIVE tree AS (
        SELECT id, name, 0 AS depth, name AS path FROM s.people WHERE boss IS NULL
        UNION ALL SELECT p.id, p.name, t.depth + 1, t.path || '/' || p.name FROM tree t JOIN s.people p ON p.boss = t.id
    ) SELECT id, depth, path FROM tree";
    let deepest = "WITH RECURSIVE tree AS (
        SELECT id, 0 AS depth FROM s.people WHERE boss IS NULL
        UNION ALL SELECT p.id, t.depth + 1 FROM s.people p JOIN tree t ON p.boss = t.id
    ), leaves AS (SELECT t.id, t.depth FROM tree t WHERE NOT EXISTS (SELECT 1 FROM s.people p WHERE p.boss = t.id))
    SELECT max(depth) AS deepest, count(*) AS leaves FROM leaves";
    let over = "SELECT d.deepest, t.path FROM deepest d JOIN tree t ON t.depth = d.deepest";
    let people = [
        person(1, None, "ada"),
        person(2, Some(1), "bob"),
        person(3, Some(2), "cyd"),
        person(4, Some(3), "dan"),
        person(5, Some(1), "eve"),
        person(6, Some(9), "fay"),
    ];
    let changes = [
        transaction("people", &[person(2, Some(1), "bob")], &[person(2, Some(5), "bob")]),
        transaction("people", &[person(3, Some(2), "cyd")], &[person(3, Some(1), "cyn")]),
        transaction("people", &[], &[person(9, Some(4), "gus")]),
        transaction("people", &[person(1, None, "ada")], &[]),
        transaction("people", &[person(5, Some(1), "eve")], &[person(5, None, "eve"), person(1, Some(2), "ada")]),
    ];
    holds(&[("tree", tree, json!({})), ("deepest", deepest, json!({})), ("over", over, json!({}))], &[], &people, &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_number_of_hops_grows_and_shrinks() {
    let hops = "WITH RECURSIVE r AS (
        SELECT a AS node, 0 AS hops FROM s.edges WHERE a = 1
        UNION SELECT e.b, r.hops + 1 FROM r JOIN s.edges e ON e.a = r.node WHERE r.hops < 6
    ) SELECT node, min(hops) AS hops FROM r GROUP BY node";
    let edges = [edge(1, 2, 1), edge(2, 3, 1), edge(3, 4, 1), edge(4, 5, 1), edge(5, 1, 1)];
    let changes = [
        transaction("edges", &[], &[edge(1, 4, 1)]),
        transaction("edges", &[edge(3, 4, 1)], &[]),
        transaction("edges", &[edge(1, 4, 1)], &[edge(3, 4, 1)]),
        transaction("edges", &[edge(1, 2, 1)], &[]),
    ];
    holds(&[("hops", hops, json!({}))], &edges, &[], &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recursions_read_recursions() {
    let twice = "WITH RECURSIVE r AS (
        SELECT b AS node FROM s.edges WHERE a = 1 UNION SELECT e.b FROM r JOIN s.edges e ON e.a = r.node
    ), q AS (
        SELECT node, 0 AS d FROM r UNION SELECT p.boss, q.d + 1 FROM q JOIN s.people p ON p.id = q.node WHERE p.boss IS NOT NULL AND q.d < 9
    ) SELECT node, count(*) AS n FROM q GROUP BY node";
    let inside = "WITH RECURSIVE up AS (
        SELECT id AS node, boss AS chief FROM s.people UNION SELECT up.node, reached.node FROM up JOIN reached ON reached.node > up.chief
    ) SELECT node, chief FROM up";
    let pairs = "SELECT x.node AS a, y.node AS b FROM reached x JOIN reached y ON x.node < y.node";
    let edges = [edge(1, 2, 1), edge(2, 3, 1), edge(3, 2, 1)];
    let people = [person(2, Some(4), "bob"), person(3, Some(4), "cyd"), person(4, Some(2), "dan")];
    let changes = [
        transaction("edges", &[edge(2, 3, 1)], &[edge(2, 4, 1)]),
        transaction("people", &[person(4, Some(2), "dan")], &[person(4, None, "dan")]),
        transaction("edges", &[edge(1, 2, 1)], &[edge(1, 3, 1)]),
    ];
    let views = [("reached", REACHED, json!({})), ("twice", twice, json!({})), ("inside", inside, json!({})), ("pairs", pairs, json!({}))];
    holds(&views, &edges, &people, &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recursion_that_does_not_end_is_an_error_until_it_does() {
    let counting = "WITH RECURSIVE r AS (SELECT n FROM s.edges WHERE a = 1 UNION ALL SELECT n + 1 FROM r WHERE n <> 0) SELECT max(n) AS n, count(*) AS c FROM r";
    let start = |n: i64| edge(1, 2, n);
    for workers in [1, 3] {
        let ends = at_the_end((counting, json!({})), &[start(-3)], &[], workers).await;
        assert_eq!(ends, (vec![r#"{"n":0,"c":4}"#.to_string()], 0));
        let goes_on = at_the_end((counting, json!({})), &[start(1), start(1)], &[], workers).await;
        assert_eq!(goes_on, (vec![r#"{"n":1001,"c":2002}"#.to_string()], 2), "1,000 rounds behind the first");
        let of_a_few = at_the_end((counting, json!({"max_recursion": 2})), &[start(1), start(-2), start(-3)], &[], workers).await;
        assert_eq!(of_a_few, (vec![r#"{"n":3,"c":9}"#.to_string()], 2), "what -2 and 1 begin goes beyond, what -3 begins does not");
        let corrected = transaction("edges", &[start(1)], &[start(-1)]);
        let corrected = at_the_end((counting, json!({})), &[start(1)], &[corrected], workers).await;
        assert_eq!(corrected, (vec![r#"{"n":0,"c":2}"#.to_string()], 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bill_of_materials_that_needs_itself_is_an_error_until_it_is_corrected() {
    let parts = "WITH RECURSIVE parts AS (
        SELECT b AS part FROM s.edges WHERE a = 1 UNION ALL SELECT e.b FROM parts p JOIN s.edges e ON e.a = p.part
    ) SELECT part, count(*) AS ways FROM parts GROUP BY part";
    let edges = [edge(1, 2, 1), edge(2, 3, 1), edge(3, 2, 1)];
    let (rows, errors) = at_the_end((parts, json!({"max_recursion": 9})), &edges, &[], 2).await;
    assert_eq!((rows, errors), (vec![r#"{"part":2,"ways":5}"#.to_string(), r#"{"part":3,"ways":5}"#.to_string()], 1));
    let corrected = transaction("edges", &[edge(3, 2, 1)], &[]);
    let (rows, errors) = at_the_end((parts, json!({"max_recursion": 9})), &edges, &[corrected], 2).await;
    assert_eq!((rows, errors), (vec![r#"{"part":2,"ways":1}"#.to_string(), r#"{"part":3,"ways":1}"#.to_string()], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_step_fails_on_is_an_error_until_it_is_corrected() {
    let quotient = "WITH RECURSIVE r AS (
        SELECT b AS node, CAST(24 AS BIGINT) AS q FROM s.edges WHERE a = 1 UNION SELECT e.b, r.q / e.n FROM r JOIN s.edges e ON e.a = r.node
    ) SELECT node, q FROM r";
    let edges = [edge(1, 2, 1), edge(2, 3, 0), edge(3, 4, 2)];
    let rows = |rows: &[&str]| rows.iter().map(|row| row.to_string()).collect::<Vec<_>>();
    assert_eq!(at_the_end((quotient, json!({})), &edges, &[], 2).await, (rows(&[r#"{"node":2,"q":24}"#]), 1));
    let corrected = [transaction("edges", &[edge(2, 3, 0)], &[edge(2, 3, 3)])];
    let right = rows(&[r#"{"node":2,"q":24}"#, r#"{"node":3,"q":8}"#, r#"{"node":4,"q":4}"#]);
    assert_eq!(at_the_end((quotient, json!({})), &edges, &corrected, 2).await, (right, 0));
    let condition = "WITH RECURSIVE r AS (
        SELECT b AS node FROM s.edges WHERE a = 1 UNION SELECT e.b FROM r JOIN s.edges e ON e.a = r.node AND r.node / e.n > 0
    ) SELECT node FROM r";
    assert_eq!(at_the_end((condition, json!({})), &edges, &[], 2).await, (rows(&[r#"{"node":2}"#]), 1));
    let right = rows(&[r#"{"node":2}"#]);
    assert_eq!(at_the_end((condition, json!({})), &edges, &corrected, 2).await, (right, 0));
}

/// What a recursion from node 1 along the edges finds, and how many rows it would find next when it is stopped.
fn found(edges: &[(i64, i64)], distinct: bool, rounds: usize, rows: usize) -> (Vec<i64>, u64) {
    let (mut found, mut round): (Vec<i64>, Vec<i64>) = (Vec::new(), vec![1]);
    // The first step leads to the base.
    for done in 0.. {
        let mut next: Vec<i64> = round.iter().flat_map(|node| edges.iter().filter(move |(a, _)| a == node).map(|(_, b)| *b)).collect();
        if distinct {
            next.sort_unstable();
            next.dedup();
            next.retain(|node| !found.contains(node));
        }
        let stopped = done > rounds || found.len() > rows;
        if next.is_empty() || stopped {
            found.sort_unstable();
            return (found, next.len() as u64);
        }
        found.extend(&next);
        round = next;
    }
    unreachable!("it returns")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recursion_is_stopped_by_rounds_and_by_rows_and_goes_on_when_it_may() {
    let (mut stopped, mut ended) = (0, 0);
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let distinct = random.percent(40);
        let (rounds, rows) = (*random.pick(&[0, 2, 4, 1000]), *random.pick(&[0, 2, 5, 40]));
        let any = |random: &mut Random| (1 + random.below(5) as i64, 1 + random.below(5) as i64);
        let mut edges: Vec<(i64, i64)> = (0..random.below(5)).map(|_| any(&mut random)).collect();
        let row = |&(a, b): &(i64, i64)| edge(a, b, 0);
        let first: Vec<Value> = edges.iter().map(row).collect();
        let mut changes = Vec::new();
        for _ in 0..2 + random.below(6) {
            let gone: Vec<_> = (0..random.below(1 + edges.len().min(2))).map(|_| edges.swap_remove(random.below(edges.len()))).collect();
            let new: Vec<_> = (0..1 + random.below(2)).map(|_| any(&mut random)).collect();
            edges.extend(&new);
            changes.push(transaction("edges", &gone.iter().map(row).collect::<Vec<_>>(), &new.iter().map(row).collect::<Vec<_>>()));
        }
        let sql = format!(
            "WITH RECURSIVE r AS (SELECT b AS node FROM s.edges WHERE a = 1
             {} SELECT e.b FROM r JOIN s.edges e ON e.a = r.node) SELECT node FROM r",
            if distinct { "UNION" } else { "UNION ALL" }
        );
        let limit = json!({"max_recursion": rounds, "max_recursion_rows": rows});
        let (nodes, errors) = found(&edges, distinct, rounds, rows);
        let mut right: Vec<String> = nodes.iter().map(|node| json!({"node": node}).to_string()).collect();
        right.sort();
        for workers in [1, 3] {
            let mut seen = at_the_end((&sql, limit.clone()), &first, &changes, workers).await;
            seen.0.sort();
            assert_eq!(seen, (right.clone(), errors), "seed {seed}, {workers} workers: {sql} {limit} {first:?} {}", changes.concat());
        }
        *(if errors > 0 { &mut stopped } else { &mut ended }) += 1;
    }
    assert!(stopped > 10 && ended > 10, "{stopped} stopped, {ended} ended");
}
