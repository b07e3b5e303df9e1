use std::process::ExitCode;

use tidemill_allocator::OrEnd;

/// Limits that count what a program asks for (`ulimit -v`, `ulimit -d`, no overcommitment) are met here, at once.
#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd {
    help: "raise the limit (`ulimit -v`, `ulimit -d`), or maintain fewer views: `tidemill explain` estimates the memory of each. The last commit is intact",
    exit_code: 1,
};

fn main() -> ExitCode {
    tidemill::cli::main()
}
