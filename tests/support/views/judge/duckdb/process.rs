//! A process that answers requests, a line of JSON each. One that ends, is silent or says something else has no answer: never an empty one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<std::io::Result<String>>,
}

impl Process {
    /// What it says on stderr stands on that of the test.
    pub(crate) fn start(command: &mut Command) -> Process {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let requests = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (sender, answers) = channel();
        std::thread::spawn(move || lines.into_iter().try_for_each(|line| sender.send(line)));
        Process { child, requests, answers }
    }

    /// Fails with the reason why there is no answer; the process is of no use then.
    pub(crate) fn ask<A: DeserializeOwned>(&mut self, request: &Value, longest: Duration) -> Result<A, String> {
        // One that has ended takes none; why is said below.
        let _ = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        match self.answers.recv_timeout(longest) {
            Ok(line) => {
                let line = line.map_err(|error| format!("its answer cannot be read: {error}"))?;
                serde_json::from_str(&line).map_err(|error| format!("it says what is no answer ({error}): {line}"))
            }
            Err(RecvTimeoutError::Timeout) => Err(format!("it says nothing for {longest:?}")),
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => Err(format!("it ended without an answer ({status}); it may have said above why")),
                Err(error) => Err(format!("it ended without an answer: {error}")),
            },
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
