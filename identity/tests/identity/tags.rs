//! Elements under a tag that isn't theirs: some parsers look at the content alone.

use picket_identity::profile::Leaf;
use picket_identity::verify::Reason;
use rcgen::CustomExtension;

use crate::forge::World;

const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const OID: u8 = 0x06;

#[test]
fn refuses_a_usage_that_is_no_object_identifier() {
    let world = World::new();
    let with = |server: u8, client: u8| {
        world.forge_agent(|leaf| {
            leaf.extended_key_usages.clear();
            let mut der = vec![0x30, 20, server, 8];
            der.extend(SERVER_AUTH);
            der.extend([client, 8]);
            der.extend(CLIENT_AUTH);
            leaf.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, der)];
        })
    };
    assert_eq!(world.agent_refusal(&[with(OID, OID)]), None);
    for (server, client) in [(0x01, OID), (OID, 0x01), (0x07, OID), (OID, 0x04)] {
        let leaf = with(server, client);
        assert!(Leaf::parse(&leaf).is_err());
        assert_eq!(world.agent_refusal(&[leaf]), Some(Reason::BadProfile));
    }
}
