//! An answer on the wire.

use super::name::Name;
use super::query::Query;
use super::reader::Reader;
use super::record::{self, CLASS_IN, TYPE_OPT};
use super::{Malformed, malformed};

/// Response codes by number (RFC 1035 §4.1.1, RFC 2136 §2.2, RFC 6891 §9).
const RCODES: [(u16, &str); 12] = [
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (7, "YXRRSET"),
    (8, "NXRRSET"),
    (9, "NOTAUTH"),
    (10, "NOTZONE"),
    (16, "BADVERS"),
];

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rcode: String,
    pub(crate) authoritative: bool,
    pub(crate) authenticated: bool,
    pub(crate) truncated: bool,
    /// The text of each record of the type that was asked for.
    pub(crate) records: Vec<String>,
    /// The shortest time that one of them may be kept, in seconds.
    pub(crate) ttl: Option<u32>,
}

/// Whether `bytes` answer the question with this number. Anyone can send a datagram: what doesn't is thrown away.
pub(crate) fn answers(bytes: &[u8], query: &Query<'_>, id: u16) -> bool {
    let mut reader = Reader::new(bytes);
    matches_question(&mut reader, query, id).unwrap_or(false)
}

fn matches_question(reader: &mut Reader<'_>, query: &Query<'_>, id: u16) -> Result<bool, Malformed> {
    let (found_id, flags, questions) = (reader.u16()?, reader.u16()?, reader.u16()?);
    reader.bytes(6)?;
    let is_response = flags & 0x8000 != 0;
    if found_id != id || !is_response {
        return Ok(false);
    }
    if questions == 0 {
        // A server that can't read a question may leave it out, but then it has nothing else to say.
        return Ok(flags & 0x000f != 0);
    }
    let (name, kind, class) = (Name::read(reader)?, reader.u16()?, reader.u16()?);
    Ok(questions == 1 && name == *query.name && kind == query.record.code() && class == CLASS_IN)
}

/// Reads an answer to `query`.
pub(crate) fn read(bytes: &[u8], query: &Query<'_>) -> Result<Answer, Malformed> {
    let mut reader = Reader::new(bytes);
    let (_, flags) = (reader.u16()?, reader.u16()?);
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let [questions, answers, authorities, additional] = counts;
    for _ in 0..questions {
        Name::read(&mut reader)?;
        reader.bytes(4)?;
    }
    let mut answer = Answer {
        rcode: String::new(),
        authoritative: flags & 0x0400 != 0,
        authenticated: flags & 0x0020 != 0,
        truncated: flags & 0x0200 != 0,
        records: Vec::new(),
        ttl: None,
    };
    let mut code = flags & 0x000f;
    let all = u32::from(answers) + u32::from(authorities) + u32::from(additional);
    for index in 0..all {
        // A truncated message may end anywhere, and what is missing is asked for by TCP.
        if answer.truncated && reader.position() == bytes.len() {
            break;
        }
        let in_answer_section = index < u32::from(answers);
        read_record(&mut reader, query, in_answer_section, &mut answer, &mut code)?;
    }
    answer.rcode = rcode_name(code);
    Ok(answer)
}

fn read_record(
    reader: &mut Reader<'_>,
    query: &Query<'_>,
    in_answer_section: bool,
    answer: &mut Answer,
    code: &mut u16,
) -> Result<(), Malformed> {
    Name::read(reader)?;
    let (kind, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let length = usize::from(reader.u16()?);
    let start = reader.position();
    reader.bytes(length)?;
    if kind == TYPE_OPT && !in_answer_section {
        // The upper eight bits of the response code (RFC 6891 §6.1.3).
        *code |= u16::from(ttl.to_be_bytes()[0]) << 4;
    }
    if in_answer_section && class == CLASS_IN && kind == query.record.code() {
        let mut data = Reader::at(reader.message(), start);
        answer
            .records
            .push(record::read(query.record, &mut data, start + length)?);
        answer.ttl = Some(answer.ttl.map_or(ttl, |shortest| shortest.min(ttl)));
    }
    Ok(())
}

/// Checks the name of a response code, in capitals.
pub(crate) fn check_rcode(name: &str) -> Result<(), Malformed> {
    let is_number = name
        .strip_prefix("RCODE")
        .is_some_and(|number| number.parse::<u16>().is_ok());
    if is_number || RCODES.iter().any(|(_, known)| *known == name) {
        return Ok(());
    }
    let known: Vec<&str> = RCODES.iter().map(|(_, known)| *known).collect();
    Err(malformed(format!(
        "expected one of {} or RCODEn; found `{name}`",
        known.join(", ")
    )))
}

fn rcode_name(code: u16) -> String {
    let known = RCODES.iter().find(|(number, _)| *number == code);
    known.map_or_else(|| format!("RCODE{code}"), |(_, name)| (*name).to_owned())
}

/// An answer's bytes for tests: to a question, with records given as type and data.
#[cfg(test)]
pub(crate) fn respond(question: &[u8], flags: u16, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    // Header and question without the OPT record, which has 11 bytes.
    let mut bytes = question[..question.len() - 11].to_vec();
    bytes[2..4].copy_from_slice(&(0x8000 | flags).to_be_bytes());
    bytes[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    bytes[10..12].copy_from_slice(&[0, 0]);
    for (kind, data) in records {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::record::RecordType;

    fn with_query<T>(record: RecordType, test: impl FnOnce(Query<'_>) -> T) -> T {
        let name = Name::parse("www.example").unwrap();
        test(Query {
            name: &name,
            record,
            recursion: true,
        })
    }

    #[test]
    fn reads_an_answer_and_its_flags() {
        with_query(RecordType::A, |query| {
            let bytes = respond(
                &query.encode(7),
                0x0420,
                &[(5, b"\xc0\x0c".to_vec()), (1, vec![192, 0, 2, 1])],
            );
            assert!(answers(&bytes, &query, 7));
            let answer = read(&bytes, &query).unwrap();
            assert_eq!((answer.rcode.as_str(), answer.ttl), ("NOERROR", Some(60)));
            assert!(answer.authoritative && answer.authenticated && !answer.truncated);
            assert_eq!(answer.records, ["192.0.2.1"]);
        });
    }

    #[test]
    fn another_number_or_question_is_no_answer() {
        with_query(RecordType::A, |query| {
            let bytes = respond(&query.encode(7), 0, &[]);
            assert!(!answers(&bytes, &query, 8));
            assert!(!answers(
                &bytes,
                &Query {
                    record: RecordType::Mx,
                    ..query
                },
                7
            ));
            assert!(!answers(&query.encode(7), &query, 7), "a question is no answer");
        });
    }

    #[test]
    fn reads_the_response_code_in_both_parts() {
        with_query(RecordType::A, |query| {
            assert_eq!(
                read(&respond(&query.encode(7), 3, &[]), &query).unwrap().rcode,
                "NXDOMAIN"
            );
            let mut bytes = respond(&query.encode(7), 0, &[]);
            bytes[11] = 1;
            bytes.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
            assert_eq!(read(&bytes, &query).unwrap().rcode, "BADVERS");
        });
    }

    #[test]
    fn more_records_than_bytes_are_refused() {
        with_query(RecordType::A, |query| {
            let mut bytes = respond(&query.encode(7), 0, &[]);
            bytes[6..8].copy_from_slice(&[0xff, 0xff]);
            assert!(read(&bytes, &query).is_err());
        });
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for record in [RecordType::A, RecordType::Txt, RecordType::Soa, RecordType::Caa, RecordType::Srv] {
                with_query(record, |query| {
                    let _ = answers(&bytes, &query, 7);
                    let _ = read(&bytes, &query);
                });
            }
        }

        #[test]
        fn no_damage_to_an_answer_breaks_the_reader(place in 0_usize..60, value in any::<u8>()) {
            with_query(RecordType::Soa, |query| {
                let data = [&b"\xc0\x0c\x01h\xc0\x0c"[..], &[0; 20]].concat();
                let mut bytes = respond(&query.encode(7), 0, &[(6, data)]);
                let place = place % bytes.len();
                bytes[place] = value;
                let _ = read(&bytes, &query);
            });
        }
    }
}
