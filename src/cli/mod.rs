//! The commands, one file each.
//!
//! Exit codes: 0 success, 1 failed while running, 2 the command or the spec is wrong, 3 a view, key or sink was not found.

mod apply;
mod bytes;
mod check;
mod completions;
mod connect;
mod discover;
mod draft;
mod errors;
mod estimates;
mod explain;
mod failure;
#[cfg(feature = "generate")]
pub mod generate;
mod get;
mod man;
mod memory;
mod preview;
mod run;
mod schema;
mod show;
mod sink;
mod status;
mod tail;
mod verify;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::CommandError;

/// Keep views of databases and files up to date, incrementally
#[derive(Debug, Parser)]
#[command(name = "tidemill", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Draft(draft::DraftArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Preview(preview::PreviewArgs),
    Run(run::RunArgs),
    Apply(apply::ApplyArgs),
    Get(get::GetArgs),
    Tail(tail::TailArgs),
    Errors(errors::ErrorsArgs),
    Status(status::StatusArgs),
    Sink(sink::SinkArgs),
    Verify(verify::VerifyArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    #[cfg(feature = "generate")]
    Generate(generate::GenerateArgs),
}

/// Runs the command of the command line. Returns its exit code.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Draft(draft) => draft.run(),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Preview(preview) => preview.run(),
        Command::Run(run) => run.run(),
        Command::Apply(apply) => apply.run(),
        Command::Get(get) => get.run(),
        Command::Tail(tail) => tail.run(),
        Command::Errors(errors) => errors.run(),
        Command::Status(status) => status.run(),
        Command::Sink(sink) => sink.run(),
        Command::Verify(verify) => verify.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        #[cfg(feature = "generate")]
        Command::Generate(generate) => generate.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// All commands with their options and help.
fn command() -> clap::Command {
    Cli::command()
}

/// The async runtime for commands that connect to servers or to a running engine.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::running(format!("cannot start the async runtime: {e}"), None))
}

/// Writes to stdout. A closed pipe (`| head`) is not an error.
fn print(text: &str) -> Result<(), CommandError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::running(format!("cannot write to stdout: {error}"), None)),
        _ => Ok(()),
    }
}
