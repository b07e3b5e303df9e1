//! How often values are there, as a JSON document: `{"engine":2,"motor":1}`.
//!
//! A field is named by its value's text, which is that of JSON without quotes; fields have the order of the values.

use super::{Diff, Layout, Type, json, row_of_key};

/// Whether values of this type have a text that names them.
pub fn is_counted(ty: &Type) -> bool {
    !matches!(ty, Type::Struct(_) | Type::List(_) | Type::Json | Type::Binary)
}

/// The document for values of a type that [is counted](is_counted), by their keys, in their order; `layout` has a column for the value.
/// What is not there more often than 0 times is left out.
pub fn histogram<'a>(layout: &Layout, counts: impl Iterator<Item = (&'a [u8], Diff)>) -> String {
    let ty = &layout.schema().columns()[0].ty;
    let mut out = vec![b'{'];
    for (key, count) in counts.filter(|(_, count)| *count > 0) {
        if out.len() > 1 {
            out.push(b',');
        }
        let row = row_of_key(layout, key).expect("it was made of a value");
        let from = out.len();
        json::write_datum(ty, layout.get(&row, 0), &mut out);
        if out[from] != b'"' {
            out.insert(from, b'"');
            out.push(b'"');
        }
        out.push(b':');
        out.extend_from_slice(count.to_string().as_bytes());
    }
    out.push(b'}');
    String::from_utf8(out).expect("JSON is UTF-8")
}
