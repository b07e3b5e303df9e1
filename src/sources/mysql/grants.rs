//! Finds privileges that the user lacks, and the statements that grant them.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::errors::query_error;
use super::server::{Flavour, Server, one};
use crate::sources::{Finding, Severity, SourceError};

const DOING: &str = "looking at the user's grants";

/// Checks the privileges for reading the log and for taking a snapshot.
///
/// Both servers need REPLICATION SLAVE to read the log, and REPLICATION CLIENT to see what is left out of it (reported in `preflight`). A
/// snapshot needs nothing more at MariaDB; at MySQL it needs one of several sets of privileges to read its log position.
pub(super) async fn findings(conn: &mut Conn, server: &Server) -> Result<Vec<Finding>, SourceError> {
    let user = current_user(conn).await?;
    let grants: Vec<String> = conn.query("SHOW GRANTS").await.map_err(|e| query_error(DOING, e))?;
    let grants = Grants(grants);
    // SHOW GRANTS does not list the privileges of a role.
    if grants.has_role() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    let mut lacks = |message: &str, fix: String| {
        findings.push(Finding { severity: Severity::Error, message: message.into(), fix: Some(fix) });
    };
    if !grants.has("REPLICATION SLAVE") {
        lacks("the user may not read the server's log", format!("GRANT REPLICATION SLAVE ON *.* TO {user};"));
    }
    if server.flavour == Flavour::Mysql {
        let by_status = grants.has("BACKUP_ADMIN");
        let by_lock = grants.has("REPLICATION CLIENT") && ["LOCK TABLES", "RELOAD", "FLUSH_TABLES"].iter().any(|p| grants.has(p));
        if !by_status && !by_lock {
            lacks(
                "the user may not read the log position that a snapshot needs",
                format!("GRANT BACKUP_ADMIN ON *.* TO {user}; GRANT SELECT ON performance_schema.log_status TO {user};"),
            );
        }
    }
    Ok(findings)
}

/// The finding for a user that may not see whether captured databases are in the log.
pub(super) async fn unseen_filters(conn: &mut Conn) -> Result<Finding, SourceError> {
    let user = current_user(conn).await?;
    Ok(Finding {
        severity: Severity::Error,
        message:
            "the user may not see whether the server keeps databases out of its log (binlog_do_db, binlog_ignore_db); their changes would \
                  be missed"
                .into(),
        fix: Some(format!("GRANT REPLICATION CLIENT ON *.* TO {user};")),
    })
}

/// The current user, quoted for a statement.
async fn current_user(conn: &mut Conn) -> Result<String, SourceError> {
    let user: String = one(conn, "SELECT CURRENT_USER()", DOING).await?;
    Ok(user.rsplit_once('@').map_or(user.clone(), |(name, host)| format!("'{name}'@'{host}'")))
}

/// The rows of SHOW GRANTS.
struct Grants(Vec<String>);

impl Grants {
    /// Whether a privilege is granted, on everything or on some objects.
    fn has(&self, privilege: &str) -> bool {
        self.0.iter().any(|grant| {
            let listed = grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON ")).map_or("", |(list, _)| list);
            let is_all = grant.starts_with("GRANT ALL PRIVILEGES ON *.*");
            is_all || listed.split(',').any(|listed| listed.trim() == privilege)
        })
    }

    fn has_role(&self) -> bool {
        self.0.iter().any(|grant| !grant.contains(" ON ") && grant.contains(" TO "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_found() {
        let grants =
            Grants(vec!["GRANT SELECT, REPLICATION SLAVE ON *.* TO `u`@`%`".into(), "GRANT BACKUP_ADMIN ON *.* TO `u`@`%`".into()]);
        assert!(grants.has("REPLICATION SLAVE") && grants.has("BACKUP_ADMIN") && !grants.has("RELOAD") && !grants.has_role());
        assert!(Grants(vec!["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` IDENTIFIED BY PASSWORD '*0'".into()]).has("RELOAD"));
        assert!(!Grants(vec!["GRANT ALL PRIVILEGES ON `x`.* TO `u`@`%`".into()]).has("RELOAD"));
        assert!(Grants(vec!["GRANT `r`@`%` TO `u`@`%`".into()]).has_role());
    }
}
