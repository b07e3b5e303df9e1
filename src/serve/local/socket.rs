//! The socket of a state folder: binds it and connects to it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

const SOCKET: &str = "tidemill.sock";
/// The file with the path of the socket, if the path in the folder would be too long.
const ELSEWHERE: &str = "tidemill.sock.path";
/// `sun_path` has 108 bytes on Linux, including the terminating zero.
const MAX_PATH_BYTES: usize = 107;

/// The files of a bound socket; dropping it removes them.
#[derive(Debug)]
pub(super) struct SocketPath {
    paths: Vec<PathBuf>,
    folder: Option<PathBuf>,
}

/// Binds the folder's socket, accessible only to this user. The caller must have locked the folder, so an existing socket belongs to a dead
/// process.
pub(super) fn bind(dir: &Path, id: &str) -> io::Result<(UnixListener, SocketPath)> {
    let (own, elsewhere) = (dir.join(SOCKET), dir.join(ELSEWHERE));
    remove(&own)?;
    remove(&elsewhere)?;
    if own.as_os_str().len() <= MAX_PATH_BYTES {
        return Ok((listen(&own)?, SocketPath { paths: vec![own], folder: None }));
    }
    let folder = std::env::temp_dir().join(format!("tidemill-{}-{}", &id[..id.len().min(16)], std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let path = folder.join(SOCKET);
    let place = SocketPath { paths: vec![path.clone(), elsewhere.clone()], folder: Some(folder) };
    let listener = listen(&path)?;
    fs::write(&elsewhere, path.as_os_str().as_encoded_bytes())?;
    Ok((listener, place))
}

/// Connects to the engine that has the folder open; `None` if no engine listens.
pub(super) async fn connect(dir: &Path) -> io::Result<Option<UnixStream>> {
    let path = match fs::read_to_string(dir.join(ELSEWHERE)) {
        Ok(path) => PathBuf::from(path),
        Err(_) => dir.join(SOCKET),
    };
    if path.as_os_str().len() > MAX_PATH_BYTES {
        return Ok(None);
    }
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(stream)),
        // Reset: the engine died before it accepted the connection.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Best effort: the next engine removes what is left.
        for path in &self.paths {
            let _ = fs::remove_file(path);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
