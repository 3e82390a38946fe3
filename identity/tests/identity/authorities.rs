//! Authorities of a trust bundle, each told apart by the one rule that it breaks.

use std::time::Duration;

use picket_identity::profile::{BundleAuthority, ProfileError};
use rcgen::CustomExtension;

use crate::chains::forge_ca;
use crate::forge::{World, date, earlier, issuer_of, later};

#[test]
fn the_key_usage_of_an_authority_is_critical() {
    let world = World::new();
    for is_critical in [true, false] {
        let (authority, _) = forge_ca(&world, &issuer_of(&world.root), |ca| {
            ca.key_usages.clear();
            let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 1, 6]);
            usage.set_criticality(is_critical);
            ca.custom_extensions = vec![usage];
        });
        match BundleAuthority::parse(&authority) {
            Ok(_) => assert!(is_critical),
            Err(error) => assert!(
                !is_critical && matches!(error, ProfileError::KeyUsage(_)),
                "{error}"
            ),
        }
    }
}

#[test]
fn an_authority_is_valid_between_its_dates_to_the_second() {
    let world = World::new();
    let (from, to) = (world.now, later(world.now, Duration::from_secs(60)));
    let (authority, _) = forge_ca(&world, &issuer_of(&world.root), |ca| {
        ca.not_before = date(from);
        ca.not_after = date(to);
    });
    let authority = BundleAuthority::parse(&authority).unwrap();
    let second = Duration::from_secs(1);
    assert!(authority.is_valid(from) && authority.is_valid(to));
    assert!(!authority.is_valid(earlier(from, second)));
    assert!(!authority.is_valid(later(to, second)));
}
