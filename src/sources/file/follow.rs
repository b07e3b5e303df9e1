//! Follows the files of a source: the changes file, and the file of each stream.
//!
//! In: the position to go on from. Out: what comes, a portion of one file after a portion of another, as it is found: that is the order of arrival. A
//! transaction of the changes file stays one; the rows of a stream that are there when its file is looked at are one, or several where they are many.

use std::time::Duration;

use tokio::sync::mpsc;

use super::FileSource;
use super::changes::{ChangesFile, Ended, Portion};
use super::position::FilePosition;
use super::stream::{Arrived, Read, StreamFile};
use super::transaction::BATCH;
use crate::sources::{Capture, Event, EventSender, SourceError};
use crate::value::Position;

/// How often a file is looked at for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Follows for as long as it is listened to, or up to the files' ends.
pub(super) async fn run(source: &FileSource, from: &Position, capture: Capture, out: EventSender) -> Result<(), SourceError> {
    let last = capture.until_caught_up;
    // What changes is looked up in what is held as of this position, so that must be there first.
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

/// `last`: the files' ends are the end.
async fn follow(mut files: Followed, last: bool, out: &EventSender) -> Result<(), SourceError> {
    let mut ends = Ends { ended: vec![false; files.count()], unfinished: vec![None; files.count()], said: None };
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
                Some(Ended::Failed(error)) => return Err(error),
                Some(Ended::End(unfinished)) => (ends.ended[file], ends.unfinished[file]) = (true, unfinished),
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

/// Reads the next portion of a file, on a thread that may block; the parts of a large transaction go out meanwhile.
async fn read_on(mut files: Followed, file: usize, out: &EventSender) -> (Followed, Portion) {
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

/// The changes file is the first, if there is one; then come those of the streams.
#[derive(Debug)]
struct Followed {
    changes: Option<ChangesFile>,
    streams: Vec<StreamFile>,
    /// Where there is no changes file, which has it else.
    position: FilePosition,
    /// The files' ends are the end.
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

    /// The next portion of a file. The parts of a large transaction go to `large` instead.
    fn read(&mut self, file: usize, large: &mut dyn FnMut(Event) -> bool) -> Portion {
        let stream = file.saturating_sub(usize::from(self.changes.is_some()));
        let position = match &mut self.changes {
            Some(changes) if file == 0 => return changes.read(large),
            Some(changes) => changes.position(),
            None => &mut self.position,
        };
        let stream = &mut self.streams[stream];
        match read_many(stream, self.last) {
            Ok(Read::Rows(arrived)) => {
                position.streams.insert(stream.name().into(), stream.place());
                portion(arrived, position)
            }
            Ok(Read::End(unfinished)) => Portion { events: Vec::new(), ended: Some(Ended::End(unfinished)) },
            Err(error) => Portion { events: Vec::new(), ended: Some(Ended::Failed(error)) },
        }
    }
}

/// Rows that are there at once are one transaction, up to so many or a few more.
const ROWS_AT_ONCE: usize = 1 << 15;

fn read_many(stream: &mut StreamFile, last: bool) -> Result<Read, SourceError> {
    let mut all = match stream.read(last)? {
        Read::Rows(arrived) => arrived,
        end @ Read::End(_) => return Ok(end),
    };
    while all.failed.is_none() && all.deltas.len() < ROWS_AT_ONCE {
        match stream.read(last) {
            Ok(Read::Rows(mut more)) => {
                all.deltas.append(&mut more.deltas);
                all.rejected.append(&mut more.rejected);
                all.failed = more.failed;
            }
            // It is said again at the next look.
            Ok(Read::End(_)) => break,
            Err(error) => all.failed = Some(error),
        }
    }
    Ok(Read::Rows(all))
}

/// Rows of a stream as a transaction up to this position.
fn portion(arrived: Arrived, position: &FilePosition) -> Portion {
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
    Portion { events, ended: failed.map(Ended::Failed) }
}

/// Which files' ends were seen, and what is waited for there.
#[derive(Debug)]
struct Ends {
    ended: Vec<bool>,
    unfinished: Vec<Option<String>>,
    /// What was said last, unless something has come since.
    said: Option<String>,
}

impl Ends {
    fn see(&mut self, event: &Event) {
        if matches!(event, Event::Commit { .. } | Event::Progress { .. }) {
            self.said = None;
        }
    }

    /// What is waited for, unless it was said already.
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
