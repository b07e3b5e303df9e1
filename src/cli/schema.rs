//! `tidemill schema`: the JSON Schema of spec files.

use clap::Args;

use super::connect::KINDS;
use super::failure::Failure;
use super::print;
use crate::spec::json_schema;

/// Print the JSON Schema of spec files, for editors
#[derive(Debug, Args)]
pub(super) struct PrintSchema {}

impl PrintSchema {
    pub(super) fn run(self) -> Result<(), Failure> {
        print(&format!("{:#}\n", json_schema(KINDS)))
    }
}
