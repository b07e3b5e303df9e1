//! A process that stages rows and takes them is killed at every point that it comes by; the next one ends with the same rows.
//!
//! The process is this test binary again, started on the ignored test below.

use std::process::Command;

use super::*;
use crate::fault::POINTS;

const FOLDER: &str = "TIDEMILL_TEST_FOLDER";

/// `shop.b` with another definition.
fn changed() -> InputDef {
    let schema = Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("v", Type::Int64, true)]);
    InputDef { schema, ..input("shop.b") }
}

/// Stages both tables, then one of them with another definition, and takes them. Whatever was done before, it ends in the same way.
fn stage_and_take(store: &Store) {
    store.define(&[other()], &[]).unwrap();
    let mut staging = store.stage("shop", &tables()).unwrap();
    staging.batch_keys = 3;
    staging.add(0, &rows((0..10).map(|id| (id, id)))).unwrap();
    staging.add(1, &rows([(7, 7)])).unwrap();
    staging.apply(&[delete(0, 1, 1), delete(0, 2, 2), insert(0, 2, 20), insert(1, 8, 8)]).unwrap();
    staging.save(&[Some("all".into()), Some("all".into())], &at("p"), true).unwrap();
    let mut staging = store.stage("shop", &[tables()[0].clone(), changed()]).unwrap();
    assert_eq!(staging.progress(), [Some("all".into()), None]);
    staging.add(1, &rows([(5, 5)])).unwrap();
    staging.save(&[None, Some("all".into())], &at("q"), true).unwrap();
    define(store, &[tables()[0].clone(), changed()]).unwrap();
    take(store, 2);
}

fn check(store: &Store) {
    assert_eq!(store.define(&[other(), tables()[0].clone(), changed()], &[]).unwrap().inputs, [InputState::Same; 3]);
    let expected = [0, 2, 3, 4, 5, 6, 7, 8, 9].map(|id| row(id, if id == 2 { 20 } else { id }));
    assert_eq!((held(store, 1), held(store, 2)), (expected.to_vec(), vec![row(5, 5)]));
    assert_eq!((store.input_len(1).unwrap(), store.input_len(2).unwrap()), (9, 1));
    assert!(store.staged().is_empty());
    assert_eq!(names_of_spaces(store).len(), 3);
}

#[test]
#[ignore = "a process that another test kills"]
fn stages_until_killed() {
    let dir = std::env::var_os(FOLDER).expect("started by a test of this file");
    stage_and_take(&Store::open(Path::new(&dir), Sync::EachCommit).unwrap());
}

#[test]
fn killed_anywhere_it_goes_on_from_what_was_saved() {
    let is_passed =
        |name: &str| ["store.stage.", "store.define.", "store.commit.", "store.space_dropped"].iter().any(|p| name.starts_with(p));
    let points = POINTS.iter().map(|point| point.name).filter(|name| is_passed(name));
    for point in points {
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            drop(made(dir.path()));
            let mut process = Command::new(std::env::current_exe().unwrap());
            process.args(["--exact", "store::staged::tests::kills::stages_until_killed", "--ignored"]);
            let ended = process.env(FOLDER, dir.path()).env("TIDEMILL_FAULT", format!("{point}:{time}=kill")).output().unwrap();
            let store = Store::open(dir.path(), Sync::EachCommit).unwrap();
            if ended.status.success() {
                assert!(time > 1, "it does not come by {point}");
                check(&store);
                break;
            }
            assert_eq!(ended.status.code(), None, "{point}:{time}: {}", String::from_utf8_lossy(&ended.stdout));
            stage_and_take(&store);
            check(&store);
        }
    }
}
