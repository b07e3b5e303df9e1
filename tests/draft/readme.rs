//! The commands of the README, as they are written there.

use std::path::Path;
use std::process::Command;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::support::OwnServer;

/// The first block of commands of a section.
fn commands(section: &str) -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once(section).unwrap_or_else(|| panic!("the README has no section `{section}`"));
    let (_, block) = rest.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_minutes_with_your_own_database() {
    let server = OwnServer::start("MARIADB", "");
    let root = Opts::from_url(&server.url).unwrap();
    let mut conn = Conn::new(OptsBuilder::from_opts(root.clone()).prefer_socket(false)).await.unwrap();
    let schema = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/draft/film_rental.sql")).unwrap();
    let prepare = [
        "CREATE DATABASE shop CHARACTER SET utf8mb4",
        "CREATE USER tidemill IDENTIFIED BY 'secret'",
        "GRANT SELECT ON shop.* TO tidemill",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO tidemill",
        "USE shop",
    ];
    for statement in prepare.into_iter().chain(schema.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())) {
        conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let commands = commands("## Five minutes with your own database");
    let written = "127.0.0.1:3306";
    assert!(commands.contains(written), "{commands}");
    let commands = commands.replace(written, &format!("127.0.0.1:{}", root.tcp_port()));
    let program = Path::new(env!("CARGO_BIN_EXE_tidemill")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash").args(["-exc", &commands]).current_dir(folder.path()).env("PATH", path).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{stdout}{stderr}");
    // The preview, the documents and their changes are the same rows.
    let document = stdout.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no document:\n{stdout}{stderr}"));
    let shown = stdout.lines().filter(|line| *line == document).count();
    assert!(shown >= 2 && document.contains("\"address\""), "{shown} times:\n{stdout}{stderr}");
}
