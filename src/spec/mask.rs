//! Hides secrets in lines that messages show: options that are declared secret, and values that look like passwords.

use super::span::Span;

const MASK: &str = "***";
pub(super) const SECRET_NAMES: [&str; 7] = ["password", "passwd", "pwd", "secret", "token", "credential", "private_key"];

/// The line with its secrets replaced by `***`, and a function from columns of the line to columns of the result. `number`: the line's
/// number, from 0.
pub(super) fn mask(line: &str, number: usize, secrets: &[Span]) -> (String, impl Fn(usize) -> usize + use<>) {
    let chars: Vec<char> = line.chars().collect();
    let mut hidden = vec![false; chars.len()];
    for span in secrets.iter().filter(|s| s.line <= number && number <= s.end_line) {
        let start = if span.line == number { span.column } else { 0 };
        let end = if span.end_line == number { span.end_column } else { chars.len() };
        let text: String = chars[start.min(chars.len())..end.min(chars.len())].iter().collect();
        for (from, to) in secret_parts(&text) {
            hidden[start + from..start + to].fill(true);
        }
    }
    url_passwords(&chars, &mut hidden);
    named_values(line, &mut hidden);
    let mut shown = String::new();
    let mut columns = Vec::with_capacity(chars.len() + 1);
    for (i, c) in chars.iter().enumerate() {
        columns.push(shown.chars().count());
        match hidden[i] {
            true if i > 0 && hidden[i - 1] => {
                let before = columns[i - 1];
                columns[i] = before;
            }
            true => shown.push_str(MASK),
            false => shown.push(*c),
        }
    }
    let end = shown.chars().count();
    (shown, move |column| columns.get(column).copied().unwrap_or(end))
}

/// The secret parts of a secret option's value, as ranges of characters: the whole value, except that a reference to a variable is not
/// secret, and of a URL only the parameters are.
fn secret_parts(text: &str) -> Vec<(usize, usize)> {
    let quoted = text.len() >= 2 && text.starts_with(['"', '\'']) && text.ends_with(['"', '\'']);
    let (inner, shift) = if quoted { (&text[1..text.len() - 1], 1) } else { (text, 0) };
    let length = inner.chars().count();
    if inner.contains("://") {
        // The password before the last `@` is hidden as in every line; the parameters may contain anything.
        let parameters = inner.chars().position(|c| c == '?').map_or(length, |at| at + 1);
        return vec![(shift + parameters, shift + length)];
    }
    match is_variable(inner) {
        true => Vec::new(),
        false => vec![(shift, shift + length)],
    }
}

/// Whether the text is exactly `${NAME}`, which shows no secret.
fn is_variable(text: &str) -> bool {
    text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// Hides the password in `scheme://user:password@`, unless it is a variable.
fn url_passwords(chars: &[char], hidden: &mut [bool]) {
    let at = |i: usize, text: &str| text.chars().enumerate().all(|(n, c)| chars.get(i + n) == Some(&c));
    for start in (0..chars.len()).filter(|&i| at(i, "://")).map(|i| i + 3) {
        let end = (start..chars.len()).find(|&i| matches!(chars[i], ' ' | '"' | '\'')).unwrap_or(chars.len());
        let Some(host) = (start..end).rev().find(|&i| chars[i] == '@') else { continue };
        let Some(colon) = (start..host).find(|&i| chars[i] == ':') else { continue };
        let password: String = chars[colon + 1..host].iter().collect();
        if !is_variable(&password) {
            hidden[colon + 1..host].fill(true);
        }
    }
}

/// Hides the values of `password: ...` and similar names, even if the name is not an option.
fn named_values(line: &str, hidden: &mut [bool]) {
    let lower = line.to_lowercase();
    if lower.len() != line.len() {
        return;
    }
    for name in SECRET_NAMES {
        for (found, _) in lower.match_indices(name) {
            let Some(separator) = lower[found..].find([':', '=']).map(|at| found + at) else { continue };
            if !lower[found..separator].chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'' | ' ')) {
                continue;
            }
            let start = separator + 1 + line[separator + 1..].len() - line[separator + 1..].trim_start().len();
            let end = value_end(line, start);
            let value = line[start..end].trim_matches(['"', '\'']);
            if value.starts_with(['{', '[', '/']) || value.is_empty() || is_variable(value) {
                continue;
            }
            let (from, to) = (line[..start].chars().count(), line[..end].chars().count());
            hidden[from..to].fill(true);
        }
    }
}

/// The byte at which the value that starts at byte `start` ends.
fn value_end(line: &str, start: usize) -> usize {
    let rest = &line[start..];
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map_or(rest.len(), |at| at + 2),
        Some('$') if rest.starts_with("${") => rest.find('}').map_or(rest.len(), |at| at + 1),
        _ => rest.find([',', '}', '&', ' ']).unwrap_or(rest.len()),
    };
    start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, secrets: &[Span]) -> String {
        mask(line, 0, secrets).0
    }

    #[test]
    fn passwords_are_hidden_and_variables_are_not() {
        assert_eq!(shown(r#"url: "mysql://u:hunter2@host:3306/db""#, &[]), r#"url: "mysql://u:***@host:3306/db""#);
        assert_eq!(shown("url: mysql://u:${P}@host/db", &[]), "url: mysql://u:${P}@host/db");
        assert_eq!(shown("url: mysql://u:${P:-hunter2}@host/db", &[]), "url: mysql://u:***@host/db");
        assert_eq!(shown("url: mysql://u:p@ss@host/db", &[]), "url: mysql://u:***@host/db");
        assert_eq!(shown("{user: a, password: hunter2, port: 1}", &[]), "{user: a, password: ***, port: 1}");
        assert_eq!(shown("{password: \"a, b\", port: 1}", &[]), "{password: ***, port: 1}");
        assert_eq!(shown("{password: ${P}, port: 1}", &[]), "{password: ${P}, port: 1}");
        assert_eq!(shown("password: {file: /run/secrets/x}", &[]), "password: {file: /run/secrets/x}");
    }

    #[test]
    fn a_declared_secret_is_hidden_whole_and_columns_move_with_it() {
        let line = "key: abcdefgh, kind: x";
        let (shown, column) = mask(line, 0, &[Span::on_line(0, 5, 8)]);
        assert_eq!(shown, "key: ***, kind: x");
        assert_eq!((column(3), column(5), column(9), column(13), column(15)), (3, 5, 5, 8, 10));
        assert_eq!(self::shown("uri: mongodb://h/?authToken=x&y=z", &[Span::on_line(0, 5, 28)]), "uri: mongodb://h/?***");
    }
}
