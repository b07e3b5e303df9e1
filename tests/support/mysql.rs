//! A fresh database on the MariaDB or MySQL test server.

use anyhow::Context;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::{finally, server_url, unique_name};

/// A database of a test's own with a user of its own; both are dropped with this.
#[derive(Debug)]
pub(crate) struct MysqlDatabase {
    pub(crate) name: String,
    /// The user has what a source needs and no more: SELECT and LOCK TABLES here, REPLICATION SLAVE and REPLICATION CLIENT, and on
    /// MySQL BACKUP_ADMIN and `performance_schema.log_status`. The name is the database's.
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    root: Opts,
}

impl MysqlDatabase {
    /// On the server of `kind`: `"MARIADB"` or `"MYSQL"`.
    pub(crate) async fn create(kind: &str) -> MysqlDatabase {
        MysqlDatabase::create_at(kind, &server_url(kind)).await
    }

    /// On a server of `kind` that root reaches by this URL.
    pub(crate) async fn create_at(kind: &str, url: &str) -> MysqlDatabase {
        let root = Opts::from_url(url).expect("a mysql:// URL");
        let name = unique_name();
        let database = MysqlDatabase {
            user: name.clone(),
            password: format!("pw {name}/@:"),
            host: root.ip_or_hostname().to_owned(),
            port: root.tcp_port(),
            root,
            name,
        };
        let mut server = Conn::new(database.root.clone()).await.expect("a login at the test server");
        for statement in database.creation(kind) {
            server.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        server.disconnect().await.unwrap();
        database
    }

    fn creation(&self, kind: &str) -> Vec<String> {
        let (name, user, password) = (&self.name, &self.user, &self.password);
        let mut statements = vec![
            format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
            format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
            format!("GRANT SELECT, LOCK TABLES ON {name}.* TO '{user}'@'%'"),
            format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{user}'@'%'"),
        ];
        if kind == "MYSQL" {
            statements.push(format!("GRANT BACKUP_ADMIN ON *.* TO '{user}'@'%'"));
            statements.push(format!("GRANT SELECT ON performance_schema.log_status TO '{user}'@'%'"));
        }
        statements
    }

    /// What a spec's source takes as `url`, with the user's password in it.
    pub(crate) fn url(&self) -> String {
        let password: String = self.password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("mysql://{}:{password}@{}:{}/{}", self.user, self.host, self.port, self.name)
    }

    /// The same for root.
    pub(crate) fn root_url(&self) -> String {
        let (user, password) = (self.root.user().unwrap_or_default(), self.root.pass().unwrap_or_default());
        format!("mysql://{user}:{password}@{}:{}/{}", self.host, self.port, self.name)
    }

    /// A connection as root with this database chosen.
    pub(crate) async fn connect(&self) -> Conn {
        let options = OptsBuilder::from_opts(self.root.clone()).db_name(Some(&self.name));
        Conn::new(options).await.expect("a login at the test server")
    }

    /// Runs statements as root, one after the other on one connection.
    pub(crate) async fn execute(&self, statements: &[&str]) {
        let mut connection = self.connect().await;
        for statement in statements {
            connection.query_drop(*statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.disconnect().await.unwrap();
    }
}

impl Drop for MysqlDatabase {
    fn drop(&mut self) {
        finally(&format!("dropping the database {}", self.name), async {
            let mut server = Conn::new(self.root.clone()).await?;
            // A reader that is still there would hold the metadata lock and with it the DROP.
            server.query_drop("SET lock_wait_timeout = 5").await?;
            server.query_drop(format!("DROP USER IF EXISTS '{}'@'%'", self.user)).await?;
            server.query_drop(format!("DROP DATABASE IF EXISTS {}", self.name)).await.context("DROP DATABASE")?;
            Ok(server.disconnect().await?)
        });
    }
}
