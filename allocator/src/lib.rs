//! The system's allocator, which ends the program with its own message and exit code when an allocation fails, instead of an abort with a
//! backtrace.
//!
//! It is a separate crate, since an allocator cannot be written without `unsafe`. Ending the program allocates nothing. `try_reserve` does not
//! return an error either: it ends the program too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

/// Ends the program if the system has no memory for an allocation.
#[derive(Debug)]
pub struct OrEnd {
    /// The help that is written to stderr after `error: no memory for N bytes more`.
    pub help: &'static str,
    pub exit_code: i32,
}

// SAFETY: every call is forwarded to the system's allocator under the caller's own guarantees, and its result is returned unless it is null.
unsafe impl GlobalAlloc for OrEnd {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.given(unsafe { System.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.given(unsafe { System.realloc(place, layout, size) }, size)
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

impl OrEnd {
    #[inline]
    fn given(&self, place: *mut u8, bytes: usize) -> *mut u8 {
        if place.is_null() {
            self.end(bytes);
        }
        place
    }

    /// Several threads may run this at once: the first one that exits ends the process.
    #[cold]
    fn end(&self, bytes: usize) -> ! {
        let mut text = [0u8; 1024];
        let mut left = &mut text[..];
        let _ = write!(left, "error: no memory for {bytes} bytes more\n   = help: {}\n", self.help);
        let unused = left.len();
        let used = text.len() - unused;
        // SAFETY: `text` has at least `used` bytes, and neither call depends on other state of this process.
        unsafe {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), used);
            libc::_exit(self.exit_code)
        }
    }
}

/// Lets all threads share this many arenas, unless `MALLOC_ARENA_MAX` in the environment says another number. glibc gives threads arenas of
/// their own, eight for each core, and what one thread frees in its arena is not used by the others. Call it before threads are started.
/// Does nothing with other C libraries.
pub fn share_arenas(count: u16) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: `mallopt` may be called at any time; the number is positive.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, i32::from(count.max(1)));
        }
    }
}

/// Returns freed memory to the system: glibc keeps most of what threads have freed, for example after a large load. Other threads may have to
/// wait for memory meanwhile. Does nothing with other C libraries.
pub fn return_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
