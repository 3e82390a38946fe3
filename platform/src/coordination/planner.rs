//! Which shard goes where: a function of the shards and of the gateways.
//!
//! Orphans first: a shard whose owner can't have it any more goes to the gateway with the highest weighted rendezvous
//! hash that has room. Then, where the shares differ too much, a few shards move on their own; never many at once, since
//! each move costs the agents' connections.

/// The share of all shards that may move on their own in one tick.
const VOLUNTARY_SHARE: usize = 64;

/// How much more than its share a gateway may have before it gives some up: 10 %.
const TOLERATED: f64 = 1.1;

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardView {
    /// Its number.
    pub number: i64,
    /// Its owner and the owner's process.
    pub owner: Option<(String, String)>,
    /// Its epoch.
    pub epoch: i64,
}

/// A gateway that may own shards, or had some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayView {
    /// Its name.
    pub name: String,
    /// Its process.
    pub instance: String,
    /// Its share, against the others'; at least 1.
    pub weight: u32,
    /// Whether it is about to stop: it keeps its shards only while nobody else can have them.
    pub draining: bool,
}

/// A shard that changes hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The shard.
    pub shard: i64,
    /// The epoch that it has to have still.
    pub epoch: i64,
    /// Who gets it.
    pub to: String,
    /// That gateway's process.
    pub instance: String,
}

/// Plans one tick.
#[must_use]
pub fn plan(pool: &str, shards: &[ShardView], gateways: &[GatewayView]) -> Vec<Move> {
    let takers: Vec<&GatewayView> = gateways.iter().filter(|gateway| !gateway.draining).collect();
    if takers.is_empty() {
        return Vec::new();
    }
    let mut tally = Tally::new(&takers, shards);
    let mut moves = Vec::new();
    let orphans: Vec<&ShardView> = shards
        .iter()
        .filter(|shard| tally.owner_of(shard).is_none())
        .collect();
    for shard in orphans {
        let Some(taker) = tally.highest_with_room(pool, shard.number) else {
            continue;
        };
        tally.owned[taker] += 1;
        moves.push(tally.give(shard, taker));
    }
    moves.extend(voluntary(pool, shards, &mut tally));
    moves
}

/// Who has how many, and who should.
struct Tally<'a> {
    takers: &'a [&'a GatewayView],
    share: Vec<f64>,
    cap: Vec<usize>,
    owned: Vec<usize>,
}

impl<'a> Tally<'a> {
    fn new(takers: &'a [&'a GatewayView], shards: &[ShardView]) -> Self {
        let total: f64 = takers.iter().map(|taker| f64::from(taker.weight.max(1))).sum();
        #[expect(clippy::cast_precision_loss, reason = "pools have some hundreds of shards")]
        let share: Vec<f64> = takers
            .iter()
            .map(|taker| shards.len() as f64 * f64::from(taker.weight.max(1)) / total)
            .collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the number of shards"
        )]
        let cap = share.iter().map(|share| share.ceil() as usize).collect();
        let mut tally = Self {
            takers,
            share,
            cap,
            owned: vec![0; takers.len()],
        };
        for shard in shards {
            if let Some(owner) = tally.owner_of(shard) {
                tally.owned[owner] += 1;
            }
        }
        tally
    }

    /// The taker that owns a shard with the process that lives now.
    fn owner_of(&self, shard: &ShardView) -> Option<usize> {
        let (name, instance) = shard.owner.as_ref()?;
        self.takers
            .iter()
            .position(|taker| &taker.name == name && &taker.instance == instance)
    }

    fn highest_with_room(&self, pool: &str, shard: i64) -> Option<usize> {
        (0..self.takers.len())
            .filter(|&taker| self.owned[taker] < self.cap[taker])
            .max_by(|&a, &b| self.score(pool, shard, a).total_cmp(&self.score(pool, shard, b)))
    }

    /// Weighted rendezvous hashing: the gateway's name and not its process, so that a restart gets its old shards back.
    fn score(&self, pool: &str, shard: i64, taker: usize) -> f64 {
        let gateway = self.takers[taker];
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept exactly")]
        let unit = ((hash(pool, shard, &gateway.name) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(gateway.weight.max(1)) / unit.ln()
    }

    fn give(&self, shard: &ShardView, taker: usize) -> Move {
        Move {
            shard: shard.number,
            epoch: shard.epoch,
            to: self.takers[taker].name.clone(),
            instance: self.takers[taker].instance.clone(),
        }
    }

    /// Whether a taker has so much more than its share that it is worth a move. Below a whole shard, a move would only
    /// turn the difference round.
    #[expect(clippy::cast_precision_loss, reason = "pools have some hundreds of shards")]
    fn has_too_many(&self, taker: usize) -> bool {
        self.surplus(taker) > 1.0 && self.owned[taker] as f64 > self.share[taker] * TOLERATED
    }

    /// By how much a taker has more than its share.
    #[expect(clippy::cast_precision_loss, reason = "pools have some hundreds of shards")]
    fn surplus(&self, taker: usize) -> f64 {
        self.owned[taker] as f64 - self.share[taker]
    }
}

fn voluntary(pool: &str, shards: &[ShardView], tally: &mut Tally<'_>) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    for _ in 0..(shards.len() / VOLUNTARY_SHARE).max(1) {
        let by_surplus = |a: &usize, b: &usize| tally.surplus(*a).total_cmp(&tally.surplus(*b));
        let takers = 0..tally.takers.len();
        let most = takers
            .clone()
            .filter(|&taker| tally.has_too_many(taker))
            .max_by(by_surplus);
        let (Some(most), Some(least)) = (most, takers.min_by(by_surplus)) else {
            break;
        };
        if tally.owned[least] >= tally.cap[least] {
            break;
        }
        let candidate = shards
            .iter()
            .filter(|shard| tally.owner_of(shard) == Some(most))
            .filter(|shard| moves.iter().all(|done| done.shard != shard.number))
            .max_by(|a, b| {
                tally
                    .score(pool, a.number, least)
                    .total_cmp(&tally.score(pool, b.number, least))
            });
        let Some(shard) = candidate else { break };
        tally.owned[most] -= 1;
        tally.owned[least] += 1;
        moves.push(tally.give(shard, least));
    }
    moves
}

/// FNV-1a with a finaliser (splitmix64). Written out, because placement has to be the same in every version and on every
/// machine.
fn hash(pool: &str, shard: i64, gateway: &str) -> u64 {
    let bytes = pool
        .bytes()
        .chain([0])
        .chain(shard.to_be_bytes())
        .chain(gateway.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
