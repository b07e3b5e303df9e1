//! The commands, one file each.

pub mod generate;

use clap::{Parser, Subcommand};

/// Incremental views of database changes
#[derive(Debug, Parser)]
#[command(name = "tidemill", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(generate::Generate),
}

/// Runs the command that was typed.
pub fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Generate(generate) => generate.run(),
    }
}
