//! `tidemill check`, `explain` and `schema` as a user runs them: output and exit codes.

mod support;

use support::Program;
use tidemill::options::{OptionSpec, OptionType};

const SHOP: &str = "\
sources:
  shop:
    kind: file
    options:
      tables:
        orders: {csv: orders.csv, key: [id]}
        items: {csv: items.csv, key: [id], columns: {price: \"decimal(10,2)\"}}
views:
  orders:
    from: shop.orders
    lookup:
      - {from: shop.items, path: items, type: array, on: {id: order_id}, exclude: order_id, aggregates: {total: sum(price)}}
";

fn shop() -> Program {
    let program = Program::new();
    program.write("orders.csv", "id,customer,day\n1,ann,2024-01-02\n2,bob,2024-01-03\n");
    program.write("items.csv", "id,order_id,price\n1,1,2.50\n2,1,3\n");
    program.write("shop.yaml", SHOP);
    program
}

#[test]
fn check_shows_tables_with_their_types_and_says_ok() {
    let done = shop().run(&["check", "shop.yaml"]);
    let expected = "\
source shop: file
  orders (key id): id int64 not null, customer text, day date
  items (key id): id int64 not null, order_id int64, price decimal(10,2)
view orders (key id): id, customer, day, items, total
first capture: about 4 rows of 83 bytes; 0.2 s
memory: about 6 MB when caught up (the most during the capture: 6 MB)
on disk: about 100 kB (the most during the capture: 180 kB), beside a journal of at most 130 MB
ok
";
    assert_eq!((done.stdout.as_str(), done.stderr.as_str(), done.code), (expected, "", Some(0)));
}

#[test]
fn check_says_everything_that_is_wrong_and_ends_with_2() {
    let program = shop();
    let spec =
        SHOP.replace("shop.orders", "shop.order").replace("{id: order_id}", "{id: order}").replace("kind: file", "kind: file\n    knd: x");
    program.write("shop.yaml", &spec);
    let done = program.run(&["check", "shop.yaml"]);
    let expected = "\
error: `shop` takes no `knd`
  --> shop.yaml:4:5
   |     knd: x
   |     ^^^ keys: kind, options, arrival
   = help: did you mean `kind`?

error: `shop` has no table `order`
  --> shop.yaml:11:11
   |     from: shop.order
   |           ^^^^^^^^^^ tables: orders, items
   = help: did you mean `orders`?

error: `items` has no column `order`
  --> shop.yaml:13:63
   |       - {from: shop.items, path: items, type: array, on: {id: order}, exclude: order_id, aggregates: {total: sum(price)}}
   |                                                               ^^^^^ columns: id, price, order_id
   = help: did you mean `order_id`?

";
    assert_eq!((done.stderr.as_str(), done.code), (expected, Some(2)));
}

#[test]
fn a_file_that_cannot_be_read_is_said_with_what_else_can_be_known() {
    let program = shop();
    std::fs::remove_file(program.folder().join("items.csv")).unwrap();
    let reason = format!(
        "error: source `shop`: cannot read {}: No such file or directory (os error 2)\n",
        program.folder().join("items.csv").display()
    );
    let rest = "   = its tables, columns and settings were not checked\n\n";
    let check = program.run(&["check", "shop.yaml"]);
    let unknown = "first capture, memory and disk: not known without the source `shop`\n";
    assert_eq!((check.stdout.as_str(), check.stderr, check.code), (unknown, format!("{reason}{rest}"), Some(1)));
    let run = program.run(&["run", "shop.yaml"]);
    assert_eq!((run.stdout.as_str(), run.stderr, run.code), ("", reason.clone(), Some(1)));

    program.write("shop.yaml", &SHOP.replace("from: shop.items, path: items", "from: shop.items, path: other.items"));
    let check = program.run(&["check", "shop.yaml"]);
    let expected = format!(
        "\
error: no lookup has the path `other`
  --> shop.yaml:12:34
   |       - {{from: shop.items, path: other.items, type: array, on: {{id: order_id}}, exclude: order_id, aggregates: {{total: sum(price)}}}}
   |                                  ^^^^^^^^^^^
   = help: add a lookup with the path `other`, or use the path `items`

{reason}{rest}"
    );
    assert_eq!((check.stderr, check.code), (expected, Some(2)));
}

#[test]
fn a_binary_file_or_a_folder_in_the_place_of_rows_is_said() {
    let program = shop();
    let path = program.folder().join("items.csv");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let done = program.run(&["run", "shop.yaml"]);
    assert_eq!(
        (done.stderr, done.code),
        (format!("error: source `shop`: cannot read {}: Is a directory (os error 21)\n", path.display()), Some(1))
    );
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, b"\x7fELF\xff\xfe\n").unwrap();
    let done = program.run(&["run", "shop.yaml"]);
    assert_eq!((done.stderr, done.code), (format!("error: source `shop`: {}, line 1: field 1 is not UTF-8\n", path.display()), Some(1)));
}

/// What is wrong with a spec, and all that is said of it.
const WRONG: &[(&str, &str, &str)] = &[
    (
        r#"kind: file"#,
        r#"kind: fil"#,
        r#"error: there is no kind of source `fil`
  --> shop.yaml:3:11
   |     kind: fil
   |           ^^^ kinds: file, mysql, mariadb
   = help: did you mean `file`?
"#,
    ),
    (
        r#"{id: order_id}"#,
        r#"{customer: order_id}"#,
        r#"error: `customer` is text, but `order_id` of `items` is int64
  --> shop.yaml:12:69
   |       - {from: shop.items, path: items, type: array, on: {customer: order_id}, exclude: order_id, aggregates: {total: sum(price)}}
   |                                                                     ^^^^^^^^ types must be the same
   = help: to `items` add `compute: {order_id_as_text: "cast(order_id as varchar)"}, exclude: [order_id_as_text]` and relate `order_id_as_text`
"#,
    ),
    (
        r#"sum(price)}}
"#,
        r#"sum(price)}}
      - {from: shop.orders, path: items.order, type: object, on: {id: id}}
"#,
        r#"error: `id` could be `items.id` or the root's `id`
  --> shop.yaml:13:67
   |       - {from: shop.orders, path: items.order, type: object, on: {id: id}}
   |                                                                   ^^ which one?
   = help: write `items.id`
"#,
    ),
    (
        r#"shop.items"#,
        r#"shop.itms"#,
        r#"error: `shop` has no table `itms`
  --> shop.yaml:12:16
   |       - {from: shop.itms, path: items, type: array, on: {id: order_id}, exclude: order_id, aggregates: {total: sum(price)}}
   |                ^^^^^^^^^ tables: orders, items
   = help: did you mean `items`?
"#,
    ),
    (
        r#"sum(price)"#,
        r#"sum(prise)"#,
        r#"error: there is no column `prise`
  --> shop.yaml:12:117
   |       - {from: shop.items, path: items, type: array, on: {id: order_id}, exclude: order_id, aggregates: {total: sum(prise)}}
   |                                                                                                                     ^^^^^
   = help: did you mean `price`?
"#,
    ),
];

#[test]
fn a_wrong_spec_is_refused_by_every_command_before_anything_is_made() {
    for (right, wrong, expected) in WRONG {
        let program = shop();
        program.write("shop.yaml", &SHOP.replace(right, wrong));
        for command in ["check", "explain", "run"] {
            let done = program.run(&[command, "shop.yaml"]);
            // `check` has more to say behind it, after an empty line.
            let behind = if command == "check" { "\n" } else { "" };
            assert_eq!((done.stderr, done.code), (format!("{expected}{behind}"), Some(2)), "{command}");
        }
        assert!(!program.folder().join("shop.state").exists());
    }
}

#[test]
fn check_offline_opens_no_source() {
    let program = shop();
    std::fs::remove_file(program.folder().join("items.csv")).unwrap();
    let done = program.run(&["check", "--offline", "shop.yaml"]);
    assert_eq!((done.stdout.as_str(), done.code), ("ok, but the sources and targets were not checked\n", Some(0)));
}

#[test]
fn explain_prints_the_plan() {
    let done = shop().run(&["explain", "shop.yaml"]);
    let expected = "\
view orders key id
  shop.orders [1]
  └─ items: array, total: sum(price) of shop.items order id on id = order_id [2]

arrangements
  [1] shop.orders rows by id: id, customer, day; for orders; about 46 bytes a row, about 92 bytes in all
  [2] shop.items rows by order_id: id, price (not shown: order_id); for orders items; about 44 bytes a row, about 89 bytes in all
pruned columns
  none
";
    assert_eq!((done.stdout.as_str(), done.code), (expected, Some(0)));
}

#[test]
fn schema_knows_the_kinds_and_their_options() {
    let done = Program::new().run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let source = &schema["properties"]["sources"]["additionalProperties"];
    let kinds = source["properties"]["kind"]["enum"].as_array().unwrap();
    assert!(kinds.contains(&"file".into()));
    let file = source["allOf"].as_array().unwrap().iter().find(|rule| rule["if"]["properties"]["kind"]["const"] == "file").unwrap();
    assert!(file["then"]["properties"]["options"]["properties"]["tables"].is_object());
    assert_eq!(done.code, Some(0));
}

#[test]
fn a_spec_that_is_not_there_or_an_unknown_command_ends_with_2() {
    let done = Program::new().run(&["check", "none.yaml"]);
    let expected = "error: the spec cannot be read: No such file or directory (os error 2)\n  --> none.yaml\n";
    assert_eq!((done.stderr.as_str(), done.code), (expected, Some(2)));
    assert_eq!(Program::new().run(&["chek"]).code, Some(2));
}

/// The rows of the table that documents some options.
fn documented(options: &[OptionSpec], before: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for option in options {
        let name = format!("{before}{}", option.name);
        let required = if option.required { "yes" } else { "" };
        rows.push(format!("| `{name}` | {required} | {} |", option.help));
        match option.value {
            OptionType::Record(inner) => rows.extend(documented(inner, &format!("{name}."))),
            OptionType::Map(OptionType::Record(inner)) => rows.extend(documented(inner, &format!("{name}.NAME."))),
            _ => {}
        }
    }
    rows
}

#[test]
fn the_option_tables_in_the_docs_are_the_declarations() {
    let docs = std::fs::read_to_string("docs/spec.md").unwrap();
    let kinds =
        tidemill::sources::KINDS.iter().map(|kind| ("Source", kind)).chain(tidemill::sinks::KINDS.iter().map(|kind| ("Sink", kind)));
    for (what, kind) in kinds {
        let title = format!("### {what} `{}`\n", kind.name);
        let (_, section) = docs.split_once(&title).unwrap_or_else(|| panic!("docs/spec.md has no section `{title}`"));
        if section.starts_with("Another name for `mysql`") {
            assert_eq!(kind.name, "mariadb");
            continue;
        }
        let table: Vec<&str> = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).collect();
        let right =
            ["| option | required | meaning |".to_string(), "|---|---|---|".to_string()].into_iter().chain(documented(kind.options, ""));
        let right: Vec<String> = right.collect();
        assert_eq!(table.join("\n"), right.join("\n"), "the table of {what} `{}` in docs/spec.md", kind.name);
    }
}

#[test]
fn every_command_is_in_the_completions_and_has_a_manual_page() {
    let program = Program::new();
    let help = program.run(&["--help"]).stdout;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"completions"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let script = program.run(&["completions", shell]);
        assert_eq!(script.code, Some(0));
        commands.iter().for_each(|command| assert!(script.stdout.contains(command), "{shell}: {command}"));
    }
    assert_eq!(program.run(&["man", "pages/man1"]).code, Some(0));
    for command in commands.iter().filter(|command| **command != "help") {
        let page = std::fs::read_to_string(program.folder().join(format!("pages/man1/tidemill-{command}.1")));
        let page = page.unwrap_or_else(|error| panic!("tidemill-{command}.1: {error}"));
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
    program.write("file", "");
    let refused = program.run(&["man", "file/man1"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.starts_with("error: cannot write the manual pages to `file/man1`: "), "{}", refused.stderr);
}
