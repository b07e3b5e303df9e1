//! The output of `tidemill run`: at a terminal, progress bars during a snapshot and then a live line per view; otherwise plain lines, or one
//! JSON event per line.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::watch;

use super::memory::{in_memory, process_bytes};
use crate::run::{Report, SinkReport, SourcePhase};
use crate::value::Tick;

const LIVE: Duration = Duration::from_millis(200);
const PLAIN: Duration = Duration::from_secs(1);

/// Shows progress until `end` becomes true, and then once more. `report` has the report of the engine that runs.
/// `lag_ms`: returns how long ago the first tick after the given one was committed.
pub(super) async fn show(report: watch::Receiver<Arc<Report>>, lag_ms: impl Fn(Tick) -> u64, json: bool, mut end: watch::Receiver<bool>) {
    let live = !json && std::io::stderr().is_terminal();
    let mut shown = ProgressLines { last: HashMap::new(), bars: live.then(Bars::default), json, began: Instant::now() };
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(if live { LIVE } else { PLAIN }) => false,
            _ = end.wait_for(|end| *end) => true,
        };
        let report = report.borrow().clone();
        shown.look(&report, &lag_ms, ended);
        if ended {
            return;
        }
    }
}

struct ProgressLines {
    /// The last text, count and time of each line, so that an unchanged line is not printed again.
    last: HashMap<String, (String, u64, Instant)>,
    bars: Option<Bars>,
    json: bool,
    began: Instant,
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_name: HashMap<String, ProgressBar>,
}

impl ProgressLines {
    fn look(&mut self, report: &Report, sink_lag_ms: &impl Fn(Tick) -> u64, ended: bool) {
        for source in report.sources() {
            if source.phase == SourcePhase::Snapshot {
                for table in &source.snapshot {
                    let name = format!("{}.{}", source.name, table.table);
                    self.progress(&name, table.rows, table.expected);
                }
            } else {
                self.clear_bars(&format!("{}.", source.name));
            }
            if let Some(waiting) = &source.waiting {
                let event = json!({"event": "waiting", "source": source.name, "reason": waiting});
                self.say(&format!("source {}", source.name), format!("{}: {waiting}", source.name), 0, &event);
            }
        }
        for source in report.sources().iter().filter(|s| s.rejected > 0) {
            let (left_out, first) = (left_out(source.rejected), source.first_rejected.join("; "));
            let line = format!("warning: {}: {left_out} (`tidemill errors`): {first}", source.name);
            let event = json!({"event": "rejected", "source": source.name, "records": source.rejected, "first": source.first_rejected});
            self.say(&format!("rejected {}", source.name), line, source.rejected, &event);
        }
        let lag_ms = report.sources().iter().filter_map(|s| s.lag_ms).max();
        for view in report.views() {
            let name = format!("view {}", view.name);
            let per_second = self.per_second(&name, view.changes);
            let lag = lag_ms.map_or("-".to_string(), |ms| format!("{ms} ms"));
            let behind = report.behind();
            let line = format!("{}: {} rows, {per_second:.0} changes/s, lag {lag}, {behind} transactions", view.name, view.rows);
            let event = json!({
                "event": "view", "view": view.name, "tick": report.tick(), "rows": view.rows, "bytes": view.bytes, "changes": view.changes,
                "errors": view.errors, "lag_ms": lag_ms, "behind": behind,
            });
            self.say(&name, line, view.changes + view.rows, &event);
        }
        for name in report.left_sinks() {
            let line = format!("warning: sink {name} is not in the spec: its changelog is not kept (`tidemill sink forget {name}`)");
            self.say(&format!("left {name}"), line, 1, &json!({"event": "left_sink", "sink": name}));
        }
        for sink in report.sinks() {
            self.sink(&sink, sink.tick.map(|tick| sink_lag_ms(Tick(tick))));
        }
        if ended {
            self.clear_bars("");
            self.memory(report);
            let seconds = self.began.elapsed().as_secs_f64();
            let rejected: u64 = report.sources().iter().map(|s| s.rejected).sum();
            let seconds_shown = (seconds * 1000.0).round() / 1000.0;
            let event = json!({"event": "end", "tick": report.tick(), "seconds": seconds_shown, "rejected": rejected});
            let left_out = if rejected > 0 { format!(", {}", left_out(rejected)) } else { String::new() };
            let line = format!("ended at tick {} after {seconds:.1} s{left_out}", report.tick());
            self.print(line, &event);
        }
    }

    fn sink(&mut self, sink: &SinkReport, lag_ms: Option<u64>) {
        let name = &sink.name;
        let lag = lag_ms.map_or("-".to_string(), |ms| format!("{ms} ms"));
        let progress = format!("{} documents written, tick {}, lag {lag}", sink.written, sink.tick.unwrap_or(0));
        let event = json!({
            "event": "sink", "sink": name, "view": sink.view, "tick": sink.tick, "written": sink.written, "lag_ms": lag_ms,
            "refused": sink.refused, "waiting": sink.waiting, "note": sink.note,
        });
        // The count 0 lets a new reason be printed even if `written` has not changed.
        match &sink.waiting {
            Some(waiting) => self.say(&format!("sink {name}"), format!("{name}: {waiting}"), 0, &event),
            None => self.say(&format!("sink {name}"), format!("{name}: {progress}"), sink.written, &event),
        }
        if sink.refused > 0 {
            let event = json!({"event": "refused", "sink": name, "documents": sink.refused});
            let line = format!("warning: {name}: the target refuses {} of the documents (`tidemill errors {name}`)", sink.refused);
            self.say(&format!("refused {name}"), line, sink.refused, &event);
        }
        if let Some(note) = &sink.note {
            self.say(&format!("note {name}"), format!("{name}: {note}"), 0, &json!({"event": "note", "sink": name, "note": note}));
        }
    }

    /// Prints how much memory the engine held at the end.
    fn memory(&self, report: &Report) {
        let held = in_memory(report);
        if held.is_empty() {
            return;
        }
        let bytes: u64 = held.iter().map(|held| held.bytes).sum();
        let event = json!({"event": "memory", "bytes": bytes, "process_bytes": process_bytes(), "held": held});
        self.print(format!("in memory: {bytes} bytes in {} arrangements and operators", held.len()), &event);
    }

    fn progress(&mut self, name: &str, rows: u64, expected: Option<u64>) {
        if let Some(bars) = &mut self.bars {
            let bar = bars.by_name.entry(name.to_string()).or_insert_with(|| {
                let style = match expected {
                    Some(_) => "{prefix:30} {bar:30} {human_pos}/{human_len} rows, {per_sec}, {eta} left",
                    None => "{prefix:30} {spinner} {human_pos} rows, {per_sec}",
                };
                let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = expected.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
                bars.all.add(bar.with_style(style).with_prefix(name.to_string()))
            });
            bar.set_position(rows);
            return;
        }
        let per_second = self.per_second(name, rows);
        let left = expected.filter(|_| per_second > 0.0).map(|e| e.saturating_sub(rows) as f64 / per_second);
        let of = expected.map_or(String::new(), |e| format!(" of about {e}"));
        let line = format!("{name}: {rows}{of} rows, {per_second:.0} rows/s{}", left.map_or(String::new(), |s| format!(", {s:.0} s left")));
        let event = json!({"event": "snapshot", "table": name, "rows": rows, "expected": expected, "rows_per_second": per_second.round()});
        self.say(name, line, rows, &event);
    }

    fn clear_bars(&mut self, prefix: &str) {
        if let Some(bars) = &mut self.bars {
            bars.by_name.retain(|name, bar| {
                let done = name.starts_with(prefix);
                if done {
                    bar.finish_and_clear();
                }
                !done
            });
        }
    }

    /// The growth of a count per second since it was last shown.
    fn per_second(&self, name: &str, count: u64) -> f64 {
        let (since, before) = self.last.get(name).map_or((self.began, 0), |(_, count, at)| (*at, *count));
        count.saturating_sub(before) as f64 / since.elapsed().as_secs_f64().max(0.001)
    }

    /// Prints a line unless its text, or its count above 0, is unchanged. At a terminal, replaces the line in place.
    fn say(&mut self, name: &str, line: String, count: u64, event: &serde_json::Value) {
        if self.bars.is_none() && self.last.get(name).is_some_and(|(last, known, _)| *last == line || *known == count && count > 0) {
            return;
        }
        self.last.insert(name.to_string(), (line.clone(), count, Instant::now()));
        if let Some(bars) = &mut self.bars {
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars.by_name.entry(name.to_string()).or_insert_with(|| bars.all.add(ProgressBar::new_spinner().with_style(style)));
            bar.set_message(line);
            return;
        }
        self.print(line, event);
    }

    fn print(&self, line: String, event: &serde_json::Value) {
        // A closed output must not end the run.
        let _ = match self.json {
            true => writeln!(std::io::stdout(), "{event}"),
            false => writeln!(std::io::stderr(), "{line}"),
        };
    }
}

/// The number of rejected records, as text for people.
pub(super) fn left_out(records: u64) -> String {
    format!("{records} {} left out", if records == 1 { "record" } else { "records" })
}
