//! `tidemill draft`: writes a spec from what a database tells about its tables.
//!
//! The spec goes to stdout. What is missing at the server, as statements to run, goes to stderr.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::Args;

use super::connect::KINDS;
use super::discover::{REACH, discover};
use super::failure::{CommandError, RUNNING};
use super::{print, runtime};
use crate::draft::{self, Checked, Outline, References, WrittenEnd};
use crate::plan::did_you_mean;
use crate::sources::{self, Finding, Severity, Source, SourceError, Survey};
use crate::{sinks, spec};

/// Write a spec from the tables of a database: documents along its foreign keys
///
/// Without --root, lists the tables of which documents can be made, with their numbers of rows.
#[derive(Debug, Args)]
pub(super) struct DraftArgs {
    /// The database: mysql://USER:PASSWORD@HOST:PORT/DATABASE. `${VARIABLE}` in it is replaced by an environment variable
    url: String,
    /// The table whose rows become documents
    #[arg(long)]
    root: Option<String>,
    /// Where the documents are written: mongodb://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long)]
    sink: Option<String>,
    /// How many lookups may follow each other, from the root
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=8))]
    depth: u8,
    /// An option of the source, as in a spec, for example `--option tls.mode=require`
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
}

/// The kinds that a URL can name: how it begins, the kind, and the option that takes it.
const SOURCES: [(&str, &str, &str); 2] = [("mysql", "mysql", "url"), ("mariadb", "mysql", "url")];
const SINKS: [(&str, &str, &str); 2] = [("mongodb", "mongodb", "uri"), ("mongodb+srv", "mongodb", "uri")];

/// The values of the variables that stand for secrets of the command line.
type Secrets = BTreeMap<String, String>;

impl DraftArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let mut secrets = Secrets::new();
        let source = self.source(&mut secrets)?;
        let opened = open(&source, &secrets)?;
        let runtime = runtime()?;
        let survey = runtime.block_on(opened.survey(self.root.as_deref())).map_err(|error| failed(&error))?;
        if survey.tables.is_empty() {
            let help = "GRANT SELECT on the tables to the user of the URL".to_string();
            return Err(CommandError::wrong("the user sees no table in this database", Some(help)));
        }
        let Some(root) = &self.root else {
            let list = draft::candidates(&survey, &References::new(&survey));
            return print(&format!("{list}\nChoose one with --root TABLE.\n"));
        };
        let root = find(&survey, root)?;
        let sink = self.sink(&survey, root, &source, &mut secrets)?;
        let drafted = runtime.block_on(self.draft(opened.as_ref(), survey, root, &source, sink.as_ref(), &secrets));
        runtime.shutdown_background();
        drafted
    }

    /// The source that the URL names.
    fn source(&self, secrets: &mut Secrets) -> Result<WrittenEnd, CommandError> {
        let form = "write it as mysql://USER:PASSWORD@HOST:PORT/DATABASE";
        let (kind, option) = kind_of(&self.url, &SOURCES, form)?;
        let url = self.url.replacen("mariadb://", "mysql://", 1);
        let name = draft::identifier(draft::database(&url).unwrap_or("db"));
        let variable = format!("{}_PASSWORD", name.to_uppercase());
        let url = hide(&url, &variable, form, secrets)?;
        let mut end =
            WrittenEnd { name, kind: kind.into(), options: vec![(option.into(), url)], variables: secrets.keys().cloned().collect() };
        for typed in &self.options {
            let Some((name, value)) = typed.split_once('=') else {
                let help = "write it as `--option NAME=VALUE`, for example `--option tls.mode=require`".to_string();
                return Err(CommandError::wrong(format!("`{typed}` is not an option with a value"), Some(help)));
            };
            end.options.push((name.to_string(), value.to_string()));
        }
        Ok(end)
    }

    fn sink(&self, survey: &Survey, root: usize, source: &WrittenEnd, secrets: &mut Secrets) -> Result<Option<WrittenEnd>, CommandError> {
        let Some(uri) = &self.sink else { return Ok(None) };
        let form = "write it as mongodb://USER:PASSWORD@HOST:PORT/DATABASE";
        let (kind, option) = kind_of(uri, &SINKS, form)?;
        let table = &survey.tables[root];
        if draft::is_query(table) {
            let help = "give the table a primary key, or choose another --root".to_string();
            return Err(CommandError::wrong(format!("`{}` has no key, which a sink requires", table.name), Some(help)));
        }
        let mut own = Secrets::new();
        let variables = [format!("{}_PASSWORD", kind.to_uppercase()), "SINK_PASSWORD".to_string()];
        let variable = variables.iter().find(|variable| !secrets.contains_key(*variable)).map_or("TARGET_PASSWORD", String::as_str);
        let shown = hide(uri, variable, form, &mut own)?;
        let database = draft::database(uri).unwrap_or(&source.name);
        let collection = format!("{database}.{}", draft::view_name(table));
        let options = vec![(option.to_string(), shown), ("collection".to_string(), collection)];
        let variables = own.keys().cloned().collect();
        secrets.extend(own);
        Ok(Some(WrittenEnd { name: kind.into(), kind: kind.into(), options, variables }))
    }

    /// Prints the spec and what is missing at the server. A table that turns out to be unreadable is left out, and the rest drafted again.
    async fn draft(
        &self,
        source: &dyn Source,
        mut survey: Survey,
        root: usize,
        written: &WrittenEnd,
        sink: Option<&WrittenEnd>,
        secrets: &Secrets,
    ) -> Result<(), CommandError> {
        loop {
            let (references, outline) = self.outline(source, &survey, root).await?;
            let text = draft::spec(&survey, &references, &outline, written, sink);
            let spec = parse(&text, secrets)?;
            for sink in &spec.sinks {
                sinks::open(&sink.kind, &sink.options).map_err(|error| CommandError::wrong(error.to_string(), error.help))?;
            }
            let discovered = discover(&spec, &Default::default(), Some(REACH)).await;
            if let Some(unreachable) = discovered.unreachable.into_iter().next() {
                return Err(unreachable.into());
            }
            let refused = discovered.catalog.unknown_tables.iter().next().and_then(|name| survey.index_of(&name.table));
            if let Some(refused) = refused.filter(|&refused| refused != root) {
                let reason = discovered.problems.first().map_or(String::new(), |problem| problem.message.clone());
                survey.leave_out(refused, format!("cannot be captured: {reason}"));
                continue;
            }
            let (_, mut problems) = spec.examine(&discovered.catalog);
            problems.extend(discovered.problems);
            print(&text)?;
            if let [open] = &discovered.sources[..] {
                say_missing(open.source.preflight(&open.tables).await);
            }
            if !problems.is_empty() {
                eprintln!("{}", spec.problems(problems));
                return Err(CommandError::said(RUNNING));
            }
            return Ok(());
        }
    }

    /// Chooses what is embedded. A guess is checked with a sample before it is part of the result.
    async fn outline(&self, source: &dyn Source, survey: &Survey, root: usize) -> Result<(References, Outline), CommandError> {
        let mut references = References::new(survey);
        loop {
            let outline = draft::outline(survey, &references, root, self.depth.into());
            let unchecked = outline.unchecked(survey, &references);
            if unchecked.is_empty() {
                return Ok((references, outline));
            }
            let questions: Vec<_> = unchecked.iter().map(|&index| references.question(survey, index)).collect();
            let samples = source.sample(&questions).await.map_err(|error| failed(&error))?;
            for (index, sample) in unchecked.into_iter().zip(samples) {
                references.list[index].checked = sample.map_or(Checked::Unreadable, Checked::Sample);
            }
        }
    }
}

/// The kind and its option for a URL.
fn kind_of(url: &str, kinds: &'static [(&str, &str, &str)], form: &str) -> Result<(&'static str, &'static str), CommandError> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let kind = kinds.iter().find(|(begin, _, _)| *begin == scheme).map(|&(_, kind, option)| (kind, option));
    kind.ok_or_else(|| CommandError::wrong("the URL does not begin with a kind of database that is known", Some(form.into())))
}

/// The URL without its secrets, which are added to `secrets`.
fn hide(url: &str, variable: &str, form: &str, secrets: &mut Secrets) -> Result<String, CommandError> {
    let help = format!("{form}, with %40 for `@`, %3A for `:`, %2F for `/`, %3F for `?`, %23 for `#` and %25 for `%` in a password");
    let shown = draft::shown_url(url, variable).ok_or_else(|| CommandError::wrong("the URL cannot be read", Some(help)))?;
    secrets.extend(shown.secrets);
    Ok(shown.text)
}

/// Opens the source with the options that the spec will have.
fn open(source: &WrittenEnd, secrets: &Secrets) -> Result<Arc<dyn Source>, CommandError> {
    let mut text = draft::source_text(source);
    text.push_str("views: {}\n");
    let spec = parse(&text, secrets)?;
    let of_spec = &spec.sources[0];
    match sources::open(&of_spec.kind, &of_spec.options) {
        Ok(opened) => Ok(opened.into()),
        Err(error) => Err(CommandError::wrong(error.to_string(), error.help)),
    }
}

/// The spec of this text, with the secrets of the command line.
fn parse(text: &str, secrets: &Secrets) -> Result<spec::Spec, CommandError> {
    let environment = |name: &str| secrets.get(name).cloned().or_else(|| std::env::var(name).ok());
    Ok(spec::Draft::parse(Path::new("draft.yaml"), text, KINDS, &environment)?.finish()?)
}

/// The table of this name. Names that differ only in their letter case are taken if there is one.
fn find(survey: &Survey, name: &str) -> Result<usize, CommandError> {
    let folded = name.to_lowercase();
    let alike: Vec<usize> = (0..survey.tables.len()).filter(|&i| survey.tables[i].name.to_lowercase() == folded).collect();
    let whole = |path: &[String]| path.join(".").to_lowercase() == folded;
    let by_path = || survey.tables.iter().position(|table| whole(&table.path));
    let found = survey.index_of(name).or(if let [only] = alike[..] { Some(only) } else { None }).or_else(by_path);
    let usable = || survey.tables.iter().filter(|table| table.unusable.is_none()).map(|table| table.name.as_str());
    let Some(index) = found else {
        let help = did_you_mean(name, usable()).unwrap_or_else(|| "without --root, the tables are listed".into());
        return Err(CommandError::wrong(format!("there is no table `{name}` that the user may see"), Some(help)));
    };
    match &survey.tables[index].unusable {
        Some(why) => {
            Err(CommandError::wrong(format!("`{name}` {why}"), Some("without --root, the tables that are possible are listed".into())))
        }
        None => Ok(index),
    }
}

fn failed(error: &SourceError) -> CommandError {
    match error {
        SourceError::Invalid { message, help, .. } => CommandError::wrong(message, help.clone()),
        SourceError::Option(error) => CommandError::wrong(error.to_string(), error.help.clone()),
        SourceError::Stopped { message, help } => CommandError::running(message, help.clone()),
        SourceError::Transient { message } | SourceError::Resync { message, .. } | SourceError::Redefined { message } => {
            CommandError::running(message, None)
        }
    }
}

/// Prints what is missing at the server: statements as they are, everything else as SQL comments.
fn say_missing(findings: Result<Vec<Finding>, SourceError>) {
    let findings = match findings {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("-- The settings of the server could not be checked: {error}");
            return;
        }
    };
    let missing: Vec<Finding> = findings.into_iter().filter(|finding| finding.severity != Severity::Note).collect();
    if missing.is_empty() {
        return;
    }
    eprintln!("-- This is missing at the server. Run the statements there:");
    for Finding { severity, message, fix } in missing {
        let weight = if severity == Severity::Error { "needed" } else { "better" };
        eprintln!("-- {weight}: {message}");
        for line in fix.iter().flat_map(|fix| fix.lines()) {
            let is_statement = line.trim_end().ends_with(';') && !line.contains("...");
            eprintln!("{}{line}", if is_statement { "" } else { "--   " });
        }
    }
}
