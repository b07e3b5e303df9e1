//! The order in which the rows of a changing table arrive: it is kept through updates, deletes and restarts.

mod support;

use std::io::Write;

use support::Program;

const SPEC: &str = "\
sources:
  plant:
    kind: file
    arrival: [readings]
    options:
      tables:
        readings: {csv: readings.csv, key: [id], columns: {id: int64, sensor: text, value: int64}}
      changes: changes.jsonl
views:
  latest:
    sql: >
      SELECT sensor, latest_by_offset(value) AS last, earliest_by_offset(value) AS first, latest_by_offset(value, 2) AS two
      FROM plant.readings GROUP BY sensor
";

struct Plant(Program);

impl Plant {
    fn new() -> Plant {
        let program = Program::new();
        program.write("plant.yaml", SPEC);
        // Not in the order of the key.
        program.write("readings.csv", "id,sensor,value\n9,a,10\n1,b,20\n5,a,30\n");
        program.write("changes.jsonl", "");
        Plant(program)
    }

    fn change(&self, lines: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.0.folder().join("changes.jsonl")).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }

    /// What the view has after the run has caught up.
    fn latest(&self) -> Vec<String> {
        let ran = self.0.run(&["run", "plant.yaml", "--state", "state", "--until-caught-up", "--workers", "2"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        self.0.run(&["get", "latest", "--state", "state"]).stdout.lines().map(String::from).collect()
    }
}

fn row(sensor: &str, last: i64, first: i64, two: &[i64]) -> String {
    serde_json::json!({"sensor": sensor, "last": last, "first": first, "two": two}).to_string()
}

fn change(op: &str, before: Option<(i64, &str, i64)>, after: Option<(i64, &str, i64)>) -> String {
    let image = |(id, sensor, value): (i64, &str, i64)| serde_json::json!({"id": id, "sensor": sensor, "value": value});
    let mut line = serde_json::json!({"table": "readings", "op": op});
    before.into_iter().for_each(|before| line["before"] = image(before));
    after.into_iter().for_each(|after| line["after"] = image(after));
    format!("{line}\n")
}

#[test]
fn latest_and_earliest_follow_a_table_that_changes() {
    let plant = Plant::new();
    assert_eq!(plant.latest(), [row("a", 30, 10, &[10, 30]), row("b", 20, 20, &[20])]);
    // An update arrives anew, and so does what comes in the same transaction as what it replaces.
    plant.change(&change("update", Some((9, "a", 10)), Some((9, "a", 11))));
    assert_eq!(plant.latest(), [row("a", 11, 30, &[30, 11]), row("b", 20, 20, &[20])]);
    plant.change(&change("insert", None, Some((2, "a", 12))));
    plant.change(&change("delete", Some((2, "a", 12)), None));
    plant.change(&format!(
        "{{\"begin\": true}}\n{}{}{}{{\"commit\": true}}\n",
        change("insert", None, Some((3, "b", 1))),
        change("update", Some((3, "b", 1)), Some((3, "b", 2))),
        change("update", Some((1, "b", 20)), Some((1, "b", 21))),
    ));
    assert_eq!(plant.latest(), [row("a", 11, 30, &[30, 11]), row("b", 21, 2, &[2, 21])]);
    // What goes uncovers what came before it, also after all has been read from the state again.
    plant.change(&change("delete", Some((1, "b", 21)), None));
    plant.change(&change("delete", Some((9, "a", 11)), None));
    assert_eq!(plant.latest(), [row("a", 30, 30, &[30]), row("b", 2, 2, &[2])]);
    plant.change(&change("insert", None, Some((4, "a", 40))));
    assert_eq!(plant.latest(), [row("a", 40, 30, &[30, 40]), row("b", 2, 2, &[2])]);
}
