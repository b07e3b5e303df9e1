//! Reads tables from recorded binary logs, with the decoder of the MySQL source.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::sources::mysql::recorded;
use crate::sources::{Capture, EventSender, Source, SourceError, Table};

/// The files of one log, in order.
#[derive(Debug)]
pub(super) struct RecordedSource {
    pub(super) paths: Vec<PathBuf>,
}

impl RecordedSource {
    async fn tables(&self) -> Result<Vec<Table>, SourceError> {
        let paths = self.paths.clone();
        tokio::task::spawn_blocking(move || recorded::discover(&paths)).await.expect("discovery does not panic")
    }
}

#[async_trait]
impl Source for RecordedSource {
    async fn discover(&self, names: &[String]) -> Result<Vec<Table>, SourceError> {
        let all = self.tables().await?;
        let find = |name: &String| {
            all.iter().find(|table| table.name == *name).cloned().ok_or_else(|| SourceError::Invalid {
                message: format!("there is no table `{name}` in the recorded log"),
                table: Some(name.clone()),
                help: None,
            })
        };
        names.iter().map(find).collect()
    }

    async fn table_names(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.tables().await?.into_iter().map(|table| table.name).collect())
    }

    /// False, because the logs are read from their beginning.
    fn captures_the_present(&self) -> bool {
        false
    }

    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError> {
        recorded::run(&self.paths, capture, out).await
    }
}
