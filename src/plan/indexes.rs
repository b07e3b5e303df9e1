//! Which fields of a document should be indexed in a target: those of keys and relations.

use super::{Body, Embed, Input, Lookup, View};

impl View {
    /// The indexes, each of one or more fields, as paths from the document's root.
    pub fn indexes(&self) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        match &self.body {
            Body::Document(document) => {
                add(&mut out, "", &document.root, &self.key);
                add_lookups(&mut out, "", &document.root, &document.lookups);
            }
            Body::Query(_) => out.push(self.key.iter().map(|&k| self.schema.columns()[k].name.clone()).collect()),
        }
        out
    }
}

fn add_lookups(out: &mut Vec<Vec<String>>, at: &str, parent: &Input, lookups: &[Lookup]) {
    for lookup in lookups {
        let inside = match &lookup.embed {
            Embed::Object { field, .. } | Embed::Array { field: Some(field), .. } => format!("{at}{field}."),
            // These fields are on the parent.
            Embed::Flatten { prefix, .. } => format!("{at}{prefix}"),
            Embed::Array { field: None, .. } => continue,
        };
        add(out, at, parent, &lookup.parent_columns);
        add(out, &inside, &lookup.input, &lookup.child_columns);
        add_lookups(out, &inside, &lookup.input, &lookup.children);
    }
}

fn add(out: &mut Vec<Vec<String>>, at: &str, input: &Input, columns: &[usize]) {
    if columns.iter().any(|&c| c >= input.visible) {
        return;
    }
    let fields: Vec<String> = columns.iter().map(|&c| format!("{at}{}", input.schema().columns()[c].name)).collect();
    if !out.contains(&fields) {
        out.push(fields);
    }
}
