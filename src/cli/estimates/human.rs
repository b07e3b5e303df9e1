//! Estimates as people read them: two digits, and units.

/// A number of things: `450,000`.
pub(super) fn count(number: f64) -> String {
    let digits = format!("{:.0}", two_digits(number));
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).expect("digits are ASCII")).collect();
    parts.join(",")
}

/// A number of bytes: `49 MB`, `1.2 GB`.
pub(super) fn bytes(number: f64) -> String {
    let rounded = two_digits(number);
    let (unit, name) = match rounded {
        ..1e3 => return format!("{rounded:.0} bytes"),
        ..1e6 => (1e3, "kB"),
        ..1e9 => (1e6, "MB"),
        ..1e12 => (1e9, "GB"),
        _ => (1e12, "TB"),
    };
    format!("{} {name}", two_digits(rounded / unit))
}

/// A time: `0.4 s`, `45 s`, `1 min 10 s`, `2 h 30 min`.
pub(super) fn time(seconds: f64) -> String {
    let rounded = two_digits(seconds.max(0.1));
    let parts = |whole: f64, part: f64, names: [&str; 2]| match part.round() {
        0.0 => format!("{whole} {}", names[0]),
        part => format!("{whole} {} {part} {}", names[0], names[1]),
    };
    match rounded {
        ..60.0 => format!("{} s", (rounded * 10.0).round() / 10.0),
        ..3600.0 => parts((rounded / 60.0).floor(), rounded % 60.0, ["min", "s"]),
        _ => parts((rounded / 3600.0).floor(), rounded % 3600.0 / 60.0, ["h", "min"]),
    }
}

fn two_digits(number: f64) -> f64 {
    if number < 1.0 {
        return (number * 10.0).round() / 10.0;
    }
    let digits = number.log10().floor() as i32 - 1;
    match digits {
        ..0 => (number * 10.0).round() / 10.0,
        digits => (number / 10f64.powi(digits)).round() * 10f64.powi(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_shown() {
        assert_eq!([0.0, 7.0, 99.6, 451_464.0, 7_200_000.0].map(count), ["0", "7", "100", "450,000", "7,200,000"]);
        let sizes = [0.0, 999.0, 1_234.0, 49_200_000.0, 999_900_000.0, 1_250_000_000.0, 7e12];
        assert_eq!(sizes.map(bytes), ["0 bytes", "1 kB", "1.2 kB", "49 MB", "1 GB", "1.3 GB", "7 TB"]);
        let times = [0.01, 0.44, 1.0, 9.96, 45.4, 59.9, 70.0, 3_599.0, 9_000.0, 100_000.0];
        assert_eq!(times.map(time), ["0.1 s", "0.4 s", "1 s", "10 s", "45 s", "1 min", "1 min 10 s", "1 h", "2 h 30 min", "27 h 47 min"]);
    }
}
