//! In which way a case does not hold. What is wrong with rows and what is wrong with a text are told apart, so that a case which is made
//! smaller stays wrong in the way it was.

use std::any::Any;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The spec is not taken.
    Refused(String),
    /// There is nothing to compare with: PostgreSQL fails on the query.
    Unanswered(String),
    /// The judges contradict each other.
    Judges(String),
    /// Rows, errors or the history are not what they must be.
    Rows(String),
    /// The engine, or the test, stopped.
    Panic(String),
    /// There is no end to it.
    Stuck(String),
}

impl Wrong {
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Wrong {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| Some(panic.downcast_ref::<&str>()?.to_string()));
        Wrong::Panic(text.unwrap_or_else(|| "a panic, told above".into()))
    }

    /// Of the same kind; what is about a text also for the same reason, which its first line says.
    pub(crate) fn is_like(&self, other: &Wrong) -> bool {
        match (self, other) {
            (Wrong::Refused(text), Wrong::Refused(other)) | (Wrong::Unanswered(text), Wrong::Unanswered(other)) => {
                text.lines().next() == other.lines().next()
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Refused(text)
            | Wrong::Unanswered(text)
            | Wrong::Judges(text)
            | Wrong::Rows(text)
            | Wrong::Panic(text)
            | Wrong::Stuck(text) => f.write_str(text),
        }
    }
}
