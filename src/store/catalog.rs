//! The catalog of the store: its inputs and views with their schemas, so that a reader without an engine needs no spec.
//!
//! Stored as one JSON record. Ids are never reused, so remains of a dropped input or view cannot become part of another.

use serde::{Deserialize, Serialize};

use crate::value::{Column, Schema, Type};

use super::space_names::{log_name, parts_name, rows_name};

/// A captured table whose current rows are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDef {
    /// With its source's name, e.g. `shop.ecom_orders`.
    pub name: String,
    pub schema: Schema,
    /// The columns of the primary key; empty: a multiset.
    pub key: Vec<usize>,
}

/// A view whose rows and changelog are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDef {
    pub name: String,
    pub schema: Schema,
    /// The columns of the key, in key order.
    pub key: Vec<usize>,
    /// Changes when the view's definition does: equal text, equal answers.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct StoreCatalog {
    pub(super) next_id: u32,
    pub(super) inputs: Vec<InputRecord>,
    pub(super) views: Vec<ViewRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InputRecord {
    pub(super) id: u32,
    /// Whether a commit has completed its rows. Opening the store drops records that are not ready.
    pub(super) ready: bool,
    /// Its rows are those that were staged for it ([`Store::stage`](super::Store::stage)). Only until the next commit.
    #[serde(skip)]
    pub(super) staged: bool,
    pub(super) name: String,
    #[serde(with = "schema_json")]
    pub(super) schema: Schema,
    pub(super) key: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ViewRecord {
    pub(super) id: u32,
    pub(super) ready: bool,
    pub(super) name: String,
    #[serde(with = "schema_json")]
    pub(super) schema: Schema,
    pub(super) key: Vec<usize>,
    pub(super) fingerprint: String,
}

impl InputRecord {
    /// The record of an input without rows.
    pub(super) fn of(id: u32, def: &InputDef) -> InputRecord {
        let InputDef { name, schema, key } = def.clone();
        InputRecord { id, ready: false, staged: false, name, schema, key }
    }

    pub(super) fn def(&self) -> InputDef {
        InputDef { name: self.name.clone(), schema: self.schema.clone(), key: self.key.clone() }
    }
}

impl StoreCatalog {
    pub(super) fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Only the inputs and views that are ready.
    pub(super) fn ready_only(mut self) -> StoreCatalog {
        self.inputs.retain(|i| i.ready);
        self.views.retain(|v| v.ready);
        self
    }

    pub(super) fn has_input(&self, id: u32) -> bool {
        self.inputs.iter().any(|input| input.id == id)
    }

    /// The names of the key spaces of all inputs and views.
    pub(super) fn space_names(&self) -> impl Iterator<Item = String> {
        let inputs = self.inputs.iter().map(|input| rows_name(input.id));
        inputs.chain(self.views.iter().flat_map(|view| [rows_name(view.id), parts_name(view.id), log_name(view.id)]))
    }

    pub(super) fn all_ready(mut self) -> StoreCatalog {
        self.inputs.iter_mut().for_each(|i| (i.ready, i.staged) = (true, false));
        self.views.iter_mut().for_each(|v| v.ready = true);
        self
    }
}

/// A schema as JSON: a list of columns; a type is its name, or `{"struct": [columns]}`, or `{"list": type}`.
mod schema_json {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct ColumnJson {
        name: String,
        #[serde(rename = "type")]
        ty: TypeJson,
        nullable: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        absent_when_null: bool,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum TypeJson {
        Name(String),
        Struct {
            #[serde(rename = "struct")]
            columns: Vec<ColumnJson>,
        },
        List {
            #[serde(rename = "list")]
            item: Box<TypeJson>,
        },
    }

    pub(super) fn serialize<S: Serializer>(schema: &Schema, serializer: S) -> Result<S::Ok, S::Error> {
        columns_json(schema).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Schema, D::Error> {
        columns(Vec::<ColumnJson>::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    fn columns_json(schema: &Schema) -> Vec<ColumnJson> {
        let column = |c: &Column| ColumnJson {
            name: c.name.clone(),
            ty: type_json(&c.ty),
            nullable: c.nullable,
            absent_when_null: c.absent_when_null,
        };
        schema.columns().iter().map(column).collect()
    }

    fn type_json(ty: &Type) -> TypeJson {
        match ty {
            Type::Struct(schema) => TypeJson::Struct { columns: columns_json(schema) },
            Type::List(item) => TypeJson::List { item: Box::new(type_json(item)) },
            scalar => TypeJson::Name(scalar.to_string()),
        }
    }

    fn columns(json: Vec<ColumnJson>) -> Result<Schema, String> {
        let mut columns = Vec::with_capacity(json.len());
        for c in json {
            columns.push(Column { name: c.name, ty: ty(c.ty)?, nullable: c.nullable, absent_when_null: c.absent_when_null });
        }
        Ok(Schema::new(columns))
    }

    fn ty(json: TypeJson) -> Result<Type, String> {
        Ok(match json {
            TypeJson::Name(name) => name.parse()?,
            TypeJson::Struct { columns } => Type::Struct(self::columns(columns)?),
            TypeJson::List { item } => Type::List(Box::new(ty(*item)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_from_the_catalog_as_it_went_in() {
        let scalars = [
            Type::Bool,
            Type::Int8,
            Type::Int16,
            Type::Int32,
            Type::Int64,
            Type::UInt8,
            Type::UInt16,
            Type::UInt32,
            Type::UInt64,
            Type::Float32,
            Type::Float64,
            Type::Decimal { precision: 65, scale: 30 },
            Type::Decimal { precision: 10, scale: 0 },
            Type::Text,
            Type::Binary,
            Type::Json,
            Type::Date,
            Type::DateTime { fsp: 0 },
            Type::DateTime { fsp: 6 },
            Type::Timestamp { fsp: 3 },
            Type::Time { fsp: 1 },
        ];
        let mut columns: Vec<Column> =
            scalars.iter().enumerate().map(|(i, ty)| Column::new(format!("c{i}"), ty.clone(), i % 2 == 0)).collect();
        let inner = Schema::new(columns.clone());
        columns.push(Column { absent_when_null: true, ..Column::new("object", Type::Struct(inner.clone()), true) });
        columns.push(Column::new("array", Type::List(Box::new(Type::Struct(inner))), false));
        columns.push(Column::new("lists", Type::List(Box::new(Type::List(Box::new(Type::Int64)))), false));
        let record =
            ViewRecord { id: 1, ready: true, name: "v".into(), schema: Schema::new(columns), key: vec![0, 2], fingerprint: "f".into() };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<ViewRecord>(&text).unwrap(), record);
    }
}
