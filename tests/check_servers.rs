//! `tidemill check` and `run` with real servers: what they say where a source or a target answers, refuses, or is not there.

mod support;

use bson::doc;
use support::{Finished, MongoDatabase, MysqlDatabase, Program, server_url};

/// The host and port of the test server.
fn host() -> String {
    server_url("MONGODB").trim_start_matches("mongodb://").trim_end_matches('/').to_string()
}

/// What a server without transactions, as the test server is, means for readers.
fn note(collection: &str) -> String {
    let host = host();
    format!(
        "note: sink `mongo`: {host} has no transactions: while a step is being written, usually for some milliseconds, a reader of \
         several documents of {collection} may see some of them as before the step and some as after it\n\n"
    )
}

fn check(uri: &str, collection: &str) -> Finished {
    let program = Program::new().env("TARGET", uri).env("COLLECTION", collection);
    program.write("orders.csv", "id,customer\n1,ann\n");
    let spec = "\
sources: {shop: {kind: file, options: {tables: {orders: {csv: orders.csv, key: [id]}}}}}
views: {orders: {from: shop.orders}}
sinks: {mongo: {kind: mongodb, view: orders, options: {uri: \"${TARGET}\", collection: \"${COLLECTION}\"}}}
";
    program.write("shop.yaml", spec);
    program.run(&["check", "shop.yaml"])
}

const SOURCE: &str = "\
source shop: file
  orders (key id): id int64 not null, customer text
view orders (key id): id, customer
";

/// What is said of a first run.
const TAKES: &str = "\
first capture: about 1 row of 18 bytes; 0.2 s
memory: about 6 MB when caught up (the most during the capture: 6 MB)
on disk: about 100 kB (the most during the capture: 180 kB), beside a journal of at most 130 MB
";

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_can_be_written_is_ok_and_stays_as_it_was() {
    let database = MongoDatabase::create().await;
    let done = check(&database.uri, &format!("{}.orders", database.name));
    let expected = format!("{SOURCE}sink mongo: mongodb of view orders\n{TAKES}ok\n");
    assert_eq!((done.stdout, done.stderr, done.code), (expected, note(&format!("{}.orders", database.name)), Some(0)));
    assert_eq!(database.database().list_collection_names().await.unwrap(), Vec::<String>::new(), "check writes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_a_first_run_would_replace_are_warned_of() {
    let database = MongoDatabase::create().await;
    database.collection("orders").insert_one(doc! {"_id": 1}).await.unwrap();
    let name = &database.name;
    let done = check(&database.uri, &format!("{name}.orders"));
    let expected = format!(
        "warning: sink `mongo`: {name}.orders at {} has documents already; the first run makes it equal to the view `orders` and deletes all \
         other documents\n\n{}",
        host(),
        note(&format!("{name}.orders"))
    );
    assert_eq!((done.stderr, done.code), (expected, Some(0)));
    assert!(done.stdout.ends_with("ok\n"));
}

#[test]
fn a_wrong_password_is_said_with_the_way_out() {
    let host = host();
    let done = check(&format!("mongodb://tide:secret@{host}/"), "views.orders");
    let expected = format!(
        "error: sink `mongo`: MongoDB at {host} refuses the user or the password
   = help: check user, password and `authSource` of the sink's `uri`
   = the target was not checked any further

"
    );
    assert_eq!((done.stdout, done.stderr, done.code), (format!("{SOURCE}{TAKES}"), expected, Some(1)));
}

#[test]
fn a_target_that_does_not_answer_is_said() {
    let done = check("mongodb://tide:secret@127.0.0.1:1/?serverSelectionTimeoutMS=1000", "views.orders");
    let expected = "\
error: sink `mongo`: no MongoDB server answers at 127.0.0.1:1: Connection refused
   = the target was not checked any further

";
    assert_eq!((done.stdout, done.stderr.as_str(), done.code), (format!("{SOURCE}{TAKES}"), expected, Some(1)));
}

#[test]
fn a_connection_string_that_is_none_is_a_problem_of_the_spec() {
    let done = check("postgres://tide:secret@h/", "views.orders");
    let expected = "\
error: option `uri`: it is not a connection string of MongoDB
  --> shop.yaml:3:61
   | sinks: {mongo: {kind: mongodb, view: orders, options: {uri: \"${TARGET}\", collection: \"${COLLECTION}\"}}}
   |                                                             ^^^^^^^^^^^
   = help: mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS; write special characters in user and password as %XX

";
    assert_eq!((done.stdout.as_str(), done.stderr.as_str(), done.code), (SOURCE, expected, Some(2)));
}

/// `check` and `run` of a view of a table at a MySQL or MariaDB server.
fn check_and_run(url: &str) -> [Finished; 2] {
    let program = Program::new().env("SOURCE", url);
    let spec = "\
sources: {shop: {kind: mysql, options: {url: \"${SOURCE}\"}}}
views: {orders: {from: shop.orders}}
";
    program.write("shop.yaml", spec);
    let done = [program.run(&["check", "shop.yaml"]), program.run(&["run", "shop.yaml", "--until-caught-up"])];
    assert!(!program.folder().join("shop.state").exists(), "a run that cannot begin makes no state");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_a_source_is_a_problem_of_the_spec() {
    for kind in ["MARIADB", "MYSQL"] {
        let database = MysqlDatabase::create(kind).await;
        let (user, at) = (&database.user, format!("{}:{}", database.host, database.port));
        let expected = format!(
            "\
error: {at} refuses the user `{user}` or its password
  --> shop.yaml:1:11
   | sources: {{shop: {{kind: mysql, options: {{url: \"${{SOURCE}}\"}}}}}}
   |           ^^^^
   = help: check user and password of `url`; where encryption is required (REQUIRE SSL, require_secure_transport) the source needs `tls`
"
        );
        for done in check_and_run(&format!("mysql://{user}:sesame@{at}/{}", database.name)) {
            let said = format!("{}\n", done.stderr.trim_end());
            assert_eq!((done.stdout.as_str(), said.as_str(), done.code), ("", expected.as_str(), Some(2)), "{kind}");
        }
    }
}

#[test]
fn a_source_that_does_not_answer_is_said() {
    let [check, run] = check_and_run("mysql://tide:sesame@127.0.0.1:1/shop");
    let reason = "error: source `shop`: cannot connect to 127.0.0.1:1: Connection refused (os error 111)\n";
    let expected = format!("{reason}   = its tables, columns and settings were not checked\n\n");
    let unknown = "first capture, memory and disk: not known without the source `shop`\n";
    assert_eq!((check.stdout.as_str(), check.stderr, check.code), (unknown, expected, Some(1)));
    assert_eq!((run.stderr.as_str(), run.code), (reason, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_names_that_are_not_as_one_would_think_are_warned_of() {
    let database = MongoDatabase::create().await;
    let program = Program::new().env("TARGET", &database.uri);
    program.write("events.csv", "at,$set,a.b\n2017-10-02T10:56:33.123456,1,2\n");
    let spec = "\
sources: {shop: {kind: file, options: {tables: {events: {csv: events.csv, key: [at], columns: {at: datetime(6)}}}}}}
views: {events: {from: shop.events}, plain: {from: shop.events, exclude: [$set]}}
sinks:
  mongo: {kind: mongodb, view: events, options: {uri: \"${TARGET}\", collection: NAME.events}}
  other: {kind: mongodb, view: plain, options: {uri: \"${TARGET}\", collection: NAME.plain}}
";
    program.write("shop.yaml", &spec.replace("NAME", &database.name));
    let done = program.run(&["check", "shop.yaml"]);
    let key = |sink: &str, view: &str| {
        format!(
            "warning: sink `{sink}`: the key column `at` of the view `{view}` is datetime(6); in `_id` it is a text with microseconds, such as \
             `2017-10-02T10:56:33.123456`, so that different values stay different\n"
        )
    };
    let names = [
        "warning: sink `mongo`: the view `events` has a column `$set`; servers refuse such names or interpret them as operators\n",
        "warning: sink `other`: the view `plain` has a column `a.b`; a query interprets this name as a path\n",
    ];
    for said in [&key("mongo", "events"), &key("other", "plain"), names[0], names[1]] {
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
    assert_eq!(done.code, Some(0));
}
