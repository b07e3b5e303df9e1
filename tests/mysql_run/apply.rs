//! A spec that changes under a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::kit::{spec, stored};
use super::support::{Finished, MysqlDatabase, Program, eventually_async};

const PATIENCE: Duration = Duration::from_secs(60);

fn apply(program: &Program, more: &[&str]) -> Finished {
    program.run(&[&["apply", "shop.yaml"], more].concat())
}

/// The lines of a view, or none if there is no such view.
fn lines(program: &Program, view: &str) -> Vec<String> {
    program.run(&["get", view, "--state", "shop.state"]).stdout.lines().map(str::to_string).collect()
}

async fn becomes(program: &Program, view: &str, expected: &[&str]) {
    eventually_async(&format!("{view}: {expected:?}"), PATIENCE, async || (lines(program, view) == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_spec_is_applied_by_the_running_engine() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&[
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        "CREATE TABLE u (id INT PRIMARY KEY, name TEXT)",
        "INSERT INTO u VALUES (1, 'one')",
    ])
    .await;
    let program = Program::new();
    let first = spec(&shop, "heartbeat_ms: 200");
    program.write("shop.yaml", &first);
    let none = apply(&program, &[]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(3), ""), "there is no state yet: {}", none.stderr);
    let running = program.start(&["run", "shop.yaml"]);
    running.wait_for_stderr("both rows", |line| line.starts_with("v: 2 rows"));

    let same = apply(&program, &[]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), "view v: stays\n"), "{}", same.stderr);

    // A view over a table that is not captured yet, and one that needs nothing new.
    let second = format!("{first}  names: {{from: shop.u}}\n  twice: {{from: shop.t, columns: [id, {{w: \"v * 2\"}}]}}\n");
    program.write("shop.yaml", &second);
    let told = apply(&program, &["--dry-run"]);
    let todo = "view v: stays\nview names: new\nview twice: new\ntable shop.u: would be captured\n";
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), todo), "{}", told.stderr);
    assert!(lines(&program, "names").is_empty(), "nothing was done");
    // Somebody reads all the time: an answer is there at every moment, and none is older than one before.
    let (is_over, reader) = (AtomicBool::new(false), &program);
    let done = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                let rows = stored(reader).len();
                assert!(rows >= most, "{rows} rows after {most}");
                most = rows;
            }
            most
        });
        let done = apply(&program, &[]);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                shop.execute(&["INSERT INTO t VALUES (3, 3)", "INSERT INTO u VALUES (2, 'two')"]).await;
                becomes(&program, "names", &[r#"{"id":1,"name":"one"}"#, r#"{"id":2,"name":"two"}"#]).await;
                becomes(&program, "twice", &[r#"{"id":1,"w":2}"#, r#"{"id":2,"w":4}"#, r#"{"id":3,"w":6}"#]).await;
            });
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(reading.join().unwrap() >= 2);
        done
    });
    let did = "view v: stays\nview names: new\nview twice: new\ntable shop.u: captured\n";
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), did), "{}", done.stderr);
    assert_eq!(stored(&program).len(), 3);

    // A definition with the same columns gets the difference; one with others is built anew.
    let third = second.replace("v * 2", "v * 3").replace("{from: shop.u}", "{from: shop.u, columns: [id, {n: name}]}");
    program.write("shop.yaml", &third);
    let done = apply(&program, &[]);
    let did = "view v: stays\nview twice: changed: gets the difference\nview names: changed: built anew, read as it was until then\n";
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), did), "{}", done.stderr);
    becomes(&program, "twice", &[r#"{"id":1,"w":3}"#, r#"{"id":2,"w":6}"#, r#"{"id":3,"w":9}"#]).await;
    becomes(&program, "names", &[r#"{"id":1,"n":"one"}"#, r#"{"id":2,"n":"two"}"#]).await;
    let tail = program.run(&["tail", "twice", "--state", "shop.state", "--until-caught-up"]);
    let replaced = tail.stdout.lines().filter(|line| line.contains(r#""before":{"#) && line.contains(r#""after":{"#)).count();
    assert_eq!(replaced, 3, "the changelog goes on with the difference: {}", tail.stdout);

    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let none = apply(&program, &[]);
    assert_eq!(none.code, Some(3));
    assert_eq!(
        none.stderr,
        "error: no engine runs with the state folder `shop.state`\n   = help: `tidemill run` applies the spec when it starts\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_cannot_be_applied_leaves_everything_as_it_was() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
    let program = Program::new();
    let first = format!("{}  w: {{from: shop.t}}\n", spec(&shop, "heartbeat_ms: 200"));
    program.write("shop.yaml", &first);
    let running = program.start(&["run", "shop.yaml"]);
    running.wait_for_stderr("the row", |line| line.starts_with("w: 1 rows"));

    program.write("shop.yaml", &first.replace("columns: [id, v]", "columns: [id, vv]"));
    let wrong = apply(&program, &[]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    assert!(
        wrong.stderr.starts_with("error: ") && wrong.stderr.contains("`vv`") && wrong.stderr.contains("shop.yaml:"),
        "{}",
        wrong.stderr
    );
    running.signal("HUP");
    running.wait_for_stderr("the refusal", |line| line == "the changed spec is not applied, the run goes on as before");

    program.write("shop.yaml", "sources: [");
    assert_eq!(apply(&program, &[]).code, Some(2));
    program.write("shop.yaml", &first.replace(shop.url().rsplit('/').next().unwrap(), "no_such_database"));
    assert_ne!(apply(&program, &[]).code, Some(0));

    // A view that is left out by mistake is not deleted.
    let without = first.replace("  w: {from: shop.t}\n", "");
    program.write("shop.yaml", &without);
    let refused = apply(&program, &[]);
    assert_eq!(refused.code, Some(2));
    assert_eq!(
        refused.stderr,
        "error: the spec no longer has these views, whose rows would be deleted: w\n   = help: `tidemill apply --drop` deletes them; else put \
         them back into the spec\n"
    );
    assert_eq!(apply(&program, &["--dry-run"]).stdout, "view v: stays\nview w: would be deleted\n");
    running.signal("HUP");
    shop.execute(&["INSERT INTO t VALUES (2, 2)"]).await;
    becomes(&program, "w", &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#]).await;

    let dropped = apply(&program, &["--drop"]);
    assert_eq!((dropped.code, dropped.stdout.as_str()), (Some(0), "view v: stays\nview w: deleted\n"), "{}", dropped.stderr);
    assert_eq!(program.run(&["get", "w", "--state", "shop.state"]).code, Some(3));
    // The file again, by a signal.
    program.write("shop.yaml", &first);
    running.signal("HUP");
    becomes(&program, "w", &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#]).await;
    shop.execute(&["INSERT INTO t VALUES (3, 3)"]).await;
    becomes(&program, "w", &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#, r#"{"id":3,"v":3}"#]).await;
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("the changed spec is not applied").count(), 2, "{}", ended.stderr);
}
