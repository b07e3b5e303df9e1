//! Streams' files that are appended to in random pieces while they are followed, with stops at random moments: the committed rows are those
//! of a snapshot of the whole file, in the same order.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

const CASES: u64 = 16;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// The committed rows, and the rows since then, which a stop loses.
#[derive(Default)]
struct Committed {
    rows: Vec<Vec<u8>>,
    rejected: Vec<(String, String)>,
    from: Option<Position>,
    open: (Vec<Vec<u8>>, Vec<(String, String)>),
}

impl Committed {
    fn take(&mut self, event: Event) {
        match event {
            Event::Rows { rows, .. } => self.open.0.extend(rows.iter().map(<[u8]>::to_vec)),
            Event::Changes(deltas) => self.open.0.extend(deltas.iter().map(|delta| delta.row.to_vec())),
            Event::Rejected(Rejected { place, reason, .. }) => self.open.1.push((place, reason)),
            Event::SnapshotDone { position } | Event::Commit { position, .. } | Event::Progress { position, .. } => {
                self.rows.append(&mut self.open.0);
                self.rejected.append(&mut self.open.1);
                self.from = Some(position);
            }
            Event::SnapshotPlan { .. } | Event::CaughtUp | Event::Waiting(_) => {}
        }
    }

    /// A run that ends at the end of the file, or when `stop` completes.
    async fn run(&mut self, source: &dyn Source, until_caught_up: bool, stop: impl Future<Output = ()>) {
        self.open = Default::default();
        let tables = discovered(source).await.unwrap();
        let (sender, mut events) = mpsc::channel(1);
        let running = source.run(Capture { held: nothing_held(&tables, None), tables, from: self.from.clone(), until_caught_up }, sender);
        tokio::pin!(running, stop);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => return running.await.unwrap(),
                },
                () = &mut stop => return,
                ended = &mut running => {
                    while let Ok(event) = events.try_recv() {
                        self.take(event);
                    }
                    return ended.unwrap();
                }
            }
        }
    }
}

fn source_of(format: &str, path: &Path) -> Box<dyn Source> {
    source(json!({"tables": {"a": {format: path, "stream": true, "columns": {"sensor": "text", "reading": "int32"}}}}))
}

/// Records, some of which are bad, empty, or have several lines.
fn text_of(format: &str, random: &mut Random) -> String {
    let end = if random.below(2) == 0 { "\n" } else { "\r\n" };
    let mut text = String::new();
    for n in 0..random.below(400) {
        text += &match (random.below(12), format) {
            (0, _) => String::new(),
            (1, "csv") => "bad".into(),
            (1, _) => "{\"bad\": 1}".into(),
            (2, _) => "nothing of \u{1f30a}".into(),
            (3, "csv") => format!("\"a \"\"quoted\"\", \r\n\n s\u{e3}o\",{n}"),
            (4, "csv") => format!(",-{n}"),
            (_, "csv") => format!("sensor-{},{n}", n % 5),
            _ => format!("{{\"sensor\": \"}} s\u{e3}o {}\", \"reading\": {n}}}", n % 5),
        };
        text += end;
    }
    text
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

async fn appended_and_stopped(seed: u64) {
    let mut random = Random(seed);
    let format = if seed.is_multiple_of(2) { "csv" } else { "jsonl" };
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a");
    let header = if format == "csv" { "sensor,reading\n" } else { "" };
    std::fs::write(&path, header).unwrap();
    let source = source_of(format, &path);
    let text = text_of(format, &mut random);
    let mut rest = text.as_bytes();
    let mut committed = Committed::default();
    while !rest.is_empty() {
        let pieces = 1 + random.below(6);
        let writing = async {
            for _ in 0..pieces {
                let (piece, more) = rest.split_at(rest.len().min(random.below(600) as usize));
                append(&path, piece);
                rest = more;
                tokio::time::sleep(Duration::from_millis(random.below(90))).await;
            }
        };
        committed.run(&*source, false, writing).await;
    }
    committed.run(&*source, true, std::future::pending()).await;
    let mut right = Committed::default();
    right.run(&*source, true, std::future::pending()).await;
    assert!(committed.rows == right.rows, "seed {seed}: {} rows and not {}", committed.rows.len(), right.rows.len());
    assert_eq!(committed.rejected, right.rejected, "seed {seed}");
    assert!(right.rows.len() + right.rejected.len() >= text.lines().count() / 4, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_in_pieces_and_read_with_stops_is_the_whole_file() {
    let first = std::env::var("TIDEMILL_STREAM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let cases = std::env::var("TIDEMILL_STREAM_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    futures::future::join_all((first..first + cases).map(appended_and_stopped)).await;
}
