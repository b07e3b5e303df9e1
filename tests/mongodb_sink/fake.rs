//! A server that speaks MongoDB's wire protocol and has transactions, in this process: no package registry has a real one.
//!
//! In: OP_MSG over TCP (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>), errors to inject. Out: the answers of a primary of a
//! replica set, the state that readers see after each commit, and every rule of a transaction that was broken (the drivers' transactions
//! specification: `startTransaction` on the first command only, `autocommit: false` on each, one number for one transaction, a read concern on
//! the first only, a write concern on the last only).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bson::{Bson, Document, doc, serialize_to_vec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Collections by name, documents by the text of their `_id`.
pub(crate) type Collections = BTreeMap<String, BTreeMap<String, Document>>;

#[derive(Debug, Default)]
struct State {
    committed: Collections,
    /// What readers could see, one after the other.
    history: Vec<Collections>,
    sessions: HashMap<String, Transaction>,
    violations: Vec<String>,
    /// Answers instead of the next commands of these names.
    injected: VecDeque<(String, Injected)>,
    commands: Vec<String>,
    options: Document,
}

#[derive(Debug, Clone)]
pub(crate) enum Injected {
    /// An error; whatever the command was to do is not done.
    Error(Document),
    /// The command is carried out, and then the connection is closed instead of the answer.
    Lost,
}

#[derive(Debug, Default)]
struct Transaction {
    number: i64,
    open: bool,
    collections: Collections,
    /// What the last commit of this number made of it.
    done: bool,
}

/// Ends with the runtime of the test.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) uri: String,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("mongodb://{}/?directConnection=true", listener.local_addr().unwrap());
        let fake = Fake { uri, state: Arc::default() };
        let state = fake.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, state.clone()));
            }
        });
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next command of this name, of those that were not injected for yet.
    pub(crate) fn inject(&self, command: &str, injected: Injected) {
        self.state().injected.push_back((command.to_string(), injected));
    }

    /// Adds options to every collection, as `listCollections` shows them; `type` is its type.
    pub(crate) fn collections_have(&self, options: Document) {
        self.state().options = options;
    }

    /// The states that readers could see since the last call, and whether a rule was broken.
    pub(crate) fn history(&self) -> Vec<Collections> {
        let mut state = self.state();
        assert_eq!(state.violations, Vec::<String>::new());
        std::mem::take(&mut state.history)
    }

    /// The names of commands since the last call.
    pub(crate) fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.state().commands)
    }
}

pub(crate) fn error(code: i32, labels: &[&str]) -> Injected {
    Injected::Error(doc! {"ok": 0, "code": code, "codeName": "Injected", "errmsg": "secret", "errorLabels": labels.to_vec()})
}

async fn converse(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    const OP_REPLY: i32 = 1;
    const OP_QUERY: i32 = 2004;
    const OP_MSG: i32 = 2013;
    let own = stream.local_addr().unwrap().to_string();
    loop {
        let mut header = [0; 16];
        if stream.read_exact(&mut header).await.is_err() {
            return;
        }
        let int = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut body = vec![0; int(0) as usize - 16];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let (command, reply_code) = match int(12) {
            OP_MSG => (read_sections(&body[4..]), OP_MSG),
            OP_QUERY => {
                let name_end = 4 + body[4..].iter().position(|b| *b == 0).unwrap() + 1;
                (Document::from_reader(&body[name_end + 8..]).unwrap(), OP_REPLY)
            }
            other => panic!("op code {other}"),
        };
        let Some(answer) = state.lock().unwrap().answer(&command, &own) else { return };
        let mut payload = match reply_code {
            OP_MSG => vec![0, 0, 0, 0, 0],
            _ => [&[8, 0, 0, 0][..], &[0; 12], &[1, 0, 0, 0]].concat(),
        };
        payload.extend(serialize_to_vec(&answer).unwrap());
        let mut message = Vec::new();
        for number in [payload.len() as i32 + 16, 1, int(4), reply_code] {
            message.extend(number.to_le_bytes());
        }
        message.extend(payload);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// The body, with document sequences as arrays in it.
fn read_sections(mut bytes: &[u8]) -> Document {
    let mut command = Document::new();
    let length = |bytes: &[u8]| i32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    while let Some((kind, rest)) = bytes.split_first() {
        let end = length(rest);
        let section = &rest[..end];
        bytes = &rest[end..];
        if *kind == 0 {
            command.extend(Document::from_reader(section).unwrap());
            continue;
        }
        let name_end = 4 + section[4..].iter().position(|b| *b == 0).unwrap();
        let name = std::str::from_utf8(&section[4..name_end]).unwrap();
        let mut documents = &section[name_end + 1..];
        let mut array = Vec::new();
        while !documents.is_empty() {
            array.push(Bson::Document(Document::from_reader(&documents[..length(documents)]).unwrap()));
            documents = &documents[length(documents)..];
        }
        command.insert(name, array);
    }
    command
}

impl State {
    /// `None`: the connection is closed.
    fn answer(&mut self, command: &Document, own: &str) -> Option<Document> {
        let name = command.keys().next().unwrap().clone();
        if name.eq_ignore_ascii_case("hello") || name.eq_ignore_ascii_case("isMaster") {
            return Some(doc! {
                "ok": 1, "helloOk": true, "isWritablePrimary": true, "ismaster": true, "setName": "fake", "hosts": [own], "me": own, "primary": own,
                "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
                "logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "maxWireVersion": 21, "readOnly": false,
            });
        }
        self.commands.push(name.clone());
        self.check_rules(&name, command);
        let injected = self.injected.iter().position(|(of, _)| *of == name).and_then(|at| self.injected.remove(at));
        match injected {
            Some((_, Injected::Error(error))) => {
                // Whatever fails in a transaction ends it, but for a commit whose outcome is not known.
                let unknown =
                    error.get_array("errorLabels").is_ok_and(|l| l.iter().any(|l| l.as_str() == Some("UnknownTransactionCommitResult")));
                if let Some(transaction) = self.transaction(command).filter(|_| !unknown) {
                    transaction.open = false;
                }
                Some(error)
            }
            Some((_, Injected::Lost)) => {
                self.carry_out(&name, command);
                None
            }
            None => Some(self.carry_out(&name, command)),
        }
    }

    fn transaction(&mut self, command: &Document) -> Option<&mut Transaction> {
        if !command.contains_key("autocommit") {
            return None;
        }
        Some(self.sessions.entry(command.get_document("lsid").unwrap().to_string()).or_default())
    }

    fn check_rules(&mut self, name: &str, command: &Document) {
        let ends = name == "commitTransaction" || name == "abortTransaction";
        let starts = command.get_bool("startTransaction").unwrap_or(false);
        let mut broken = Vec::new();
        if command.contains_key("autocommit") {
            let number = command.get_i64("txnNumber").expect("a transaction has a number");
            let committed = self.committed.clone();
            let transaction = self.transaction(command).unwrap();
            if command.get("autocommit") != Some(&Bson::Boolean(false)) {
                broken.push("autocommit is not false");
            }
            if starts && number <= transaction.number {
                broken.push("the number of a transaction is not new");
            }
            if !starts && number != transaction.number {
                broken.push("a command of another transaction");
            }
            if !starts && command.contains_key("readConcern") {
                broken.push("a read concern behind the first command");
            }
            if !ends && command.contains_key("writeConcern") {
                broken.push("a write concern before the end");
            }
            if starts {
                *transaction = Transaction { number, open: true, collections: committed, done: false };
            }
        } else if starts || ends {
            broken.push("no autocommit");
        } else if ["update", "insert", "delete"].contains(&name)
            && command.get("writeConcern") != Some(&Bson::Document(doc! {"w": "majority"}))
        {
            broken.push("a write that is not by a majority");
        }
        self.violations.extend(broken.into_iter().map(|what| format!("{name}: {what}")));
    }

    fn carry_out(&mut self, name: &str, command: &Document) -> Document {
        let collection = command.get_str(name).unwrap_or_default().to_string();
        match name {
            "commitTransaction" => return self.commit(command),
            "abortTransaction" => {
                self.transaction(command).unwrap().open = false;
                return doc! {"ok": 1};
            }
            "listCollections" => {
                let wanted = command.get_document("filter").unwrap().get_str("name").unwrap();
                let mut options = self.options.clone();
                let kind = options.remove("type").unwrap_or("collection".into());
                let listed: Vec<Document> =
                    self.committed.keys().filter(|c| *c == wanted).map(|c| doc! {"name": c, "type": &kind, "options": &options}).collect();
                return cursor(listed);
            }
            "create" => {
                self.committed.entry(collection).or_default();
                return doc! {"ok": 1};
            }
            "createIndexes" | "ping" | "endSessions" => return doc! {"ok": 1},
            "connectionStatus" => return doc! {"ok": 1, "authInfo": {"authenticatedUsers": []}},
            "find" => {
                let filter = command.get_document("filter").cloned().unwrap_or_default();
                let found = self.committed.get(&collection).into_iter().flat_map(BTreeMap::values);
                let wanted = |document: &&Document| match filter.get("_id") {
                    None => true,
                    Some(Bson::Document(any)) if any.contains_key("$in") => {
                        any.get_array("$in").unwrap().contains(document.get("_id").unwrap())
                    }
                    Some(id) => document.get("_id") == Some(id),
                };
                return cursor(found.filter(wanted).cloned().collect());
            }
            _ => {}
        }
        if let Some(transaction) = self.transaction(command) {
            if !transaction.open {
                return doc! {"ok": 0, "code": 251, "codeName": "NoSuchTransaction", "errmsg": "", "errorLabels": ["TransientTransactionError"]};
            }
            return write(transaction.collections.entry(collection).or_default(), name, command);
        }
        let answer = write(self.committed.entry(collection).or_default(), name, command);
        self.history.push(self.committed.clone());
        answer
    }

    fn commit(&mut self, command: &Document) -> Document {
        let transaction = self.transaction(command).unwrap();
        if transaction.done {
            return doc! {"ok": 1};
        }
        if !transaction.open {
            return doc! {"ok": 0, "code": 251, "codeName": "NoSuchTransaction", "errmsg": "", "errorLabels": ["TransientTransactionError"]};
        }
        (transaction.open, transaction.done) = (false, true);
        let collections = std::mem::take(&mut transaction.collections);
        self.committed = collections;
        self.history.push(self.committed.clone());
        doc! {"ok": 1}
    }
}

fn cursor(documents: Vec<Document>) -> Document {
    doc! {"ok": 1, "cursor": {"id": 0i64, "ns": "views.fake", "firstBatch": documents}}
}

/// Carries out `update`, `delete` or `insert`.
fn write(collection: &mut BTreeMap<String, Document>, name: &str, command: &Document) -> Document {
    let items = |field: &str| command.get_array(field).unwrap().iter().map(|item| item.as_document().unwrap().clone()).collect::<Vec<_>>();
    let (mut n, mut upserted, mut errors) = (0, Vec::new(), Vec::new());
    match name {
        "insert" => {
            for document in items("documents") {
                collection.insert(document.get("_id").unwrap().to_string(), document);
                n += 1;
            }
        }
        "delete" => {
            for delete in items("deletes") {
                let id = delete.get_document("q").unwrap().get("_id").unwrap().to_string();
                n += i32::from(collection.remove(&id).is_some());
            }
        }
        "update" => {
            for (index, update) in items("updates").into_iter().enumerate() {
                let id = update.get_document("q").unwrap().get("_id").unwrap();
                let change = update.get_document("u").unwrap();
                // A value that this server refuses.
                if change.get("status") == Some(&Bson::from("refused")) {
                    errors.push(doc! {"index": index as i32, "code": 121, "codeName": "DocumentValidationFailure", "errmsg": "secret"});
                    continue;
                }
                match (collection.get_mut(&id.to_string()), change.get_document("$set")) {
                    (Some(document), Ok(set)) => set.iter().for_each(|(path, value)| set_path(document, path, value)),
                    (None, Ok(_)) => continue,
                    (Some(document), Err(_)) => *document = change.clone(),
                    (None, Err(_)) => {
                        collection.insert(id.to_string(), change.clone());
                        upserted.push(doc! {"index": index as i32, "_id": id});
                    }
                }
                n += 1;
            }
        }
        other => panic!("the fake does not know `{other}`"),
    }
    let mut answer = doc! {"ok": 1, "n": n};
    if !upserted.is_empty() {
        answer.insert("upserted", upserted);
    }
    if !errors.is_empty() {
        answer.insert("writeErrors", errors);
    }
    answer
}

fn set_path(document: &mut Document, path: &str, value: &Bson) {
    match path.split_once('.') {
        Some((first, rest)) => set_path(document.get_document_mut(first).unwrap(), rest, value),
        None => drop(document.insert(path, value.clone())),
    }
}
