//! Looks for anything that would make the sink fail or surprise its users: missing permissions, an unsuitable collection, other documents in it,
//! column names that servers refuse, keys that have another form in `_id`, steps that readers see in part. Writes nothing.

use bson::{Bson, Document, doc};

use super::document::{DocumentShape, first_name};
use super::target::{POSITIONS, Target, Transactions};
use crate::finding::{Finding, Severity};
use crate::sinks::{SinkError, ViewShape};

/// All findings, errors first. `view`: if it is known.
pub(super) async fn findings(target: &Target, view: Option<&ViewShape>) -> Result<Vec<Finding>, SinkError> {
    let mut findings = Vec::new();
    match view.map(DocumentShape::new) {
        Some(Err(SinkError::Stopped { message, help })) => findings.push(Finding { severity: Severity::Error, message, fix: help }),
        Some(Ok(shape)) => findings.extend(view.into_iter().flat_map(|view| surprises(view, &shape))),
        Some(Err(_)) | None => {}
    }
    match target.find_collection().await {
        Ok(_) => {}
        Err(SinkError::Stopped { message, help }) => findings.push(Finding { severity: Severity::Error, message, fix: help }),
        Err(error) => return Err(error),
    }
    let indexes = view.is_none_or(|view| !view.indexes.is_empty());
    let missing = match target.command(doc! {"connectionStatus": 1, "showPrivileges": true}).await {
        Ok(rights) => missing_rights(&rights, target, indexes),
        // A compatible server without this command: missing permissions are only found when the sink runs.
        Err(SinkError::Stopped { .. }) => None,
        Err(error) => return Err(error),
    };
    if missing.is_some() {
        findings.extend(missing);
        return Ok(findings);
    }
    if let Some(view) = view
        && target.stored(&view.name).await?.is_none()
        && target.holds_documents().await?
    {
        findings.push(Finding { severity: Severity::Warning, message: strangers(target, view), fix: None });
    }
    if target.transactions == Transactions::None {
        findings.push(Finding { severity: Severity::Note, message: no_transactions(target), fix: None });
    }
    Ok(findings)
}

fn no_transactions(target: &Target) -> String {
    let (collection, hosts) = (&target.place.collection, &target.place.hosts);
    format!(
        "{hosts} has no transactions: while a step is being written, usually for some milliseconds, a reader of several documents of \
         {collection} may see some of them as before the step and some as after it"
    )
}

/// Warnings about columns whose form in the documents may surprise.
fn surprises(view: &ViewShape, shape: &DocumentShape) -> Vec<Finding> {
    let warning = |message: String| Finding { severity: Severity::Warning, message, fix: None };
    let mut found = Vec::new();
    for (column, ty, form) in shape.ids.exact_forms() {
        found.push(warning(format!(
            "the key column `{column}` of the view `{}` is {ty}; in `_id` it is {form}, so that different values stay different",
            view.name
        )));
    }
    if let Some(name) = first_name(&view.schema, &|name| name.starts_with('$')) {
        let message = format!("the view `{}` has a column `{name}`; servers refuse such names or interpret them as operators", view.name);
        found.push(Finding { fix: Some("rename the column".into()), ..warning(message) });
    } else if let Some(name) = first_name(&view.schema, &|name| name.is_empty() || name.contains('.')) {
        let message = format!("the view `{}` has a column `{name}`; a query interprets this name as a path", view.name);
        found.push(Finding { fix: Some("rename the column".into()), ..warning(message) });
    }
    found
}

fn strangers(target: &Target, view: &ViewShape) -> String {
    let (collection, hosts, view) = (&target.place.collection, &target.place.hosts, &view.name);
    format!(
        "{collection} at {hosts} has documents already; the first run makes it equal to the view `{view}` and deletes all other documents"
    )
}

const DATA: &[&str] = &["find", "insert", "update", "remove"];
const INDEX: &str = "createIndex";

/// The permissions that the user lacks, by the server's answer to `connectionStatus`. `None` if none is missing, if nobody is logged in, or if
/// the server does not report permissions.
fn missing_rights(answer: &Document, target: &Target, indexes: bool) -> Option<Finding> {
    let info = answer.get_document("authInfo").ok()?;
    let user = info.get_array("authenticatedUsers").ok()?.first()?.as_document()?;
    let privileges = info.get_array("authenticatedUserPrivileges").ok()?;
    let database = target.database.name();
    let mut missing = Vec::new();
    for (collection, actions) in
        [(target.collection.as_str(), DATA.iter().chain(indexes.then_some(&INDEX))), (POSITIONS, DATA.iter().chain(None))]
    {
        let denied: Vec<&str> = actions.copied().filter(|action| !allows(privileges, database, collection, action)).collect();
        if !denied.is_empty() {
            missing.push(format!("{} in {database}.{collection}", denied.join(", ")));
        }
    }
    let (name, of) = (user.get_str("user").unwrap_or_default(), user.get_str("db").unwrap_or("admin"));
    let grant = format!("db.getSiblingDB(\"{of}\").grantRolesToUser(\"{name}\", [{{role: \"readWrite\", db: \"{database}\"}}])");
    (!missing.is_empty()).then(|| Finding {
        severity: Severity::Error,
        message: format!("MongoDB at {} does not let the user `{name}` {}", target.place.hosts, missing.join(" and ")),
        fix: Some(grant),
    })
}

/// An empty name in a resource means any; see <https://www.mongodb.com/docs/manual/reference/resource-document/>.
fn allows(privileges: &[Bson], database: &str, collection: &str, action: &str) -> bool {
    privileges.iter().filter_map(Bson::as_document).any(|privilege| {
        let Ok(resource) = privilege.get_document("resource") else { return false };
        let of = |name: &str, wanted: &str| resource.get_str(name).is_ok_and(|value| value.is_empty() || value == wanted);
        let covered = resource.get_bool("anyResource").unwrap_or(false) || of("db", database) && of("collection", collection);
        let actions = privilege.get_array("actions").map(Vec::as_slice).unwrap_or_default();
        covered && actions.iter().any(|allowed| matches!(allowed.as_str(), Some("anyAction")) || allowed.as_str() == Some(action))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::mongodb::errors::TargetName;
    use crate::sinks::mongodb::target::Limits;

    fn target() -> Target {
        let client = mongodb::Client::with_options(mongodb::options::ClientOptions::default()).unwrap();
        let place = TargetName { hosts: "h:1".into(), collection: "views.orders".into() };
        let limits = Limits { documents: 1, document_bytes: 1, command_bytes: 1 };
        Target { database: client.database("views"), collection: "orders".into(), place, limits, transactions: Transactions::None }
    }

    /// A server's answer for a user with these privileges.
    fn answer(privileges: Vec<Document>) -> Document {
        let users = vec![doc! {"user": "tide", "db": "admin"}];
        doc! {"authInfo": {"authenticatedUsers": users, "authenticatedUserRoles": [], "authenticatedUserPrivileges": privileges}, "ok": 1}
    }

    fn message(answer: &Document) -> Option<String> {
        missing_rights(answer, &target(), true).map(|finding| finding.message)
    }

    #[tokio::test]
    async fn rights_are_enough_however_they_were_granted() {
        let all = ["find", "insert", "update", "remove", "createIndex", "collStats"].map(Bson::from).to_vec();
        let on = |resource: Document| doc! {"resource": resource, "actions": all.clone()};
        for privileges in [
            vec![on(doc! {"db": "views", "collection": ""})],
            vec![on(doc! {"db": "", "collection": ""})],
            vec![doc! {"resource": {"anyResource": true}, "actions": ["anyAction"]}],
            vec![on(doc! {"db": "views", "collection": "orders"}), on(doc! {"db": "views", "collection": "tidemill_positions"})],
        ] {
            assert_eq!(message(&answer(privileges)), None);
        }
        assert_eq!(message(&doc! {"authInfo": {"authenticatedUsers": []}}), None, "nobody is logged in");
        assert_eq!(message(&doc! {"authInfo": {"authenticatedUsers": [{"user": "tide"}]}}), None, "the server does not say");
    }

    #[tokio::test]
    async fn what_the_user_may_not_do_is_named_with_the_grant_that_mends_it() {
        let read = doc! {"resource": {"db": "views", "collection": ""}, "actions": ["find"]};
        let elsewhere = doc! {"resource": {"db": "other", "collection": ""}, "actions": ["find", "insert", "update", "remove"]};
        let finding = missing_rights(&answer(vec![read, elsewhere]), &target(), true).unwrap();
        assert_eq!(
            finding.message,
            "MongoDB at h:1 does not let the user `tide` insert, update, remove, createIndex in views.orders and insert, update, remove in \
             views.tidemill_positions"
        );
        assert_eq!(finding.fix.unwrap(), r#"db.getSiblingDB("admin").grantRolesToUser("tide", [{role: "readWrite", db: "views"}])"#);
        let no_index = doc! {"resource": {"db": "views", "collection": ""}, "actions": ["find", "insert", "update", "remove"]};
        assert_eq!(
            message(&answer(vec![no_index.clone()])).unwrap(),
            "MongoDB at h:1 does not let the user `tide` createIndex in views.orders"
        );
        assert!(missing_rights(&answer(vec![no_index]), &target(), false).is_none());
    }
}
