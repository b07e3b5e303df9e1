//! A server of a test's own: with options that others would not want, or to be restarted.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::unique_name;

/// Started by `tests/servers` as a run of its own, and stopped with this. One that is left behind by a crash is swept by the next start.
#[derive(Debug)]
pub(crate) struct OwnServer {
    kind: String,
    run: String,
    /// For root.
    pub(crate) url: String,
}

impl OwnServer {
    /// Of `kind` (`"MARIADB"` or `"MYSQL"`), with more options on its command line.
    pub(crate) fn start(kind: &str, options: &str) -> OwnServer {
        let run = unique_name();
        let mut command = servers(&run);
        command.args(["start", &kind.to_lowercase()]).env(format!("TIDEMILL_TEST_{kind}_OPTIONS"), options);
        let started = succeeded(command.output().expect("tests/servers can be run"));
        let export = format!("export TIDEMILL_TEST_{kind}=");
        let url = started.lines().find_map(|line| line.strip_prefix(&export)).expect("it prints the URL").to_owned();
        OwnServer { kind: kind.to_lowercase(), run, url }
    }

    /// Ends it and starts it again on its data; it may not answer yet.
    pub(crate) fn restart(&self) {
        succeeded(servers(&self.run).args(["restart", &self.kind]).output().unwrap());
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = servers(&self.run).arg("stop").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The script, without the servers that the tests share.
fn servers(run: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers"));
    command.env("TIDEMILL_TEST_RUN", run).env("TIDEMILL_TEST_OWNER", std::process::id().to_string());
    for kind in ["MARIADB", "MYSQL", "MONGODB", "POSTGRES"] {
        command.env_remove(format!("TIDEMILL_TEST_{kind}"));
    }
    command
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
