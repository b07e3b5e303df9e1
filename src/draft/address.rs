//! Replaces the secrets of a URL by environment variables, so that a spec can show it.

/// A URL without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownUrl {
    /// With `${VARIABLE}` where a secret was.
    pub text: String,
    /// The variables, each with the secret, as the URL has it.
    pub secrets: Vec<(String, String)>,
}

/// Words in the names of parameters whose values are not shown.
const SECRET: [&str; 8] = ["password", "passwd", "pwd", "secret", "token", "credential", "key", "properties"];

/// `None`: where the secret is cannot be seen, because a character that ends a part of a URL is in it. `variable`: what the password becomes.
pub fn shown_url(url: &str, variable: &str) -> Option<ShownUrl> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if !authority.contains('@') && tail.contains('@') {
        return None;
    }
    let mut secrets = Vec::new();
    let authority = match authority.rsplit_once('@') {
        Some((login, hosts)) => match login.split_once(':') {
            Some((user, password)) if !password.is_empty() => format!("{user}:{}@{hosts}", hidden(password, variable, &mut secrets)),
            _ => authority.to_string(),
        },
        None => authority.to_string(),
    };
    let tail = match tail.split_once('?') {
        Some((path, parameters)) => {
            let shown = parameters.split('&').map(|parameter| shown_parameter(parameter, variable, &mut secrets));
            format!("{path}?{}", shown.collect::<Vec<_>>().join("&"))
        }
        None => tail.to_string(),
    };
    Some(ShownUrl { text: format!("{scheme}://{authority}{tail}"), secrets })
}

fn shown_parameter(parameter: &str, variable: &str, secrets: &mut Vec<(String, String)>) -> String {
    let Some((name, value)) = parameter.split_once('=') else { return parameter.to_string() };
    match SECRET.iter().any(|secret| name.to_lowercase().contains(secret)) && !value.is_empty() {
        true => {
            let own: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            let variable = format!("{}_{}", variable.trim_end_matches("_PASSWORD"), own.to_uppercase());
            format!("{name}={}", hidden(value, &variable, secrets))
        }
        false => parameter.to_string(),
    }
}

/// The variable in the place of a secret. A secret that is a variable already stays.
fn hidden(secret: &str, variable: &str, secrets: &mut Vec<(String, String)>) -> String {
    if secret.starts_with("${") && secret.ends_with('}') && !secret[2..secret.len() - 1].contains(['$', '{', '}']) {
        return secret.to_string();
    }
    secrets.push((variable.to_string(), secret.to_string()));
    format!("${{{variable}}}")
}

/// The name of the database at the end of a URL.
pub fn database(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (_, tail) = rest.split_once('/')?;
    let name = tail.split(['?', '#', '/']).next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_becomes_a_variable() {
        let shown = |url: &str| shown_url(url, "SHOP_PASSWORD").map(|shown| shown.text);
        assert_eq!(shown("mysql://u:sesame@h:3306/shop").as_deref(), Some("mysql://u:${SHOP_PASSWORD}@h:3306/shop"));
        assert_eq!(shown("mysql://u:ses@me:x@h/shop").as_deref(), Some("mysql://u:${SHOP_PASSWORD}@h/shop"));
        assert_eq!(shown("mysql://u@h/shop").as_deref(), Some("mysql://u@h/shop"));
        assert_eq!(shown("mysql://u:${PW}@h/shop").as_deref(), Some("mysql://u:${PW}@h/shop"));
        assert_eq!(
            shown("mongodb://u:a@h1,h2/d?tls=true&tlsCertificateKeyFilePassword=sesame").as_deref(),
            Some("mongodb://u:${SHOP_PASSWORD}@h1,h2/d?tls=true&tlsCertificateKeyFilePassword=${SHOP_TLSCERTIFICATEKEYFILEPASSWORD}")
        );
        assert_eq!(shown("mysql://u:a/b@h/shop"), None);
        assert_eq!(shown("mysql://u:a?b@h/shop"), None);
        assert_eq!(shown_url("mysql://u:ses%40me@h/d", "P").unwrap().secrets, [("P".to_string(), "ses%40me".to_string())]);
    }

    #[test]
    fn a_database_is_the_path_of_a_url() {
        assert_eq!(database("mysql://u:p@h:1/shop?x=1"), Some("shop"));
        assert_eq!((database("mysql://u:p@h:1/"), database("mysql://h")), (None, None));
    }
}
