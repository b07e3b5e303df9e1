//! A state folder on a disk that is full: the run says so and ends, what was committed stays, and with space it goes on to the exact view.
//!
//! The disk is a small tmpfs in a mount namespace of the test's own, so nothing is left of it; `unshare` makes one for root and, in a user
//! namespace, for anybody else. Where neither is allowed these tests fail: run them where `unshare -rm true` works.

mod support;

use std::fmt::Write;

use support::Program;

/// What stands before every script: a disk of 24 MiB at `state`, and its words.
const DISK: &str = r#"
run() { "$TIDEMILL" run shop.yaml --state "$1" --until-caught-up; }
rows() { "$TIDEMILL" get orders --state "$1"; }
full() { run state 2> full.err; echo "full: $?"; tail -n 2 full.err; }
exact() { run elsewhere 2> /dev/null; rows elsewhere > expected; rows "$1" | cmp - expected && echo "exact: $(wc -l < expected)"; }
mkdir state && mount -t tmpfs -o size=24M tmpfs state || exit 9
"#;

const FULL: &str = "\
full: 1
error: no space is left for the state folder `state`
   = help: free some space or move the folder to a larger disk, and start again: what was committed is intact
";

const ROWS: usize = 40_000;

/// Rows of about 1,000 bytes that do not compress, as the lines of a file.
fn lines(from: usize, to: usize, line: impl Fn(&str) -> String) -> String {
    let mut random = from as u64 + 1;
    let mut row = |id: usize| {
        let mut text = format!("{{\"id\": {id}, \"text\": \"");
        for _ in 0..60 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let _ = write!(text, "{random:016x}");
        }
        text + "\"}"
    };
    (from..to).map(|id| line(&row(id)) + "\n").collect()
}

fn insert(row: &str) -> String {
    format!("{{\"table\": \"orders\", \"op\": \"insert\", \"after\": {row}}}")
}

fn on_a_small_disk(program: &Program, script: &str) -> String {
    program.write("script.sh", &format!("{DISK}{script}"));
    let namespace = "unshare -m true 2> /dev/null && exec unshare -m sh script.sh || exec unshare -rm sh script.sh";
    let done = program.run(&["-c", namespace]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    done.stdout
}

fn shop(table: &str) -> Program {
    let program = Program::of("/bin/sh").env("TIDEMILL", env!("CARGO_BIN_EXE_tidemill"));
    let table = format!("orders: {{{table}, key: [id], columns: {{id: int64, text: text}}}}");
    let source = format!("sources: {{shop: {{kind: file, options: {{tables: {{{table}}}, changes: changes.jsonl}}}}}}\n");
    program.write("shop.yaml", &(source + "views: {orders: {from: shop.orders}}\n"));
    program.write("changes.jsonl", "");
    program
}

#[test]
fn a_disk_that_is_too_small_for_the_snapshot_is_said_and_the_folder_moved_to_a_larger_one_gets_all_of_it() {
    let program = shop("jsonl: orders.jsonl");
    program.write("orders.jsonl", &lines(0, ROWS, str::to_string));
    let said = on_a_small_disk(&program, "full\ncp -a state moved\nrun moved 2> /dev/null\necho \"space: $?\"\nexact moved\n");
    assert_eq!(said, format!("{FULL}space: 0\nexact: {ROWS}\n"));
}

#[test]
fn a_disk_that_fills_up_keeps_what_was_committed_and_the_folder_moved_goes_on() {
    let program = shop("jsonl: orders.jsonl");
    program.write("orders.jsonl", &lines(0, 1000, str::to_string));
    program.write("more.jsonl", &lines(1000, ROWS, insert));
    let script = "\
run state 2> /dev/null
echo \"small: $?\"
cat more.jsonl > changes.jsonl
full
kept=$(rows state | wc -l)
[ $kept -gt 1000 ] && [ $kept -lt 40000 ] && echo 'a part was committed'
full
cp -a state moved
run moved 2> /dev/null
echo \"space: $?\"
exact moved
";
    let said = on_a_small_disk(&program, script);
    assert_eq!(said, format!("small: 0\n{FULL}a part was committed\n{FULL}space: 0\nexact: {ROWS}\n"));
}

#[test]
fn a_disk_with_nothing_left_is_said_at_once_and_emptied_it_is_as_before() {
    let program = shop("jsonl: orders.jsonl");
    program.write("orders.jsonl", &lines(0, 1000, str::to_string));
    program.write("more.jsonl", &lines(1000, 3000, insert));
    let script = "\
run state 2> /dev/null
echo \"small: $?\"
cat more.jsonl > changes.jsonl
cat /dev/zero > state/filler 2> /dev/null
full
rm state/filler
run state 2> /dev/null
echo \"space: $?\"
exact state
";
    assert_eq!(on_a_small_disk(&program, script), format!("small: 0\n{FULL}space: 0\nexact: 3000\n"));
}
