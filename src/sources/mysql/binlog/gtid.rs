//! Sets of transactions in both dialects: MySQL's GTID sets (including tagged ones) and MariaDB's GTID positions.
//!
//! A MySQL set is printed as the server prints it: UUIDs in order, intervals sorted and merged, both ends inclusive.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mysql_common::packets::{GnoInterval, Sid, Tag};

/// A set of transactions of either server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GtidPosition {
    Mysql(MysqlGtids),
    Mariadb(MariadbGtids),
}

/// MySQL: which numbers of which source (and tag) were executed. An empty tag means no tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MysqlGtids(BTreeMap<([u8; 16], String), Vec<GtidRange>>);

/// Numbers from `start` to before `end`. The ranges of a set are sorted, disjoint, not adjacent and not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GtidRange {
    start: u64,
    end: u64,
}

/// MariaDB: the last transaction of each domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MariadbGtids(BTreeMap<u32, (u32, u64)>);

/// One transaction at MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DomainGtid {
    pub(crate) domain: u32,
    pub(crate) server: u32,
    pub(crate) sequence: u64,
}

/// The text is not a set of GTIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotGtids;

impl GtidPosition {
    /// Whether all transactions of `other` are in this set.
    pub(crate) fn contains(&self, other: &GtidPosition) -> bool {
        match (self, other) {
            (GtidPosition::Mysql(here), GtidPosition::Mysql(there)) => here.contains(there),
            (GtidPosition::Mariadb(here), GtidPosition::Mariadb(there)) => here.contains(there),
            _ => false,
        }
    }
}

impl MysqlGtids {
    pub(crate) fn add(&mut self, uuid: [u8; 16], tag: &str, number: u64) {
        self.add_interval(uuid, tag, GtidRange { start: number, end: number + 1 });
    }

    fn add_interval(&mut self, uuid: [u8; 16], tag: &str, new: GtidRange) {
        let intervals = self.0.entry((uuid, tag.to_string())).or_default();
        // The common case: the next number.
        if let Some(last) = intervals.last_mut()
            && last.end == new.start
        {
            last.end = new.end;
            return;
        }
        let from = intervals.partition_point(|i| i.end < new.start);
        let to = intervals.partition_point(|i| i.start <= new.end);
        let merged = intervals[from..to].iter().fold(new, |a, b| GtidRange { start: a.start.min(b.start), end: a.end.max(b.end) });
        intervals.splice(from..to, [merged]);
    }

    pub(crate) fn contains(&self, other: &MysqlGtids) -> bool {
        other.0.iter().all(|(source, intervals)| {
            let here = self.0.get(source).map_or(&[][..], Vec::as_slice);
            intervals.iter().all(|i| here.iter().any(|h| h.start <= i.start && i.end <= h.end))
        })
    }

    /// A set of this one transaction.
    pub(crate) fn one(uuid: [u8; 16], tag: &str, number: u64) -> MysqlGtids {
        let mut set = MysqlGtids::default();
        set.add(uuid, tag, number);
        set
    }

    /// The transactions of this set that are not in `other`.
    pub(crate) fn without(&self, other: &MysqlGtids) -> MysqlGtids {
        let mut rest = MysqlGtids::default();
        for (source, intervals) in &self.0 {
            let taken = other.0.get(source).map_or(&[][..], Vec::as_slice);
            let mut left = Vec::new();
            for interval in intervals {
                let mut start = interval.start;
                for cut in taken.iter().filter(|cut| cut.start < interval.end && cut.end > interval.start) {
                    if start < cut.start {
                        left.push(GtidRange { start, end: cut.start });
                    }
                    start = cut.end;
                }
                if start < interval.end {
                    left.push(GtidRange { start, end: interval.end });
                }
            }
            if !left.is_empty() {
                rest.0.insert(source.clone(), left);
            }
        }
        rest
    }

    /// The transactions of the server with this UUID.
    pub(crate) fn made_by(&self, server: &str) -> MysqlGtids {
        let Ok(uuid) = parse_uuid(server) else { return MysqlGtids::default() };
        MysqlGtids(self.0.iter().filter(|((source, _), _)| *source == uuid).map(|(s, i)| (s.clone(), i.clone())).collect())
    }

    /// The set in the form of the dump request.
    pub(crate) fn sids(&self) -> Result<Vec<Sid<'static>>, NotGtids> {
        let sid = |((uuid, tag), intervals): (&([u8; 16], String), &Vec<GtidRange>)| {
            let intervals = intervals.iter().map(|i| GnoInterval::new(i.start, i.end)).collect();
            let sid = Sid::new(*uuid).with_intervals(intervals);
            match tag.as_str() {
                "" => Ok(sid),
                tag => Ok(sid.with_tag(Tag::new(tag.to_string()).map_err(|_| NotGtids)?)),
            }
        };
        self.0.iter().map(sid).collect()
    }
}

impl fmt::Display for MysqlGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<&[u8; 16]> = None;
        for ((uuid, tag), intervals) in &self.0 {
            // Tags of one UUID follow it: `uuid:1-5:tag:1-2`.
            if before != Some(uuid) {
                if before.is_some() {
                    f.write_str(",")?;
                }
                write_uuid(uuid, f)?;
                before = Some(uuid);
            }
            if !tag.is_empty() {
                write!(f, ":{tag}")?;
            }
            for GtidRange { start, end } in intervals {
                match end - start {
                    1 => write!(f, ":{start}")?,
                    _ => write!(f, ":{start}-{}", end - 1)?,
                }
            }
        }
        Ok(())
    }
}

fn write_uuid(uuid: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

impl FromStr for MysqlGtids {
    type Err = NotGtids;

    fn from_str(text: &str) -> Result<MysqlGtids, NotGtids> {
        let mut set = MysqlGtids::default();
        for source in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let mut parts = source.split(':').map(str::trim);
            let uuid = parse_uuid(parts.next().ok_or(NotGtids)?)?;
            let mut tag = String::new();
            for part in parts {
                match part.as_bytes().first() {
                    Some(b'0'..=b'9') => set.add_interval(uuid, &tag, parse_interval(part)?),
                    Some(_) => tag = Tag::new(part.to_ascii_lowercase()).map_err(|_| NotGtids)?.as_str().to_string(),
                    None => return Err(NotGtids),
                }
            }
        }
        Ok(set)
    }
}

fn parse_uuid(text: &str) -> Result<[u8; 16], NotGtids> {
    let mut digits = text.bytes().filter(|&b| b != b'-').map(|b| (b as char).to_digit(16).map(|d| d as u8).ok_or(NotGtids));
    let mut uuid = [0u8; 16];
    for byte in &mut uuid {
        let (high, low) = (digits.next().ok_or(NotGtids)??, digits.next().ok_or(NotGtids)??);
        *byte = high << 4 | low;
    }
    if digits.next().is_some() { Err(NotGtids) } else { Ok(uuid) }
}

fn parse_interval(text: &str) -> Result<GtidRange, NotGtids> {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| NotGtids);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first == 0 || last < first || last == u64::MAX { Err(NotGtids) } else { Ok(GtidRange { start: first, end: last + 1 }) }
}

impl MariadbGtids {
    pub(crate) fn set(&mut self, domain: u32, server: u32, sequence: u64) {
        self.0.insert(domain, (server, sequence));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = DomainGtid> {
        self.0.iter().map(|(&domain, &(server, sequence))| DomainGtid { domain, server, sequence })
    }

    /// Sequence numbers increase within a domain.
    pub(crate) fn contains(&self, other: &MariadbGtids) -> bool {
        other.0.iter().all(|(domain, (_, sequence))| self.0.get(domain).is_some_and(|(_, here)| here >= sequence))
    }
}

impl fmt::Display for MariadbGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (domain, (server, sequence))) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{domain}-{server}-{sequence}")?;
        }
        Ok(())
    }
}

impl FromStr for MariadbGtids {
    type Err = NotGtids;

    fn from_str(text: &str) -> Result<MariadbGtids, NotGtids> {
        let mut set = MariadbGtids::default();
        for gtid in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let mut parts = gtid.split('-');
            let mut next = || parts.next().and_then(|p| p.parse::<u64>().ok()).ok_or(NotGtids);
            let (domain, server, sequence) = (next()?, next()?, next()?);
            if parts.next().is_some() {
                return Err(NotGtids);
            }
            let small = |v: u64| u32::try_from(v).map_err(|_| NotGtids);
            set.set(small(domain)?, small(server)?, sequence);
        }
        Ok(set)
    }
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidPosition::Mysql(set) => set.fmt(f),
            GtidPosition::Mariadb(set) => set.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "ffffffff-71ca-11e1-9e33-c80aa9429562";

    fn printed(text: &str) -> String {
        text.parse::<MysqlGtids>().unwrap().to_string()
    }

    #[test]
    fn sets_are_sorted_and_merged() {
        assert_eq!(printed(&format!("{B}:7,{A}:5-6:1-2:3")), format!("{A}:1-3:5-6,{B}:7"));
        assert_eq!(printed(&format!("{A}:1-3:2-9")), format!("{A}:1-9"));
        assert_eq!(printed(&format!("{A}:1-3,\n{A}:4")), format!("{A}:1-4"));
        assert_eq!(printed(&format!("{A}:1-3:blue:1-2:green:4,{B}:1")), format!("{A}:1-3:blue:1-2:green:4,{B}:1"));
        assert_eq!(printed(&A.replace('-', "").to_uppercase().replace("9562", "9562:1")), format!("{A}:1"));
        assert_eq!(printed(""), "");
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["x:1", &format!("{A}:0"), &format!("{A}:5-4"), &format!("{A}:"), &format!("{A}:1:TOO LONG TAG"), "3e11:1"] {
            assert!(text.parse::<MysqlGtids>().is_err(), "{text}");
        }
        for text in ["0-1", "0-1-2-3", "a-b-c", "0-4294967296-1"] {
            assert!(text.parse::<MariadbGtids>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mariadb_position_contains_what_is_behind_it_in_every_domain() {
        let set = |text: &str| text.parse::<MariadbGtids>().unwrap();
        assert!(set("0-1-5,7-2-1").contains(&set("0-2-5")));
        assert!(set("0-1-5").contains(&set("")));
        assert!(!set("0-1-5").contains(&set("0-1-6")));
        assert!(!set("0-1-5").contains(&set("7-1-1")));
        assert_eq!(set("7-2-1,0-1-5").to_string(), "0-1-5,7-2-1");
    }

    #[test]
    fn sets_are_taken_apart() {
        let set = |text: &str| text.parse::<MysqlGtids>().unwrap();
        let both = set(&format!("{A}:1-9:blue:1-2,{B}:1-3"));
        assert_eq!(both.without(&set(&format!("{A}:5,{A}:9,{B}:1-3"))).to_string(), format!("{A}:1-4:6-8:blue:1-2"));
        assert_eq!(both.without(&set(&format!("{A}:20,{A}:blue:1"))).to_string(), format!("{A}:1-9:blue:2,{B}:1-3"));
        assert_eq!(both.without(&both), MysqlGtids::default());
        assert_eq!(both.made_by(B).to_string(), format!("{B}:1-3"));
        assert_eq!(both.made_by("7"), MysqlGtids::default());
        assert_eq!(MysqlGtids::one(parse_uuid(A).unwrap(), "blue", 2), set(&format!("{A}:blue:2")));
    }

    proptest! {
        #[test]
        fn a_set_is_the_numbers_added(numbers in prop::collection::vec(1u64..60, 0..80)) {
            let uuid = parse_uuid(A).unwrap();
            let mut set = MysqlGtids::default();
            for &number in &numbers {
                set.add(uuid, "", number);
            }
            let expected: BTreeSet<u64> = numbers.iter().copied().collect();
            let held: Vec<u64> = set.0.values().flatten().flat_map(|i| i.start..i.end).collect();
            prop_assert_eq!(&held, &expected.iter().copied().collect::<Vec<_>>());
            let apart = set.0.values().flat_map(|v| v.windows(2)).all(|pair| pair[0].end < pair[1].start);
            prop_assert!(apart, "intervals that touch are merged");
            prop_assert_eq!(set.to_string().parse::<MysqlGtids>().unwrap(), set);
        }
    }
}
