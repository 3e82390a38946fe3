//! Every log line of this crate.

use tracing::{debug, info, warn};

use crate::{Problem, Svid};

pub(crate) fn taken(svid: &Svid) {
    info!(
        id = %svid.credential().id(),
        serial = %svid.verified().serial(),
        not_after_unix_s = svid.credential().not_after().as_secs(),
        authorities = svid.bundle().authorities(),
        "took an SVID from the Workload API"
    );
}

/// Each problem once, and not at each try. `until` is when the last good SVID ends.
pub(crate) fn failed(problem: &Problem, is_news: bool, until: Option<u64>) {
    match (is_news, until) {
        (false, _) => debug!(%problem, "there is still no new SVID"),
        (true, None) => warn!(%problem, "there is no SVID yet; the Workload API is asked again and again"),
        (true, Some(not_after_unix_s)) => {
            warn!(%problem, not_after_unix_s, "there is no new SVID; the last good one stays, and the Workload API is asked again");
        }
    }
}
