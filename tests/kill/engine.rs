//! The state folder, the process that maintains it until it dies, and those that ask it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::support::{Finished, Program, Running};

const LONG: Duration = Duration::from_secs(120);
const STATE: &str = "state";

pub(crate) struct Engine {
    program: Program,
    /// Held while somebody asks, and while the folder is removed.
    folder: Mutex<()>,
}

impl Engine {
    pub(crate) fn new(spec: &str) -> Engine {
        let program = Program::new().deadline(LONG);
        program.write("shop.yaml", spec);
        Engine { program, folder: Mutex::new(()) }
    }

    /// Starts a process. Whoever asks meanwhile is not in its way.
    pub(crate) fn start(&self, options: &[&str], fault: Option<&str>) -> Running {
        let arguments = [&["run", "shop.yaml", "--state", STATE], options].concat();
        let variables: Vec<_> = fault.map(|fault| ("TIDEMILL_FAULT", fault)).into_iter().collect();
        self.program.start_with(&variables, &arguments)
    }

    /// Runs a command that asks the folder or whoever has it.
    pub(crate) fn ask(&self, command: &[&str]) -> Finished {
        let _folder = self.taken();
        self.program.run(&[command, &["--state", STATE]].concat())
    }

    /// The answer to a question that must be answered.
    pub(crate) fn answer(&self, command: &[&str]) -> String {
        let answered = self.ask(command);
        assert_eq!(answered.code, Some(0), "{command:?}: {}", answered.stderr);
        answered.stdout
    }

    /// Nothing must run.
    pub(crate) fn forget_state(&self) {
        let _folder = self.taken();
        match std::fs::remove_dir_all(self.program.folder().join(STATE)) {
            // Killed before it was made.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.expect("the folder goes"),
        }
    }

    fn taken(&self) -> MutexGuard<'_, ()> {
        self.folder.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
