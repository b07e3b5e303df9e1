//! How long the rows of views are: rows of queries, or documents with their children.

use super::shape::{NodeEstimate, NodeEstimates};
use super::widths::{fixed_width, key_bytes, row_bytes};
use crate::plan::{Body, Document, Embed, Input, Lookup, View};

/// The rows of a view as they are stored.
pub(super) struct ViewRows {
    pub(super) rows: f64,
    pub(super) row_bytes: f64,
    pub(super) key_bytes: f64,
    /// The rows that are embedded into one document, through all levels.
    pub(super) children: f64,
    pub(super) guessed: bool,
}

/// What the lookups below a row add to it.
struct Embedded {
    /// The bytes of the values of each column that they add.
    widths: Vec<f64>,
    rows: f64,
    guessed: bool,
}

impl NodeEstimates<'_> {
    pub(super) fn of_view(&self, view: &View) -> ViewRows {
        let (shape, embedded) = match &view.body {
            Body::Query(query) => (self.of_node(&query.node), Embedded { widths: Vec::new(), rows: 0.0, guessed: false }),
            Body::Document(Document { root, lookups }) => {
                let shape = self.of_node(&root.rows);
                let embedded = self.embedded(root, &shape, lookups);
                (shape, embedded)
            }
        };
        let shown = view.schema.len() - embedded.widths.len();
        let widths: Vec<f64> = shape.widths[..shown].iter().chain(&embedded.widths).copied().collect();
        ViewRows {
            rows: shape.rows,
            row_bytes: row_bytes(&view.schema, &widths),
            key_bytes: key_bytes(&view.schema, &widths, &view.key),
            children: embedded.rows,
            guessed: shape.guessed || embedded.guessed,
        }
    }

    fn embedded(&self, parent: &Input, shape: &NodeEstimate, lookups: &[Lookup]) -> Embedded {
        let mut all = Embedded { widths: Vec::new(), rows: 0.0, guessed: false };
        for lookup in lookups {
            let child = self.of_node(&lookup.input.rows);
            let below = self.embedded(&lookup.input, &child, &lookup.children);
            let found = self.matches((&parent.rows, shape, &lookup.parent_columns), (&lookup.input.rows, &child, &lookup.child_columns));
            let widths: Vec<f64> = child.widths[..lookup.input.visible].iter().chain(&below.widths).copied().collect();
            let bytes = row_bytes(&lookup.element, &widths);
            all.rows += found * (1.0 + below.rows);
            all.guessed |= child.guessed || below.guessed;
            match &lookup.embed {
                Embed::Object { .. } => all.widths.push(found.min(1.0) * bytes),
                Embed::Flatten { .. } => {
                    let one = |(width, column): (&f64, &crate::value::Column)| fixed_width(&column.ty).unwrap_or(width * found.min(1.0));
                    all.widths.extend(widths.iter().zip(lookup.element.columns()).map(one));
                }
                Embed::Array { field, limit, aggregates, .. } => {
                    let shown = limit.map_or(found, |limit| found.min(limit as f64));
                    // The number of items, and the end of each.
                    all.widths.extend(field.iter().map(|_| 4.0 + shown * (4.0 + bytes)));
                    all.widths.extend(aggregates.iter().map(|aggregate| {
                        let mean = bytes / lookup.element.len().max(1) as f64;
                        fixed_width(&aggregate.function.output().ty).unwrap_or(mean)
                    }));
                }
            }
        }
        all
    }
}
