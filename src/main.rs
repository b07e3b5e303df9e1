use std::process::ExitCode;

use tidemill_allocator::OrEnd;

/// Limits that count what a program asks for (`ulimit -v`, `ulimit -d`, no overcommitment) are met here, at once.
#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd {
    help: "allow more (`ulimit -v`, `ulimit -d`), or maintain less: `tidemill explain` estimates what each view holds. A state is as of its last commit",
    exit_code: 1,
};

fn main() -> ExitCode {
    tidemill::cli::main()
}
