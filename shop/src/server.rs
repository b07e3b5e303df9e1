//! A shop on a MySQL or MariaDB server: loads it, and then changes it at a given rate.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::changes::ChangingShop;
use super::make::Shop;
use super::tables::{DATABASE, TABLES};
use super::text::{create_table, sql_change};

/// The number of `INSERT`s per transaction.
const INSERTS_PER_COMMIT: usize = 20;

/// Why the shop could not be loaded or changed.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("it is not a URL of the form mysql://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url,
    #[error("the database `{database}` has the tables {tables} already")]
    Exists { database: String, tables: String },
    /// The server's message, which only quotes our own statements and generated data.
    #[error("{0}")]
    Server(#[from] mysql_async::Error),
}

/// A connection to the database of the shop.
#[derive(Debug)]
pub struct ShopServer {
    connection: Conn,
    pub database: String,
}

impl ShopServer {
    /// Connects, and creates the database if it does not exist; [`DATABASE`] if the URL names none.
    pub async fn connect(url: &str) -> Result<ShopServer, ServerError> {
        let opts = Opts::from_url(url).map_err(|_| ServerError::Url)?;
        let database = opts.db_name().unwrap_or(DATABASE).to_string();
        let builder = OptsBuilder::from_opts(opts).db_name(None::<String>).setup(Vec::<String>::new());
        let mut connection = Conn::new(builder).await?;
        let quoted = database.replace('`', "``");
        connection.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{quoted}` DEFAULT CHARACTER SET utf8mb4")).await?;
        connection.query_drop(format!("USE `{quoted}`")).await?;
        connection.query_drop("SET NAMES utf8mb4").await?;
        Ok(ShopServer { connection, database })
    }

    /// Creates the six tables and inserts all rows. Fails if tables of these names exist, or drops them first if `replace` is true.
    pub async fn load(&mut self, shop: &Shop, replace: bool) -> Result<(), ServerError> {
        let present: Vec<String> = self.connection.query("SHOW TABLES").await?;
        let names: Vec<String> = TABLES.iter().map(|table| table.sql_name()).filter(|name| present.contains(name)).collect();
        if !names.is_empty() && !replace {
            return Err(ServerError::Exists { database: self.database.clone(), tables: names.join(", ") });
        }
        for name in names {
            self.connection.query_drop(format!("DROP TABLE `{name}`")).await?;
        }
        for table in &TABLES {
            let mut statement = Vec::new();
            create_table(table, &mut statement).expect("memory takes everything");
            self.connection.query_drop(statement).await?;
        }
        self.connection.query_drop("SET unique_checks = 0").await?;
        for table in &TABLES {
            let mut statements: Vec<Vec<u8>> = Vec::new();
            let Ok(()) = shop.inserts(table, |statement| {
                statements.push(statement.to_vec());
                Ok::<(), std::convert::Infallible>(())
            });
            for some in statements.chunks(INSERTS_PER_COMMIT) {
                self.connection.query_drop("BEGIN").await?;
                for statement in some {
                    self.connection.query_drop(statement.as_slice()).await?;
                }
                self.connection.query_drop("COMMIT").await?;
            }
        }
        Ok(self.connection.query_drop("SET unique_checks = 1").await?)
    }

    /// Executes the next transaction.
    pub async fn change(&mut self, changing: &mut ChangingShop) -> Result<(), ServerError> {
        self.connection.query_drop("BEGIN").await?;
        let mut statement = Vec::new();
        for change in changing.next_transaction() {
            statement.clear();
            sql_change(&change, &mut statement);
            self.connection.query_drop(statement.as_slice()).await?;
        }
        Ok(self.connection.query_drop("COMMIT").await?)
    }

    /// Executes `transactions` transactions (`None`: without end), `per_second` on average. If the server is too slow, the rate falls; at most
    /// one second of delay is made up.
    pub async fn keep_changing(
        &mut self,
        changing: &mut ChangingShop,
        per_second: f64,
        transactions: Option<u64>,
    ) -> Result<(), ServerError> {
        let every = Duration::from_secs_f64(1.0 / per_second);
        let mut due = Instant::now();
        let mut made = 0;
        while transactions.is_none_or(|wanted| made < wanted) {
            tokio::time::sleep_until(due.into()).await;
            self.change(changing).await?;
            made += 1;
            due = (due + every).max(Instant::now() - Duration::from_secs(1));
        }
        Ok(())
    }

    pub async fn disconnect(self) -> Result<(), ServerError> {
        Ok(self.connection.disconnect().await?)
    }
}
