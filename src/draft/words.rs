//! Takes names apart into words, for guesses: `customerID`, `customer_id` and `CUSTOMER-ID` are `customer` and `id`.

/// The words of a name, in lower case. An `id` at the end of a word is a word of its own.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| chars[i]);
        let next_is_lower = chars.get(i + 1).is_some_and(|next| next.is_lowercase());
        let begins =
            c.is_uppercase() && before.is_some_and(|b| b.is_lowercase() || b.is_ascii_digit() || b.is_uppercase() && next_is_lower);
        if (begins || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    let joined = words.last().and_then(|last| last.strip_suffix("id")).filter(|stem| stem.len() > 1 && !["uu", "gu"].contains(stem));
    if let Some(stem) = joined.map(str::to_string) {
        words.pop();
        words.extend([stem, "id".to_string()]);
    }
    words
}

/// The singular of an English word, roughly: it is only compared with other results of this function.
pub(super) fn singular(word: &str) -> String {
    const IRREGULAR: [(&str, &str); 6] =
        [("people", "person"), ("children", "child"), ("men", "man"), ("women", "woman"), ("data", "datum"), ("indices", "index")];
    if let Some((_, one)) = IRREGULAR.iter().find(|(many, _)| *many == word) {
        return one.to_string();
    }
    let has_end = |ends: &[&str]| ends.iter().any(|end| word.ends_with(end));
    match word.len() {
        ..=3 => word.to_string(),
        _ if word.ends_with("ies") => format!("{}y", &word[..word.len() - 3]),
        _ if word.ends_with("uses") && !has_end(&["ouses", "auses"]) => word[..word.len() - 2].to_string(),
        _ if has_end(&["sses", "shes", "ches", "xes"]) => word[..word.len() - 2].to_string(),
        _ if word.ends_with('s') && !has_end(&["ss", "us", "is"]) => word[..word.len() - 1].to_string(),
        _ => word.to_string(),
    }
}

/// The words of a table's name, the last one in the singular.
pub(super) fn table_words(name: &str) -> Vec<String> {
    let mut words = words(name);
    if let Some(last) = words.last_mut() {
        *last = singular(last);
    }
    words
}

/// The name of what a column refers to: `customer` of `customer_id`. `None` if nothing is left.
pub(super) fn stem(column: &str) -> Option<String> {
    const ENDS: [&str; 12] = ["_id", "-id", "_uuid", "_guid", "_key", "_fk", "_code", "_no", "_nr", "Id", "ID", "Uuid"];
    const STARTS: [&str; 3] = ["id_", "fk_", "ID_"];
    let starts = |stem: &str| STARTS.iter().find_map(|start| stem.strip_prefix(start)).map(str::to_string);
    let from_start = starts(column);
    let rest = from_start.as_deref().unwrap_or(column);
    let end = ENDS.iter().find_map(|end| rest.strip_suffix(end)).or_else(|| lower_id(rest));
    let stem = end.map(str::to_string).or(from_start)?;
    (!stem.is_empty()).then_some(stem)
}

/// `user` of `userid`.
fn lower_id(name: &str) -> Option<&str> {
    name.strip_suffix("id").filter(|stem| stem.len() > 2 && stem.ends_with(|c: char| c.is_ascii_lowercase()) && !name.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_words() {
        for name in ["customer_id", "customerId", "CustomerID", "CUSTOMER-ID", "customerid"] {
            assert_eq!(words(name), ["customer", "id"], "{name}");
        }
        assert_eq!(words("HTTPServer2Log"), ["http", "server2", "log"]);
        assert_eq!(words("uuid"), ["uuid"]);
        assert_eq!(table_words("sales_order_lines"), ["sales", "order", "line"]);
    }

    #[test]
    fn one_is_named_as_many_are() {
        for (many, one) in
            [("categories", "category"), ("addresses", "address"), ("boxes", "box"), ("statuses", "status"), ("warehouses", "warehouse")]
        {
            assert_eq!(singular(many), one);
        }
        assert_eq!((singular("people"), singular("bus"), singular("orders")), ("person".into(), "bus".into(), "order".into()));
    }

    #[test]
    fn the_stem_of_a_column_is_what_it_refers_to() {
        for column in ["customer_id", "customerId", "customerID", "id_customer", "fk_customer", "customer_uuid", "customerid"] {
            assert_eq!(stem(column).as_deref(), Some("customer"), "{column}");
        }
        assert_eq!((stem("id"), stem("manager"), stem("_id"), stem("paid_at")), (None, None, None, None));
    }
}
