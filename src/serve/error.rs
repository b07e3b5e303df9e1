//! Why a question has no answer.

use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AccessError {
    pub kind: AccessErrorKind,
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessErrorKind {
    /// There is no such view, key, position, source, sink or state.
    NotFound,
    /// The question is invalid.
    Invalid,
    /// An error while reading the answer.
    Failed,
    /// The connection to the engine closed before the answer was complete.
    CutOff,
}

impl AccessError {
    pub(super) fn not_found(message: String, help: Option<String>) -> AccessError {
        AccessError { kind: AccessErrorKind::NotFound, message, help }
    }

    pub(super) fn invalid(message: String) -> AccessError {
        AccessError { kind: AccessErrorKind::Invalid, message, help: None }
    }

    pub(super) fn failed(message: String) -> AccessError {
        AccessError { kind: AccessErrorKind::Failed, message, help: None }
    }

    pub(super) fn cut_off() -> AccessError {
        let message = "the engine stopped before its answer was complete".to_string();
        AccessError { kind: AccessErrorKind::CutOff, message, help: Some("ask again".into()) }
    }
}

impl From<StoreError> for AccessError {
    fn from(error: StoreError) -> AccessError {
        let (kind, help) = match &error {
            StoreError::Compacted { .. } => (AccessErrorKind::NotFound, Some("read the whole view with --from start".to_string())),
            StoreError::NoState { .. } => (AccessErrorKind::NotFound, error.help()),
            _ => (AccessErrorKind::Failed, error.help()),
        };
        AccessError { kind, message: error.to_string(), help }
    }
}
