//! Parses a number of bytes as people write it: `500MB`, `2 GiB`, `1.5G`, `4096`.

/// Returns the number of bytes. Units are powers of 1,000 (kB, MB, GB, TB; the B is optional) or of 1,024 (KiB, MiB, GiB, TiB), in any case.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let per_unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        unit => return Err(format!("`{unit}` is not a unit of bytes: use kB, MB, GB, TB, KiB, MiB, GiB or TiB")),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let too_many = || "the number of bytes is too large".to_string();
    if whole.is_empty() || part.contains('.') || part.len() > 9 {
        return Err("expected a number of bytes, such as 500MB or 2GiB".into());
    }
    let whole = whole.parse::<u64>().map_err(|_| too_many())?;
    let part = if part.is_empty() {
        0
    } else {
        part.parse::<u64>().map_err(|_| too_many())? as u128 * per_unit as u128 / 10u128.pow(part.len() as u32)
    };
    whole.checked_mul(per_unit).and_then(|bytes| bytes.checked_add(part as u64)).ok_or_else(too_many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_and_without_a_unit() {
        let read = ["0", "4096", "500MB", "500 mb", "2GiB", "1.5G", "0.25KiB", "3tb", "7B"];
        assert_eq!(
            read.map(|text| parse(text).unwrap()),
            [0, 4096, 500_000_000, 500_000_000, 2 << 30, 1_500_000_000, 256, 3_000_000_000_000, 7]
        );
    }

    #[test]
    fn what_is_no_number_of_bytes_is_refused() {
        let refused = ["", "GB", "-1", "1.2.3", "5 apples", "99999999999999999999", "20000000TiB"];
        let said = refused.map(|text| parse(text).unwrap_err());
        assert_eq!(said[4], "`apples` is not a unit of bytes: use kB, MB, GB, TB, KiB, MiB, GiB or TiB");
        assert_eq!(
            (said[0].as_str(), said[5].as_str()),
            ("expected a number of bytes, such as 500MB or 2GiB", "the number of bytes is too large")
        );
    }
}
