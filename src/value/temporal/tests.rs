use super::*;

fn written(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_day_of_ten_thousand_years_comes_back() {
    let first = days_from_civil(0, 1, 1).unwrap() as i32;
    let last = days_from_civil(9999, 12, 31).unwrap() as i32;
    assert_eq!(last - first + 1, 3_652_425);
    let mut text = Vec::new();
    for days in first..=last {
        text.clear();
        write_date(days, &mut text);
        assert_eq!(parse_date(&text), Ok(days));
    }
}

#[test]
fn known_days() {
    // From chrono's NaiveDate::signed_duration_since(1970-01-01).
    for (text, days) in [("0001-01-01", -719_162), ("1969-12-31", -1), ("1970-01-01", 0), ("2000-02-29", 11_016), ("9999-12-31", 2_932_896)]
    {
        assert_eq!(parse_date(text.as_bytes()), Ok(days), "{text}");
        assert_eq!(written(|out| write_date(days, out)), text);
    }
    assert_eq!(written(|out| write_date(i32::MAX, out)), "+5881580-07-11");
    assert_eq!(parse_date(b"+5881580-07-11"), Ok(i32::MAX));
    assert_eq!(parse_date(b"+5881580-07-12"), Err(RANGE));
    assert_eq!(parse_date(b"-0001-12-31").map(|days| written(|out| write_date(days, out))).as_deref(), Ok("-0001-12-31"));
}

#[test]
fn bad_dates() {
    for text in ["", "2017", "2017-1-02", "2017-10-2", "2017/10/02", "17-10-02", "2017-10-02 ", "2017-10-0x", "x017-10-02"] {
        assert_eq!(parse_date(text.as_bytes()), Err(DATE_FORM), "{text}");
    }
    for text in ["0000-00-00", "2017-00-01", "2017-13-01", "2017-04-31", "2017-02-29", "1900-02-29", "2017-10-00"] {
        assert_eq!(parse_date(text.as_bytes()), Err(NO_SUCH_DAY), "{text}");
    }
}

#[test]
fn datetimes() {
    let at = 1_506_941_793_000_000;
    assert_eq!(parse_datetime(b"2017-10-02T10:56:33", 0), Ok(at));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33", 6), Ok(at));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33.5", 1), Ok(at + 500_000));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33.123456", 6), Ok(at + 123_456));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33.120000000", 2), Ok(at + 120_000));
    assert_eq!(parse_datetime(b"1970-01-02", 0), Ok(DAY));
    assert_eq!(written(|out| write_datetime(at + 123_456, 6, out)), "2017-10-02T10:56:33.123456");
    assert_eq!(written(|out| write_datetime(at + 120_000, 2, out)), "2017-10-02T10:56:33.12");
    assert_eq!(written(|out| write_datetime(-1, 6, out)), "1969-12-31T23:59:59.999999");
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33.5", 0), Err(FRACTION_LONG));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33.", 6), Err(FRACTION_FORM));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:33Z", 0), Err(ZONE_ON_DATETIME));
    assert_eq!(parse_datetime(b"2017-10-02 24:00:00", 0), Err(NO_SUCH_TIME));
    assert_eq!(parse_datetime(b"2017-10-02 10:56:60", 0), Err(NO_SUCH_TIME));
    assert_eq!(parse_datetime(b"2017-10-02 10:56", 0), Err(DATETIME_FORM));
    assert_eq!(parse_datetime(b"+999999-01-01 00:00:00", 0), Err(RANGE));
}

#[test]
fn timestamps() {
    let at = 1_506_941_793_000_000;
    for text in
        ["2017-10-02T10:56:33Z", "2017-10-02 10:56:33", "2017-10-02T12:56:33+02:00", "2017-10-02T05:26:33-0530", "2017-10-02T12:56:33+02"]
    {
        assert_eq!(parse_timestamp(text.as_bytes(), 0), Ok(at), "{text}");
    }
    assert_eq!(parse_timestamp(b"2017-10-02T12:56:33.25+02:00", 2), Ok(at + 250_000));
    assert_eq!(written(|out| write_timestamp(at, 3, out)), "2017-10-02T10:56:33.000Z");
    for text in ["2017-10-02T10:56:33 CET", "2017-10-02T10:56:33+2", "2017-10-02T10:56:33+24:00", "2017-10-02T10:56:33ZZ"] {
        assert_eq!(parse_timestamp(text.as_bytes(), 0), Err(NO_SUCH_ZONE), "{text}");
    }
}

#[test]
fn times() {
    for (text, fsp, micros) in [
        ("00:00:00", 0, 0),
        ("-838:59:59.000000", 6, -3_020_399_000_000),
        ("838:59:59", 0, 3_020_399_000_000),
        ("-00:00:00.000001", 6, -1),
        ("10:00:00.5", 1, 36_000_500_000),
    ] {
        assert_eq!(parse_time(text.as_bytes(), fsp), Ok(micros), "{text}");
        assert_eq!(written(|out| write_time(micros, fsp, out)), text);
    }
    assert_eq!(parse_time(b"10:60:00", 0), Err(NO_SUCH_TIME));
    for text in ["", "10", "10:00", "1x:00:00", "10:00:00x", "10:0:00", "::", "10000000000:00:00"] {
        assert_eq!(parse_time(text.as_bytes(), 0), Err(TIME_FORM), "{text}");
    }
}
