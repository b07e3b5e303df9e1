//! `tidemill schema`: prints the JSON Schema of spec files.

use clap::Args;

use super::connect::KINDS;
use super::failure::CommandError;
use super::print;
use crate::spec::json_schema;

/// Print the JSON Schema of spec files, for completion and checks in editors
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {}

impl SchemaArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        print(&format!("{:#}\n", json_schema(KINDS)))
    }
}
