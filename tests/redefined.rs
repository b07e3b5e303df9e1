//! Specs take turns on one state folder, and runs are killed while key spaces are made, loaded and dropped: whatever came before, the next
//! run that is left alone makes its views whole, and so they are found by everybody who opens the folder afterwards.

#[path = "support/long.rs"]
mod long;
#[allow(dead_code, reason = "the tests of views use all of it")]
#[path = "support/views/random.rs"]
mod random;
mod support;

use std::fmt::Write;

use random::Random;
use support::Program;

const SEEDS: std::ops::Range<u64> = 0..6;
const ROWS: usize = 5;

/// Which tables a spec's views read; each is a view of its own.
const SPECS: [&[&str]; 4] = [&["a"], &["a", "b", "c"], &["c", "d"], &["b", "d", "e", "f"]];

/// Where a run is killed, and how often that is come by at most.
const POINTS: [(&str, usize); 8] = [
    ("store.open.before", 1),
    ("store.open.before_orphans", 1),
    ("store.define.before_catalog", 2),
    ("store.define.before_orphans", 2),
    ("store.space_dropped", 12),
    ("store.define.after", 2),
    ("store.load.before_commit", 1),
    ("store.load.after", 1),
];

fn folder() -> Program {
    let program = Program::new();
    for (number, views) in SPECS.iter().enumerate() {
        let mut spec = String::from("sources:\n  s:\n    kind: file\n    options:\n      tables:\n");
        for table in *views {
            writeln!(spec, "        {table}: {{csv: {table}.csv, key: [id], columns: {{id: int64, v: text}}}}").unwrap();
            let rows: String = (0..ROWS).map(|id| format!("{id},{table}{id}\n")).collect();
            program.write(&format!("{table}.csv"), &format!("id,v\n{rows}"));
        }
        spec.push_str("views:\n");
        views.iter().for_each(|view| writeln!(spec, "  {view}_: {{from: s.{view}}}").unwrap());
        program.write(&format!("{number}.yaml"), &spec);
    }
    program
}

fn run(program: &Program, spec: usize, fault: Option<&str>) -> Option<i32> {
    let variables: Vec<_> = fault.map(|fault| ("TIDEMILL_FAULT", fault)).into_iter().collect();
    let ended = program.start_with(&variables, &["run", &format!("{spec}.yaml"), "--state", "state", "--until-caught-up"]).finish();
    assert!(matches!(ended.code, None | Some(0)), "{}", ended.stderr);
    ended.code
}

fn check(program: &Program, spec: usize, history: &str) {
    for view in SPECS[spec] {
        let got = program.run(&["get", &format!("{view}_"), "--state", "state"]);
        let right: String = (0..ROWS).map(|id| format!("{{\"id\":{id},\"v\":\"{view}{id}\"}}\n")).collect();
        assert_eq!((got.code, got.stdout), (Some(0), right), "{}\n{history}", got.stderr);
    }
}

/// What was done, as text.
fn kills(seed: u64) {
    let (program, mut random) = (folder(), Random::new(seed));
    let mut history = format!("seed {seed}\n");
    for _ in 0..3 {
        for _ in 0..random.below(6) {
            let spec = random.below(SPECS.len());
            let (point, times) = *random.pick(&POINTS);
            let fault = format!("{point}:{}=kill", 1 + random.below(times));
            let code = run(&program, spec, Some(&fault));
            writeln!(history, "{spec}.yaml {fault} {code:?}").unwrap();
        }
        let spec = random.below(SPECS.len());
        assert_eq!(run(&program, spec, None), Some(0));
        writeln!(history, "{spec}.yaml").unwrap();
        check(&program, spec, &history);
        assert_eq!(run(&program, spec, None), Some(0));
        check(&program, spec, &history);
    }
}

#[test]
fn views_are_whole_after_kills_while_others_were_made_and_dropped() {
    let seeds = if long::is_wanted() { long::new_seeds(300) } else { SEEDS };
    let (first, count) = (seeds.start, seeds.end - seeds.start);
    println!("seeds {seeds:?}");
    seeds.for_each(kills);
    if long::is_wanted() {
        long::tell(&format!(
            "{count} state folders of which specs took turns, killed while key spaces were made and dropped, from seed {first} on"
        ));
    }
}

/// Dropped, then killed before anything else is written: what is made then must still be there at the next start.
#[test]
fn what_is_made_after_a_kill_while_dropping_is_there_at_the_next_start() {
    // All nine of them, or some.
    for dropped in [9, 8, 5, 2] {
        let program = folder();
        assert_eq!(run(&program, 1, Some("store.load.before_commit=kill")), None);
        assert_eq!(run(&program, 1, Some(&format!("store.space_dropped:{dropped}=kill"))), None);
        // The next opening deletes their files, and the one after that gives their numbers anew.
        assert_eq!(run(&program, 1, Some("store.open.before_orphans=kill")), None);
        assert_eq!(run(&program, 1, None), Some(0));
        check(&program, 1, &format!("{dropped} dropped"));
        check(&program, 1, &format!("{dropped} dropped, opened again"));
    }
}
