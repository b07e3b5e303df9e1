//! From the outcomes of all variants to the checks, the table and the bars.

use crate::measure::{Measured, Shape, Updates};
use crate::updates;
use crate::{Series, Variant};

/// That all made the same documents. Panics where they did not: figures of different work say nothing.
pub(crate) fn check(all: &[Series], orders: u64) {
    let expected = of(all, Variant::Floor, 1).measured[0].shape;
    assert_eq!(expected.documents, orders, "a document for each order");
    let changed = |m: &Measured| m.customer.zip(m.seller).map(|(customer, seller)| (customer.documents, seller.documents));
    let plain = all.iter().find(|s| s.variant == Variant::Plain).expect("it was measured");
    let expected_changes = changed(&plain.measured[0]);
    let rows = plain.measured[0].rows;
    for series in all {
        let name = format!("{:?}, {} workers", series.variant, series.workers);
        for measured in &series.measured {
            let shape = match series.variant {
                Variant::Durable => Shape { documents: expected.documents, ..Shape::default() },
                Variant::Tidemill | Variant::Plain | Variant::Floor => expected,
            };
            assert_eq!(measured.shape, shape, "{name}: documents, items, cents");
            assert_eq!(measured.rows, rows, "{name}: rows read");
            if matches!(series.variant, Variant::Tidemill | Variant::Plain) {
                assert_eq!(changed(measured), expected_changes, "{name}: documents changed by the updates");
            }
        }
    }
}

pub(crate) fn print(all: &[Series], csv_bytes: u64) {
    let shape = of(all, Variant::Floor, 1).measured[0].shape;
    println!("{} rows; {} documents with {} items, {} cents", all[0].measured[0].rows, shape.documents, shape.items, shape.cents);
    println!(
        "\n{:<22}{:>8}{:>10}{:>7}{:>12}{:>9}{:>9}{:>9}{:>9}",
        "medians", "read s", "result s", "cpu s", "rows/s", "held MB", "own MB", "peak MB", "disk MB"
    );
    for series in all {
        let seconds = series.median(|m| m.seconds);
        let optional = |value: fn(&Measured) -> Option<u64>| match value(&series.measured[0]) {
            Some(_) => format!("{:.0}", series.median(|m| value(m).unwrap_or_default() as f64) / 1e6),
            None => "-".into(),
        };
        let read = match series.variant {
            Variant::Durable => "-".into(),
            _ => format!("{:.2}", series.median(|m| m.read_seconds)),
        };
        let rows_per_s = series.measured[0].rows as f64 / seconds;
        let (held, peak) = (series.median(|m| m.held_bytes as f64) / 1e6, series.median(|m| m.peak_bytes as f64) / 1e6);
        let cpu = series.median(|m| m.cpu_seconds);
        let (own, disk) = (optional(|m| m.own_bytes), optional(|m| m.disk_bytes));
        println!("{:<22}{read:>8}{seconds:>10.2}{cpu:>7.2}{rows_per_s:>12.0}{held:>9.0}{own:>9}{peak:>9.0}{disk:>9}", series.name());
    }
    println!("\n{:<22}{:>30}{:>34}", "updates, us", "customer p50 / p99 / max", "seller p50 / p99 / max");
    for series in all.iter().filter(|s| s.measured[0].customer.is_some()) {
        let show = |of: fn(&Measured) -> Option<Updates>| {
            let figure = |value: fn(&Updates) -> f64| series.median(|m| of(m).as_ref().map_or(0.0, value));
            format!("{:.0} / {:.0} / {:.0}", figure(|u| u.p50_us), figure(|u| u.p99_us), figure(|u| u.max_us))
        };
        println!("{:<22}{:>30}{:>34}", series.name(), show(|m| m.customer), show(|m| m.seller));
    }
    let (customer, seller) = all[0].measured[0].customer.zip(all[0].measured[0].seller).expect("the first variant is updated");
    println!(
        "{} customer updates change {} documents, {} seller updates {}",
        updates::CUSTOMERS,
        customer.documents,
        updates::SELLERS,
        seller.documents
    );
    let mut workers: Vec<usize> = all.iter().map(|s| s.workers).collect();
    workers.sort_unstable();
    workers.dedup();
    for workers in workers.into_iter().filter(|w| all.iter().any(|s| s.workers == *w && s.variant == Variant::Tidemill)) {
        print_bars(all, workers, csv_bytes);
    }
}

fn print_bars(all: &[Series], workers: usize, csv_bytes: u64) {
    let [ours, durable, plain] = [Variant::Tidemill, Variant::Durable, Variant::Plain].map(|v| of(all, v, workers));
    let floor = of(all, Variant::Floor, 1);
    let seconds = |series: &Series| series.median(|m| m.seconds);
    let held = |series: &Series| series.median(|m| m.held_bytes as f64);
    let customer = |series: &Series, value: fn(Updates) -> f64| series.median(|m| m.customer.map_or(0.0, value));
    let seller = |series: &Series, value: fn(Updates) -> f64| series.median(|m| m.seller.map_or(0.0, value));
    println!("\nbars, {workers} worker{}", if workers == 1 { "" } else { "s" });
    bar("time to result, of the plain program's", seconds(ours) / seconds(plain), 0.5);
    bar("time to result, of the floor's", seconds(ours) / seconds(floor), 2.5);
    bar("resident after hydration, of the plain program's", held(ours) / held(plain), 0.25);
    bar("peak resident, of the CSVs' bytes", ours.median(|m| m.peak_bytes as f64) / csv_bytes as f64, 4.0);
    bar("customer update p50, of the plain program's", customer(ours, |u| u.p50_us) / customer(plain, |u| u.p50_us), 1.0);
    bar("customer update p99, of the plain program's", customer(ours, |u| u.p99_us) / customer(plain, |u| u.p99_us), 1.0);
    bar("seller update p99, of the plain program's", seller(ours, |u| u.p99_us) / seller(plain, |u| u.p99_us), 1.0 / 3.0);
    bar("time with the durable store, of that without", seconds(durable) / seconds(ours), 2.0);
}

fn bar(what: &str, ratio: f64, at_most: f64) {
    let verdict = if ratio <= at_most { "ok" } else { "MISSED" };
    println!("  {what:<52}{ratio:>7.2}  at most {at_most:.2}  {verdict}");
}

fn of(all: &[Series], variant: Variant, workers: usize) -> &Series {
    all.iter().find(|s| s.variant == variant && s.workers == workers).expect("every variant was measured")
}

impl Series {
    fn name(&self) -> String {
        let name = match self.variant {
            Variant::Tidemill => "Tidemill, in memory",
            Variant::Durable => "Tidemill, stored",
            Variant::Plain => "plain differential",
            Variant::Floor => return "floor".into(),
        };
        format!("{name}, {}", self.workers)
    }

    fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.measured.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}
