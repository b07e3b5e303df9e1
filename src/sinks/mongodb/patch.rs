//! Computes the smallest update from one row of a view to another: `$set` and `$unset` of the changed paths.
//!
//! The updated document has the same bytes as a whole replacement. So a field that was absent before is set together with its whole parent,
//! because `$set` of the field alone would put it last. Arrays of equal length are compared item by item; arrays of different length are set as
//! a whole.

use ::bson::raw::CString;
use ::bson::{RawBson, RawDocumentBuf};

use crate::value::{Datum, Layout, Type, bson, list_items};

/// The update, or `None` if it has more than half of the row's bytes, or if only a whole replacement keeps the order of the fields. The first
/// `id_columns` columns are the `_id`, which does not change.
pub(super) fn patch(layout: &Layout, id_columns: usize, before: &[u8], after: &[u8]) -> Option<RawDocumentBuf> {
    patch_of(layout, id_columns, before, after, after.len() / 2)
}

fn patch_of(layout: &Layout, id_columns: usize, before: &[u8], after: &[u8], allowed: usize) -> Option<RawDocumentBuf> {
    let mut changes = FieldChanges { sets: Vec::new(), unsets: Vec::new(), bytes: 0, allowed };
    let mut path = String::new();
    if !changes.compare(layout, id_columns, before, after, &mut path) || changes.bytes > changes.allowed {
        return None;
    }
    changes.update()
}

struct FieldChanges {
    sets: Vec<(String, RawBson)>,
    unsets: Vec<String>,
    bytes: usize,
    allowed: usize,
}

impl FieldChanges {
    /// Collects the differences. Returns false if the document at `path` must be written as a whole; the caller then drops the changes below it.
    fn compare(&mut self, layout: &Layout, first: usize, before: &[u8], after: &[u8], path: &mut String) -> bool {
        for (i, column) in layout.schema().columns().iter().enumerate().skip(first) {
            let (old, new) = (layout.get(before, i), layout.get(after, i));
            if is_same(layout, i, before, after) {
                continue;
            }
            if column.absent_when_null && old == Datum::Null || self.bytes > self.allowed {
                return false;
            }
            let length = path.len();
            push_name(path, &column.name);
            match new {
                Datum::Null if column.absent_when_null => self.unset(path),
                _ if self.compare_within(layout, i, (old, new), path) => {}
                _ => self.set(path, bson::to_bson(&column.ty, new)),
            }
            path.truncate(length);
        }
        true
    }

    /// Compares the contents of a struct or list. Returns false if the column must be set as a whole.
    fn compare_within(&mut self, layout: &Layout, column: usize, values: (Datum, Datum), path: &mut String) -> bool {
        let mark = (self.sets.len(), self.unsets.len(), self.bytes);
        let nested = layout.nested(column);
        let done = match (values, nested) {
            ((Datum::Struct(old), Datum::Struct(new)), Some(nested)) => self.compare(nested, 0, old, new, path),
            ((Datum::List(old), Datum::List(new)), Some(nested)) => {
                let Type::List(item) = &layout.schema().columns()[column].ty else { unreachable!("a list has a list's type") };
                self.compare_items(nested, matches!(**item, Type::Struct(_)), (old, new), path)
            }
            _ => false,
        };
        if !done {
            self.sets.truncate(mark.0);
            self.unsets.truncate(mark.1);
            self.bytes = mark.2;
        }
        done
    }

    fn compare_items(&mut self, nested: &Layout, of_structs: bool, lists: (&[u8], &[u8]), path: &mut String) -> bool {
        let (old, new) = (list_items(lists.0), list_items(lists.1));
        if old.len() != new.len() {
            return false;
        }
        for (i, (old, new)) in old.zip(new).enumerate().filter(|(_, (old, new))| old != new) {
            if !of_structs {
                return false;
            }
            let length = path.len();
            push_name(path, &i.to_string());
            let mark = (self.sets.len(), self.unsets.len(), self.bytes);
            if !self.compare(nested, 0, old, new, path) {
                self.sets.truncate(mark.0);
                self.unsets.truncate(mark.1);
                self.bytes = mark.2;
                self.set(path, RawBson::Document(bson::write_row(nested, new)));
            }
            path.truncate(length);
        }
        true
    }

    fn set(&mut self, path: &str, value: RawBson) {
        self.bytes += path.len() + size_of(&value);
        self.sets.push((path.to_string(), value));
    }

    fn unset(&mut self, path: &str) {
        self.bytes += path.len() + 1;
        self.unsets.push(path.to_string());
    }

    fn update(self) -> Option<RawDocumentBuf> {
        let mut update = RawDocumentBuf::new();
        if !self.sets.is_empty() {
            let mut fields = RawDocumentBuf::new();
            for (path, value) in self.sets {
                fields.append(CString::try_from(path).ok()?, value);
            }
            update.append(super::cstr!("$set"), fields);
        }
        if !self.unsets.is_empty() {
            let mut fields = RawDocumentBuf::new();
            for path in self.unsets {
                fields.append(CString::try_from(path).ok()?, true);
            }
            update.append(super::cstr!("$unset"), fields);
        }
        // An update without an operator would replace the document by an empty one.
        (!update.is_empty()).then_some(update)
    }
}

fn is_same(layout: &Layout, column: usize, before: &[u8], after: &[u8]) -> bool {
    match (layout.is_null(before, column), layout.is_null(after, column)) {
        (false, false) => layout.raw(before, column) == layout.raw(after, column),
        (old, new) => old == new,
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// The approximate size of a value in bytes.
fn size_of(value: &RawBson) -> usize {
    match value {
        RawBson::String(text) => text.len() + 5,
        RawBson::Document(document) => document.as_bytes().len(),
        RawBson::Array(array) => array.as_bytes().len(),
        RawBson::Binary(binary) => binary.bytes.len() + 5,
        _ => 16,
    }
}

#[cfg(test)]
mod tests {
    use ::bson::{Bson, Document, doc};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::value::{Column, Row, RowBuilder, Schema, json as value_json};

    /// `{id, city, customer: {id, city, home: {zip}}, items: [{id, product: {id, name}}], tags: [text]}`, all objects absent when NULL.
    fn layout() -> Layout {
        let text = |name: &str| Column::new(name, Type::Text, true);
        let object = |name: &str, columns| Column { absent_when_null: true, ..Column::new(name, Type::Struct(Schema::new(columns)), true) };
        let customer = vec![text("id"), text("city"), object("home", vec![text("zip")]), text("last")];
        let item = Type::Struct(Schema::new(vec![text("id"), object("product", vec![text("id"), text("name")])]));
        Layout::new(&Schema::new(vec![
            text("id"),
            text("city"),
            object("customer", customer),
            Column::new("items", Type::List(Box::new(item)), true),
            Column::new("tags", Type::List(Box::new(Type::Text)), true),
        ]))
    }

    fn row(layout: &Layout, value: &Value) -> Row {
        let mut builder = RowBuilder::new(layout);
        value_json::push_object(&mut builder, value.as_object().unwrap()).unwrap();
        builder.finish()
    }

    fn document(layout: &Layout, row: &Row) -> Document {
        bson::write_row(layout, row).try_into().unwrap()
    }

    /// Updates a document as MongoDB does with `$set` and `$unset`: an existing field keeps its place, a new one is appended.
    fn updated(mut document: Document, update: &Document) -> Document {
        for (path, value) in update.get_document("$set").into_iter().flatten() {
            let (parent, name) = parent_of(&mut document, path);
            match parent {
                Parent::Document(parent) => drop(parent.insert(name, value.clone())),
                Parent::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
            }
        }
        for (path, _) in update.get_document("$unset").into_iter().flatten() {
            let (Parent::Document(parent), name) = parent_of(&mut document, path) else { panic!("an item is never unset") };
            parent.remove(name).expect("what is unset was there");
        }
        document
    }

    enum Parent<'a> {
        Document(&'a mut Document),
        Array(&'a mut Vec<Bson>),
    }

    fn parent_of<'a, 'b>(document: &'a mut Document, path: &'b str) -> (Parent<'a>, &'b str) {
        let mut names: Vec<&str> = path.split('.').collect();
        let last = names.pop().unwrap();
        let mut at = Parent::Document(document);
        for name in names {
            let next = match at {
                Parent::Document(document) => document.get_mut(name).expect("the parent of a path is there"),
                Parent::Array(items) => &mut items[name.parse::<usize>().unwrap()],
            };
            at = match next {
                Bson::Document(document) => Parent::Document(document),
                Bson::Array(items) => Parent::Array(items),
                _ => panic!("a path goes through documents and arrays"),
            };
        }
        (at, last)
    }

    fn patched(before: Value, after: Value) -> Option<Document> {
        let layout = layout();
        let (before, after) = (row(&layout, &before), row(&layout, &after));
        let update: Document = patch_of(&layout, 0, &before, &after, usize::MAX)?.try_into().unwrap();
        assert_eq!(updated(document(&layout, &before), &update), document(&layout, &after));
        Some(update)
    }

    #[test]
    fn only_what_changed_is_set() {
        let item = |name: &str| json!({"id": "1", "product": {"id": "p", "name": name}});
        let order = |city: &str, name: &str| json!({"id": "o", "customer": {"id": "c", "city": city}, "items": [item("x"), item(name)]});
        assert_eq!(patched(order("a", "x"), order("b", "x")), Some(doc! {"$set": {"customer.city": "b"}}));
        assert_eq!(patched(order("a", "x"), order("a", "y")), Some(doc! {"$set": {"items.1.product.name": "y"}}));
        assert_eq!(patched(order("a", "x"), order("a", "x")), None);
        let null = json!({"id": "o", "customer": {"id": "c", "city": null}, "items": [item("x"), item("x")]});
        assert_eq!(patched(order("a", "x"), null), Some(doc! {"$set": {"customer.city": null}}));
    }

    #[test]
    fn an_object_that_goes_is_unset_and_one_that_comes_is_set_with_its_parent() {
        let with = json!({"id": "o", "customer": {"id": "c", "home": {"zip": "1"}}});
        let without = json!({"id": "o", "customer": {"id": "c"}});
        assert_eq!(patched(with.clone(), without.clone()), Some(doc! {"$unset": {"customer.home": true}}));
        let customer = doc! {"id": "c", "city": null, "home": {"zip": "1"}, "last": null};
        assert_eq!(patched(without, with.clone()), Some(doc! {"$set": {"customer": customer}}));
        assert_eq!(patched(json!({"id": "o"}), with), None, "the whole document must be written to keep the order");
    }

    #[test]
    fn an_array_of_another_length_is_set_whole() {
        assert_eq!(patched(json!({"tags": ["a"]}), json!({"tags": ["a", "b"]})), Some(doc! {"$set": {"tags": ["a", "b"]}}));
        assert_eq!(patched(json!({"tags": ["a", "c"]}), json!({"tags": ["a", "b"]})), Some(doc! {"$set": {"tags": ["a", "b"]}}));
        assert_eq!(patched(json!({"items": [{"id": "1"}]}), json!({"items": []})), Some(doc! {"$set": {"items": []}}));
    }

    #[test]
    fn more_than_half_of_the_row_is_written_whole() {
        let layout = layout();
        let (before, after) =
            (row(&layout, &json!({"id": "1", "city": "a long name"})), row(&layout, &json!({"id": "1", "city": "a longer name"})));
        assert!(patch(&layout, 0, &before, &after).is_none());
    }

    /// Orders with few different values, so that two documents have much in common.
    fn any_order() -> impl Strategy<Value = Value> {
        let text = || prop::option::of(0..3u8).prop_map(|v| v.map_or(Value::Null, |v| v.to_string().into()));
        let home = prop::option::of(text().prop_map(|zip| json!({"zip": zip})));
        let customer =
            (text(), text(), home, text()).prop_map(|(id, city, home, last)| json!({"id": id, "city": city, "home": home, "last": last}));
        let product = prop::option::of((text(), text()).prop_map(|(id, name)| json!({"id": id, "name": name})));
        let item = (text(), product).prop_map(|(id, product)| json!({"id": id, "product": product}));
        let items = prop::option::of(prop::collection::vec(item, 0..3));
        let tags = prop::option::of(prop::collection::vec(text(), 0..3));
        (text(), text(), prop::option::of(customer), items, tags).prop_map(
            |(id, city, customer, items, tags)| json!({"id": id, "city": city, "customer": customer, "items": items, "tags": tags}),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_patch_makes_the_document_that_a_replacement_makes(before in any_order(), after in any_order()) {
            patched(before, after);
        }
    }
}
