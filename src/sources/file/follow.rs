//! Follows the files of a source: the changes file, and the file of each stream.
//!
//! In: the position to resume from. Out: a portion of each file in turn, as it is found; this is the order of arrival. A transaction of the
//! changes file stays one transaction. The rows of a stream that are found in one look are one transaction, or several if they are many.

use std::time::Duration;

use tokio::sync::mpsc;

use super::FileSource;
use super::changes::{ChangesFile, ReadEnd, ReadPortion};
use super::position::FilePosition;
use super::stream::{Arrived, StreamFile, StreamRead};
use super::transaction::BATCH;
use crate::sources::{Capture, Event, EventSender, SourceError};
use crate::value::Position;

/// How often the files are checked for new data.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Follows the files until the channel closes, or with `until_caught_up` to the ends of the files.
pub(super) async fn run(source: &FileSource, from: &Position, capture: Capture, out: EventSender) -> Result<(), SourceError> {
    let last = capture.until_caught_up;
    // Changes are looked up in the engine's rows as of this position, so these must be durable first.
    if source.changes.is_some() && capture.tables.iter().any(|table| !table.stream) {
        tokio::select! {
            reached = capture.held.wait_for(from) => reached?,
            () = out.closed() => return Ok(()),
        }
    }
    let files = Followed::open(source, FilePosition::read(from)?, &capture, last)?;
    if files.count() > 0 {
        return follow(files, last, &out).await;
    }
    if out.send(Event::CaughtUp).await.is_ok() && !last {
        out.closed().await;
    }
    Ok(())
}

/// `last` means to return at the ends of the files.
async fn follow(mut files: Followed, last: bool, out: &EventSender) -> Result<(), SourceError> {
    let mut ends = FileEnds { ended: vec![false; files.count()], unfinished: vec![None; files.count()], said: None };
    let mut caught_up = false;
    loop {
        let mut idle = true;
        for file in 0..files.count() {
            if last && ends.ended[file] {
                continue;
            }
            let portion;
            (files, portion) = read_on(files, file, out).await;
            for event in portion.events {
                ends.see(&event);
                if out.send(event).await.is_err() {
                    return Ok(());
                }
            }
            match portion.ended {
                None => idle = false,
                Some(ReadEnd::Failed(error)) => return Err(error),
                Some(ReadEnd::End(unfinished)) => (ends.ended[file], ends.unfinished[file]) = (true, unfinished),
            }
        }
        if idle
            && let Some(event) = ends.waiting()
            && out.send(event).await.is_err()
        {
            return Ok(());
        }
        let all = ends.ended.iter().all(|ended| *ended);
        if all && !caught_up && out.send(Event::CaughtUp).await.is_err() {
            return Ok(());
        }
        caught_up |= all;
        if last && caught_up || out.is_closed() {
            return Ok(());
        }
        if idle {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Reads the next portion of a file on a blocking thread, and sends the parts of a large transaction meanwhile.
async fn read_on(mut files: Followed, file: usize, out: &EventSender) -> (Followed, ReadPortion) {
    let (sender, mut parts) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        let portion = files.read(file, &mut |event| sender.blocking_send(event).is_ok());
        (files, portion)
    });
    while let Some(event) = parts.recv().await {
        if out.send(event).await.is_err() {
            break;
        }
    }
    drop(parts);
    reading.await.expect("reading does not panic")
}

/// The changes file, if any, has index 0; the files of streams follow.
#[derive(Debug)]
struct Followed {
    changes: Option<ChangesFile>,
    streams: Vec<StreamFile>,
    /// Used if there is no changes file, which otherwise has the position.
    position: FilePosition,
    /// Whether to return at the ends of the files.
    last: bool,
}

impl Followed {
    fn open(source: &FileSource, from: FilePosition, capture: &Capture, last: bool) -> Result<Followed, SourceError> {
        let (tables, mut streams) = (&capture.tables, Vec::new());
        for (index, table) in tables.iter().enumerate() {
            let options = source.table(&table.name).expect("`discover` gave this table");
            if options.is_followed() {
                let place = from.streams.get(&table.name).ok_or_else(|| unknown_place(&table.name))?;
                streams.push(StreamFile::open(index, table, options, source.bad_lines, place)?);
            }
        }
        let mut position = from;
        position.streams = streams.iter().map(|stream| (stream.name().to_string(), stream.place())).collect();
        let open = |path| ChangesFile::open(path, &position, tables, capture.held.clone(), &source.tables, source.bad_lines);
        let changes = source.changes.as_deref().map(open).transpose()?;
        Ok(Followed { changes, streams, position, last })
    }

    fn count(&self) -> usize {
        usize::from(self.changes.is_some()) + self.streams.len()
    }

    /// Reads the next portion of a file. The parts of a large transaction are passed to `large` instead.
    fn read(&mut self, file: usize, large: &mut dyn FnMut(Event) -> bool) -> ReadPortion {
        let stream = file.saturating_sub(usize::from(self.changes.is_some()));
        let position = match &mut self.changes {
            Some(changes) if file == 0 => return changes.read(large),
            Some(changes) => changes.position(),
            None => &mut self.position,
        };
        let stream = &mut self.streams[stream];
        match read_many(stream, self.last) {
            Ok(StreamRead::Rows(arrived)) => {
                position.streams.insert(stream.name().into(), stream.place());
                portion(arrived, position)
            }
            Ok(StreamRead::End(unfinished)) => ReadPortion { events: Vec::new(), ended: Some(ReadEnd::End(unfinished)) },
            Err(error) => ReadPortion { events: Vec::new(), ended: Some(ReadEnd::Failed(error)) },
        }
    }
}

/// Rows found in one look are one transaction, up to about this many.
const ROWS_AT_ONCE: usize = 1 << 15;

fn read_many(stream: &mut StreamFile, last: bool) -> Result<StreamRead, SourceError> {
    let mut all = match stream.read(last)? {
        StreamRead::Rows(arrived) => arrived,
        end @ StreamRead::End(_) => return Ok(end),
    };
    while all.failed.is_none() && all.deltas.len() < ROWS_AT_ONCE {
        match stream.read(last) {
            Ok(StreamRead::Rows(mut more)) => {
                all.deltas.append(&mut more.deltas);
                all.rejected.append(&mut more.rejected);
                all.failed = more.failed;
            }
            // The next look reports it again.
            Ok(StreamRead::End(_)) => break,
            Err(error) => all.failed = Some(error),
        }
    }
    Ok(StreamRead::Rows(all))
}

/// Converts rows of a stream to the events of a transaction that ends at this position.
fn portion(arrived: Arrived, position: &FilePosition) -> ReadPortion {
    let Arrived { deltas, rejected, failed } = arrived;
    let (changed, anything) = (!deltas.is_empty(), !deltas.is_empty() || !rejected.is_empty() || failed.is_none());
    let mut events: Vec<Event> = rejected.into_iter().map(Event::Rejected).collect();
    let mut deltas = deltas.into_iter().peekable();
    while deltas.peek().is_some() {
        events.push(Event::Changes(deltas.by_ref().take(BATCH).collect()));
    }
    let (position, committed_ms) = (position.position(), None);
    match (changed, anything) {
        (true, _) => events.push(Event::Commit { position, committed_ms }),
        (false, true) => events.push(Event::Progress { position, committed_ms }),
        (false, false) => {}
    }
    ReadPortion { events, ended: failed.map(ReadEnd::Failed) }
}

/// Which files have been read to the end, and what each of them waits for.
#[derive(Debug)]
struct FileEnds {
    ended: Vec<bool>,
    unfinished: Vec<Option<String>>,
    /// The last reported text; cleared by the next commit.
    said: Option<String>,
}

impl FileEnds {
    fn see(&mut self, event: &Event) {
        if matches!(event, Event::Commit { .. } | Event::Progress { .. }) {
            self.said = None;
        }
    }

    /// Returns what is waited for, unless it was already reported.
    fn waiting(&mut self) -> Option<Event> {
        let all: Vec<&str> = self.unfinished.iter().flatten().map(String::as_str).collect();
        let reason = (!all.is_empty()).then(|| all.join("; "));
        if reason == self.said {
            return None;
        }
        self.said.clone_from(&reason);
        reason.map(Event::Waiting)
    }
}

fn unknown_place(stream: &str) -> SourceError {
    SourceError::Stopped {
        message: format!("the stored position does not say how far the file of the stream `{stream}` was read"),
        help: Some(
            "the state was built before files of streams were followed, or before this stream had a file; start with an empty state folder"
                .into(),
        ),
    }
}
