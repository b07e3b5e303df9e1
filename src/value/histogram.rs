//! Counts of values as a JSON document: `{"engine":2,"motor":1}`.
//!
//! A field's name is the value's JSON text without quotes. Fields are ordered by value.

use super::{Diff, Layout, Type, json, row_of_key};

/// Whether values of this type can be counted: their text can be a field name.
pub fn is_counted(ty: &Type) -> bool {
    !matches!(ty, Type::Struct(_) | Type::List(_) | Type::Json | Type::Binary)
}

/// The document for pairs of a value's key and its count, in key order. `layout` has one column, of a type that [is counted](is_counted).
/// Values with a count of 0 or less are left out.
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
