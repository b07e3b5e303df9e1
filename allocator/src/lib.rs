//! The system's allocator, except that where it has no more memory the program ends with a message of its own and an exit code, instead of
//! an abort with a backtrace.
//!
//! A crate of its own, since an allocator cannot be written without `unsafe`. Nothing is allocated once the memory has ended. Whoever asks with
//! `try_reserve` gets no error either: the program ends there too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

/// Ends the program where the system gives no memory.
#[derive(Debug)]
pub struct OrEnd {
    /// What is written to stderr behind `error: no memory for N bytes more`.
    pub help: &'static str,
    pub exit_code: i32,
}

// SAFETY: every call goes to the system's allocator with the caller's own promises, and what it gives is passed on unless it is null.
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

    /// Several threads may come here at once: the first to write ends all.
    #[cold]
    fn end(&self, bytes: usize) -> ! {
        let mut text = [0u8; 1024];
        let mut left = &mut text[..];
        let _ = write!(left, "error: no memory for {bytes} bytes more\n   = help: {}\n", self.help);
        let unused = left.len();
        let used = text.len() - unused;
        // SAFETY: the bytes are there, and neither call needs anything else of this process.
        unsafe {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), used);
            libc::_exit(self.exit_code)
        }
    }
}
