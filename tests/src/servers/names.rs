//! A name server for the demo: authoritative for a handful of IPv4 addresses, and nothing else.
//!
//! The tests use a real one; the demo runs on a machine where nothing is installed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// RFC 1035 §4.1.1: the length of a header.
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const TTL: u32 = 60;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl NameServer {
    /// Serves `names` (lower case, without the last dot) on a free UDP port of 127.0.0.1.
    pub async fn start(names: BTreeMap<String, Ipv4Addr>) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let names = Arc::new(names);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer(&buffer[..length], &names) {
                    // A lost datagram is the asker's to notice, as ever with UDP.
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to one query, or nothing where it isn't one.
fn answer(query: &[u8], names: &BTreeMap<String, Ipv4Addr>) -> Option<Vec<u8>> {
    let is_query = query.get(2)? & 0x80 == 0;
    let questions = u16::from_be_bytes([*query.get(4)?, *query.get(5)?]);
    if !is_query || questions != 1 {
        return None;
    }
    let (name, end) = read_name(query)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let class = u16::from_be_bytes([*query.get(end + 2)?, *query.get(end + 3)?]);
    let address = names.get(&name);
    let found = address.filter(|_| kind == TYPE_A && class == CLASS_IN);

    let mut answer = Vec::with_capacity(query.len() + 16);
    answer.extend_from_slice(&query[..2]);
    // QR and AA; RD as it was asked; NXDOMAIN (3) for a name that isn't here.
    answer.extend_from_slice(&[0x84 | (query[2] & 0x01), if address.is_some() { 0 } else { 3 }]);
    answer.extend_from_slice(&[0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    answer.extend_from_slice(query.get(HEADER..end + 4)?);
    if let Some(address) = found {
        // A pointer to the name in the question (RFC 1035 §4.1.4).
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&TYPE_A.to_be_bytes());
        answer.extend_from_slice(&CLASS_IN.to_be_bytes());
        answer.extend_from_slice(&TTL.to_be_bytes());
        answer.extend_from_slice(&[0, 4]);
        answer.extend_from_slice(&address.octets());
    }
    Some(answer)
}

/// The question's name, and where it ends. Questions aren't compressed.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return Some((labels.join("."), at)),
            1..=63 => labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase()),
            _ => return None,
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for `name`, made by hand from RFC 1035.
    fn query(name: &str) -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        query
    }

    fn names() -> BTreeMap<String, Ipv4Addr> {
        BTreeMap::from([("www.acme.test".to_owned(), Ipv4Addr::new(192, 0, 2, 7))])
    }

    #[test]
    fn answers_a_known_name_with_its_address() {
        let answer = answer(&query("WWW.acme.test"), &names()).unwrap();
        assert_eq!(answer[..2], [0x12, 0x34]);
        assert_eq!(answer[7], 1);
        assert_eq!(answer[answer.len() - 4..], [192, 0, 2, 7]);
    }

    #[test]
    fn answers_an_unknown_name_with_nxdomain() {
        let answer = answer(&query("other.test"), &names()).unwrap();
        assert_eq!((answer[3] & 0x0f, answer[7]), (3, 0));
    }

    #[test]
    fn ignores_what_is_not_a_query() {
        assert_eq!(answer(&[0; 5], &names()), None);
        let whole = query("www.acme.test");
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length], &names()), None, "cut at {length}");
        }
    }
}
