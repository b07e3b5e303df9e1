//! Streams whose files grow, as users meet them: the program follows the files, is stopped, killed and started again.

#[allow(dead_code, reason = "the tests of views use all of it")]
#[path = "support/views/random.rs"]
mod random;
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use random::Random;
use serde_json::{Value, json};
use support::{Program, Running, eventually};

/// The reference scenario's.
const READINGS: [(&str, &str, i64); 10] = [
    ("sensor-1", "wheel", 45),
    ("sensor-2", "motor", 41),
    ("sensor-1", "wheel", 92),
    ("sensor-2", "engine", 13),
    ("sensor-2", "engine", 90),
    ("sensor-4", "motor", 95),
    ("sensor-3", "engine", 67),
    ("sensor-3", "wheel", 52),
    ("sensor-4", "engine", 55),
    ("sensor-3", "engine", 37),
];

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

impl Format {
    fn file(self) -> &'static str {
        match self {
            Format::Csv => "readings.csv",
            Format::JsonLines => "readings.jsonl",
        }
    }

    fn line(self, (sensor, area, reading): (&str, &str, i64)) -> String {
        match self {
            Format::Csv => format!("{sensor},{area},{reading}\n"),
            Format::JsonLines => format!("{}\n", json!({"sensor": sensor, "area": area, "reading": reading})),
        }
    }
}

/// A folder with the scenario's views, and an empty stream.
fn program(format: Format) -> Program {
    let program = Program::new();
    let kind = if let Format::Csv = format { "csv" } else { "jsonl" };
    let readings = json!({kind: format.file(), "stream": true, "columns": {"sensor": "text", "area": "text", "reading": "int32"}});
    let by_sensor = |columns: &str| json!({"sql": format!("SELECT sensor, {columns} FROM plant.readings GROUP BY sensor")});
    let spec = json!({
        "sources": {"plant": {"kind": "file", "options": {"tables": {"readings": readings}}}},
        "views": {
            "avg_readings": by_sensor("avg(reading) AS avg"),
            "latest_readings": by_sensor("latest_by_offset(area) AS area, latest_by_offset(reading) AS last"),
            "all_readings": by_sensor("count(*) AS n, collect_list(reading) AS readings"),
            "avg_by_area": {"sql": "SELECT area, avg(reading) AS avg FROM plant.readings GROUP BY area"},
        },
    });
    program.write("plant.yaml", &spec.to_string());
    program.write(format.file(), if let Format::Csv = format { "sensor,area,reading\n" } else { "" });
    program
}

fn append(program: &Program, format: Format, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(program.folder().join(format.file())).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn start(program: &Program, workers: &str) -> Running {
    let running = program.start(&["run", "plant.yaml", "--state", "state", "--workers", workers, "--json"]);
    running.wait_for_stdout("a view", |line| line.contains("\"event\":\"view\""));
    running
}

fn run(program: &Program) {
    let done = program.run(&["run", "plant.yaml", "--state", "state", "--until-caught-up"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

fn get(program: &Program, view: &str) -> String {
    let got = program.run(&["get", view, "--state", "state"]);
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    got.stdout
}

/// What the views must be, recomputed from all readings.
fn right(readings: &[(String, String, i64)]) -> BTreeMap<&'static str, String> {
    let grouped = |by: fn(&(String, String, i64)) -> &str| {
        let mut groups: BTreeMap<String, Vec<&(String, String, i64)>> = BTreeMap::new();
        readings.iter().for_each(|reading| groups.entry(by(reading).into()).or_default().push(reading));
        groups
    };
    let avg = |group: &[&(String, String, i64)]| group.iter().map(|r| r.2).sum::<i64>() as f64 / group.len() as f64;
    let (sensors, areas) = (grouped(|r| &r.0), grouped(|r| &r.1));
    let lines = |lines: Vec<Value>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let averages = |groups: &BTreeMap<String, Vec<_>>, by: &str| lines(groups.iter().map(|(k, g)| json!({by: k, "avg": avg(g)})).collect());
    let latest = |(sensor, group): (&String, &Vec<&(String, String, i64)>)| {
        let last = group.last().unwrap();
        json!({"sensor": sensor, "area": last.1, "last": last.2})
    };
    let all = |(sensor, group): (&String, &Vec<&(String, String, i64)>)| json!({"sensor": sensor, "n": group.len(), "readings": group.iter().map(|r| r.2).collect::<Vec<_>>()});
    BTreeMap::from([
        ("avg_readings", averages(&sensors, "sensor")),
        ("avg_by_area", averages(&areas, "area")),
        ("latest_readings", lines(sensors.iter().map(latest).collect())),
        ("all_readings", lines(sensors.iter().map(all).collect())),
    ])
}

/// Of the same keys and values, in whatever order the keys stand.
fn same(got: &str, right: &str) -> bool {
    let values = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    values(got) == values(right)
}

fn check(program: &Program, readings: &[(String, String, i64)]) {
    for (view, right) in right(readings) {
        let got = get(program, view);
        assert!(same(&got, &right), "{view}:\n{got}and not\n{right}");
    }
}

fn wait_for(program: &Program, readings: &[(String, String, i64)]) {
    let right = right(readings);
    eventually("the row is in the view", Duration::from_secs(30), || {
        same(&get(program, "all_readings"), &right["all_readings"]).then_some(())
    });
    check(program, readings);
}

fn owned((sensor, area, reading): (&str, &str, i64)) -> (String, String, i64) {
    (sensor.into(), area.into(), reading)
}

#[test]
fn the_readings_of_the_reference_scenario_come_line_by_line_through_stops() {
    for format in [Format::Csv, Format::JsonLines] {
        let program = program(format);
        let mut seen = Vec::new();
        for (part, workers) in READINGS.chunks(4).zip(["1", "2", "1"]) {
            let running = start(&program, workers);
            for reading in part {
                append(&program, format, &format.line(*reading));
                seen.push(owned(*reading));
                wait_for(&program, &seen);
            }
            running.signal("INT");
            let done = running.finish();
            assert_eq!(done.code, Some(0), "{}", done.stderr);
            check(&program, &seen);
        }
        let expected = "{\"sensor\":\"sensor-1\",\"avg\":68.5}\n{\"sensor\":\"sensor-2\",\"avg\":48.0}\n\
                        {\"sensor\":\"sensor-3\",\"avg\":52.0}\n{\"sensor\":\"sensor-4\",\"avg\":75.0}\n";
        assert_eq!(get(&program, "avg_readings"), expected);
        let changelog = program.run(&["tail", "avg_readings", "--state", "state", "--until-caught-up"]);
        assert_eq!(changelog.stdout.lines().count(), READINGS.len(), "{}", changelog.stdout);
        run(&program);
        assert_eq!(get(&program, "avg_readings"), expected);
    }
}

#[test]
fn a_finished_file_is_in_the_view_with_its_last_line_and_a_bad_line_is_told_of_once() {
    for format in [Format::Csv, Format::JsonLines] {
        let program = program(format);
        let text: String = READINGS.iter().map(|reading| format.line(*reading)).collect();
        append(&program, format, &format!("nothing\n{}", text.trim_end()));
        let readings: Vec<_> = READINGS.into_iter().map(owned).collect();
        for _ in 0..2 {
            run(&program);
            check(&program, &readings);
            let errors = program.run(&["errors", "--state", "state"]).stdout;
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
    }
}

#[test]
fn a_row_that_is_not_whole_is_waited_for_and_told_of() {
    let program = program(Format::Csv);
    append(&program, Format::Csv, "sensor-1,wheel,45\nsensor-1,\"wh");
    let done = program.run(&["run", "plant.yaml", "--state", "state", "--until-caught-up"]);
    assert!(done.stderr.contains("plant: for the end of line 3 of "), "{}", done.stderr);
    assert_eq!(get(&program, "avg_readings"), "{\"sensor\":\"sensor-1\",\"avg\":45.0}\n");
    append(&program, Format::Csv, "eel\",46");
    run(&program);
    assert_eq!(get(&program, "avg_readings"), "{\"sensor\":\"sensor-1\",\"avg\":45.5}\n");
    append(&program, Format::Csv, "0\n");
    let done = program.run(&["run", "plant.yaml", "--state", "state", "--until-caught-up"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("line 3: the line was read as a complete row at the end of the file, but was continued later"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("start with an empty state folder"), "{}", done.stderr);
}

#[test]
fn a_type_that_an_appended_row_does_not_fit_is_inferred_anew_at_the_next_start() {
    let program = program(Format::Csv);
    let mut spec: Value = serde_json::from_str(&std::fs::read_to_string(program.folder().join("plant.yaml")).unwrap()).unwrap();
    spec["sources"]["plant"]["options"]["tables"]["readings"].as_object_mut().unwrap().remove("columns").unwrap();
    program.write("plant.yaml", &spec.to_string());
    append(&program, Format::Csv, "sensor-1,wheel,45\n");
    run(&program);
    let running = start(&program, "1");
    append(&program, Format::Csv, "sensor-1,wheel,46.5\nsensor-1,wheel,47\n");
    eventually("the row that fits", Duration::from_secs(30), || get(&program, "avg_readings").contains("46.0").then_some(()));
    running.signal("INT");
    running.finish();
    assert_eq!(program.run(&["errors", "--state", "state"]).stdout.lines().count(), 1);
    run(&program);
    assert!(get(&program, "avg_readings").contains("46.16"), "{}", get(&program, "avg_readings"));
    assert_eq!(program.run(&["errors", "--state", "state"]).stdout, "");
}

#[test]
fn what_is_appended_is_in_the_views_once_however_often_the_program_is_killed() {
    let mut random = Random::new(11);
    for format in [Format::Csv, Format::JsonLines] {
        let program = program(format);
        let mut readings = Vec::new();
        let mut bad = 0;
        let mut rest = String::new();
        for round in 0..6 {
            for _ in 0..2_000 {
                let reading = (format!("sensor-{}", random.below(5)), format!("area-{}", random.below(3)), random.below(1000) as i64 - 500);
                rest += &format.line((&reading.0, &reading.1, reading.2));
                readings.push(reading);
                if random.below(500) == 0 {
                    rest += "nothing\n";
                    bad += 1;
                }
            }
            let running = program.start(&["run", "plant.yaml", "--state", "state", "--workers", if round % 2 == 0 { "1" } else { "2" }]);
            let moment = random.below(900) as u64;
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(moment) || rest.len() > 5_000 {
                let piece: String = rest.drain(..rest.len().min(random.below(4_000))).collect();
                append(&program, format, &piece);
                std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            }
            running.kill();
        }
        append(&program, format, &rest);
        run(&program);
        check(&program, &readings);
        let status: Value = serde_json::from_str(&program.run(&["status", "--state", "state", "--json"]).stdout).unwrap();
        assert_eq!(status["sources"][0]["rejected"], bad, "{status}");
        let lines = readings.len() + bad + usize::from(matches!(format, Format::Csv));
        let position: Value = serde_json::from_str(status["sources"][0]["position"].as_str().unwrap()).unwrap();
        assert_eq!(position["streams"]["readings"]["line"], lines, "{position}");
    }
}
