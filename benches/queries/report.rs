//! From the outcomes of all variants to the checks, the table and the bars.

use crate::measured::Measured;
use crate::work::Work;
use crate::{Series, Variant};

/// That all made the same view. Panics where they did not: figures of different work say nothing.
pub(crate) fn check(all: &[Series]) {
    for series in all {
        let other = all.iter().find(|s| s.work == series.work).expect("itself at least");
        let expected = &other.measured[0];
        for measured in &series.measured {
            let name = format!("{}, {} workers, beside {}", series.name(), series.workers, other.name());
            assert_eq!(measured.hydrated, expected.hydrated, "{name}: after hydration");
            assert_eq!(measured.changed, expected.changed, "{name}: in the end");
        }
    }
}

pub(crate) fn print(all: &[Series]) {
    println!(
        "\n{:<34}{:>10}{:>8}{:>9}{:>9}{:>9}{:>13}{:>9}{:>9}",
        "medians", "result s", "cpu s", "held MB", "peak MB", "end MB", "changes/s", "p50 us", "p99 us"
    );
    for s in all {
        println!(
            "{:<34}{:>10.2}{:>8.2}{:>9.0}{:>9.0}{:>9.0}{:>13.0}{:>9.0}{:>9.0}",
            s.name(),
            s.median(|m| m.seconds),
            s.median(|m| m.cpu_seconds),
            s.median(|m| m.held_bytes as f64) / 1e6,
            s.median(|m| m.peak_bytes as f64) / 1e6,
            s.median(|m| m.end_bytes as f64) / 1e6,
            s.median(|m| m.steady),
            s.median(|m| m.p50_us),
            s.median(|m| m.p99_us),
        );
    }
    for ours in all.iter().filter(|s| s.variant == Variant::Tidemill) {
        let plain = all.iter().find(|s| s.variant == Variant::Plain && (s.work, s.workers) == (ours.work, ours.workers));
        print_bars(ours, plain.expect("it was measured"));
    }
}

fn print_bars(ours: &Series, plain: &Series) {
    println!("\nbars, {}", ours.name());
    let ratio = |value: fn(&Measured) -> f64| ours.median(value) / plain.median(value);
    match ours.work {
        Work::Average | Work::Latest => {
            bar("time to result, of the plain program's", ratio(|m| m.seconds), 1.0);
            bar("peak resident, MB", ours.median(|m| m.peak_bytes as f64) / 1e6, 150.0);
            bar("time of 1,000,000 readings afterwards, s", 1e6 / ours.median(|m| m.steady), 1.0);
        }
        Work::Revenue => {
            bar("time to result, of the plain program's", ratio(|m| m.seconds), 1.3);
            bar("price update p50, of the plain program's", ratio(|m| m.p50_us), 1.3);
            bar("price update p99, us", ours.median(|m| m.p99_us), 300.0);
        }
    }
}

fn bar(what: &str, figure: f64, at_most: f64) {
    let verdict = if figure <= at_most { "ok" } else { "MISSED" };
    println!("  {what:<52}{figure:>8.2}  at most {at_most:.2}  {verdict}");
}

impl Series {
    fn name(&self) -> String {
        let who = match self.variant {
            Variant::Tidemill => "Tidemill",
            Variant::Plain => "plain differential",
        };
        format!("{}, {who}, {}", self.work, self.workers)
    }

    fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.measured.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}
