//! The commands, one file each.
//!
//! Exit codes: 0 done, 1 failed while running, 2 the command or the spec is wrong, 3 no such view or key.

mod bytes;
mod check;
mod connect;
mod discover;
mod errors;
mod explain;
mod failure;
pub mod generate;
mod get;
mod memory;
mod run;
mod schema;
mod show;
mod sink;
mod status;
mod tail;
mod verify;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Incremental views of database changes
#[derive(Debug, Parser)]
#[command(name = "tidemill", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Explain(explain::Explain),
    Run(run::Run),
    Get(get::Get),
    Tail(tail::Tail),
    Errors(errors::Errors),
    Status(status::Status),
    Sink(sink::Sink),
    Verify(verify::Verify),
    Schema(schema::PrintSchema),
    Generate(generate::Generate),
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Run(run) => run.run(),
        Command::Get(get) => get.run(),
        Command::Tail(tail) => tail.run(),
        Command::Errors(errors) => errors.run(),
        Command::Status(status) => status.run(),
        Command::Sink(sink) => sink.run(),
        Command::Verify(verify) => verify.run(),
        Command::Schema(schema) => schema.run(),
        Command::Generate(generate) => generate.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A runtime for commands that talk to something.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| Failure::running(format!("no runtime: {e}"), None))
}

/// Writes to stdout. A reader that has had enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::running(format!("cannot write to stdout: {error}"), None)),
        _ => Ok(()),
    }
}
