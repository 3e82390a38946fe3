use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn gateway(name: &str, weight: u32) -> GatewayView {
    GatewayView {
        name: name.into(),
        instance: format!("{name}-boot"),
        weight,
        draining: false,
    }
}

fn free(count: i64) -> Vec<ShardView> {
    (0..count)
        .map(|number| ShardView {
            number,
            owner: None,
            epoch: 0,
        })
        .collect()
}

fn apply(shards: &mut [ShardView], moves: &[Move]) {
    for step in moves {
        let shard = shards
            .iter_mut()
            .find(|shard| shard.number == step.shard)
            .unwrap();
        assert_eq!(shard.epoch, step.epoch);
        shard.epoch += 1;
        shard.owner = Some((step.to.clone(), step.instance.clone()));
    }
}

fn settle(shards: &mut [ShardView], gateways: &[GatewayView]) -> usize {
    for tick in 0..1000 {
        let moves = plan("shared", shards, gateways);
        if moves.is_empty() {
            return tick;
        }
        apply(shards, &moves);
    }
    panic!("the plan never settles");
}

fn owned(shards: &[ShardView]) -> HashMap<&str, usize> {
    let mut owned = HashMap::new();
    for (name, _) in shards.iter().filter_map(|shard| shard.owner.as_ref()) {
        *owned.entry(name.as_str()).or_default() += 1;
    }
    owned
}

#[test]
fn without_a_gateway_nothing_moves() {
    assert_eq!(plan("shared", &free(64), &[]), []);
}

#[test]
fn the_only_gateway_gets_everything_at_once() {
    let mut shards = free(64);
    let moves = plan("shared", &shards, &[gateway("gw-1", 1)]);
    assert_eq!(moves.len(), 64);
    apply(&mut shards, &moves);
    assert_eq!(plan("shared", &shards, &[gateway("gw-1", 1)]), []);
}

#[test]
fn a_restarted_process_gets_its_shards_under_a_new_epoch() {
    let mut shards = free(8);
    settle(&mut shards, &[gateway("gw-1", 1)]);
    let again = GatewayView {
        instance: "second boot".into(),
        ..gateway("gw-1", 1)
    };
    settle(&mut shards, &[again]);
    assert!(
        shards
            .iter()
            .all(|shard| shard.epoch == 2 && shard.owner.as_ref().unwrap().1 == "second boot")
    );
}

#[test]
fn a_newcomer_gets_its_share_a_little_at_a_time() {
    let mut shards = free(64);
    settle(&mut shards, &[gateway("gw-1", 1)]);
    let both = [gateway("gw-1", 1), gateway("gw-2", 1)];
    assert_eq!(plan("shared", &shards, &both).len(), 1, "1/64 of 64 shards");
    settle(&mut shards, &both);
    let owned = owned(&shards);
    assert!(owned["gw-1"].abs_diff(owned["gw-2"]) <= 8, "{owned:?}");
}

#[test]
fn a_draining_gateway_gives_all_up_at_once_if_another_can_have_it() {
    let mut shards = free(64);
    let both = [gateway("gw-1", 1), gateway("gw-2", 1)];
    settle(&mut shards, &both);
    let draining = [
        GatewayView {
            draining: true,
            ..gateway("gw-1", 1)
        },
        gateway("gw-2", 1),
    ];
    let moves = plan("shared", &shards, &draining);
    apply(&mut shards, &moves);
    assert_eq!(owned(&shards), HashMap::from([("gw-2", 64)]));
    let alone = [GatewayView {
        draining: true,
        ..gateway("gw-2", 1)
    }];
    assert_eq!(plan("shared", &shards, &alone), []);
}

fn fleet() -> impl Strategy<Value = Vec<GatewayView>> {
    proptest::collection::vec((1..5_u32, any::<bool>()), 1..8).prop_map(|weights| {
        let gateway = |(index, (weight, draining)): (usize, (u32, bool))| GatewayView {
            draining,
            ..gateway(&format!("gw-{index}"), weight)
        };
        weights.into_iter().enumerate().map(gateway).collect()
    })
}

proptest! {
    #[test]
    fn whatever_happened_before_every_shard_has_a_live_owner_after_one_tick(
        past in proptest::collection::vec(fleet(), 0..4), now in fleet(), count in 1..130_i64
    ) {
        let mut shards = free(count);
        for gateways in &past {
            let moves = plan("shared", &shards, gateways);
            apply(&mut shards, &moves);
        }
        let moves = plan("shared", &shards, &now);
        apply(&mut shards, &moves);
        if now.iter().any(|gateway| !gateway.draining) {
            for shard in &shards {
                let (name, _) = shard.owner.as_ref().unwrap();
                prop_assert!(now.iter().any(|gateway| &gateway.name == name && !gateway.draining));
            }
        }
    }

    #[test]
    fn it_settles_and_then_nobody_has_much_more_than_its_share(
        past in fleet(), now in fleet(), count in 1..130_i64
    ) {
        let mut shards = free(count);
        settle(&mut shards, &past);
        settle(&mut shards, &now);
        let takers: Vec<_> = now.iter().filter(|gateway| !gateway.draining).collect();
        let total: u32 = takers.iter().map(|taker| taker.weight).sum();
        let owned = owned(&shards);
        for taker in takers {
            let share = count as f64 * f64::from(taker.weight) / f64::from(total);
            let has = *owned.get(taker.name.as_str()).unwrap_or(&0) as f64;
            prop_assert!(has <= (share * 1.1).max(share + 1.0).ceil(), "{} has {has} of {share}", taker.name);
        }
    }

    #[test]
    fn a_death_moves_the_dead_ones_shards_and_at_most_a_few_others(
        weights in proptest::collection::vec(1..4_u32, 2..8), count in 1..130_i64
    ) {
        let gateways: Vec<_> =
            weights.iter().enumerate().map(|(index, weight)| gateway(&format!("gw-{index}"), *weight)).collect();
        let mut shards = free(count);
        settle(&mut shards, &gateways);
        let (dead, living) = gateways.split_first().unwrap();
        let orphans = owned(&shards).get(dead.name.as_str()).copied().unwrap_or(0);
        let moves = plan("shared", &shards, living);
        let voluntary = (shards.len() / VOLUNTARY_SHARE).max(1);
        prop_assert!((orphans..=orphans + voluntary).contains(&moves.len()));
    }
}
