//! Components of the contract: what they say is checked against its limits.

use super::call::{Guest, with_denials};
use super::store::RunState;
use super::{Failure, FailureClass, RunOutcome, RunSpec};
use crate::abi::v0_1;
use crate::bindings::CheckerPre;
use crate::component::Checker;
use crate::host::state::StateView;
use crate::report::limits::{check_descriptor, check_report};
use crate::report::{Descriptor, Need, Report};

/// How many needs a checker may name.
const MAX_NEEDS: usize = 256;

pub(super) async fn run(checker: &Checker, bindings: &CheckerPre<RunState>, spec: RunSpec) -> RunOutcome {
    let RunSpec {
        check,
        config,
        grants,
        limits,
        state,
        secrets,
        scheduled_at_unix_ms,
    } = spec;
    let state = StateView::new(check.clone(), state);
    let request = v0_1::request(check, config, limits.wall, scheduled_at_unix_ms);
    let guest = Guest {
        checker,
        grants,
        limits,
        state,
        secrets,
        command: None,
    };
    let (said, run) = guest
        .call(async |store| {
            let checker = bindings.instantiate_async(&mut *store).await?;
            v0_1::run(&checker, store, &request).await
        })
        .await;
    let refused_itself = matches!(said, Ok(Err(_)));
    let result = match said {
        Ok(Ok(report)) => judge(report),
        Ok(Err(failure)) => Err(with_denials(failure, &run.denials)),
        Err(failure) => Err(failure),
    };
    // What a checker reports or says itself counts; a run that was stopped, or that said nonsense, changes nothing.
    let own_words = result.is_ok() || refused_itself;
    run.finish(result, own_words).await
}

fn judge(report: Report) -> Result<Report, Failure> {
    match check_report(&report) {
        Ok(()) => Ok(report),
        Err(reason) => Err(Failure::new(
            FailureClass::BadOutput,
            format!("the checker's report breaks the contract: {reason}"),
        )),
    }
}

pub(super) async fn describe(
    checker: &Checker,
    bindings: &CheckerPre<RunState>,
) -> Result<Descriptor, Failure> {
    let guest = Guest::without_authority(checker);
    let (said, _) = guest
        .call(async |store| {
            let checker = bindings.instantiate_async(&mut *store).await?;
            v0_1::describe(&checker, store).await
        })
        .await;
    let descriptor = said?;
    check_descriptor(&descriptor).map_err(|reason| {
        Failure::new(
            FailureClass::BadOutput,
            format!("the checker's description breaks the contract: {reason}"),
        )
    })?;
    Ok(descriptor)
}

pub(super) async fn needs(
    checker: &Checker,
    bindings: &CheckerPre<RunState>,
    config: &str,
) -> Result<Vec<Need>, Failure> {
    let guest = Guest::without_authority(checker);
    let (said, _) = guest
        .call(async |store| {
            let checker = bindings.instantiate_async(&mut *store).await?;
            v0_1::needs(&checker, store, config).await
        })
        .await;
    let needs = said??;
    let bad = |reason: String| {
        Failure::new(
            FailureClass::BadOutput,
            format!("the checker's needs break the contract: {reason}"),
        )
    };
    if needs.len() > MAX_NEEDS {
        return Err(bad(format!(
            "{} of them, at most {MAX_NEEDS} are allowed",
            needs.len()
        )));
    }
    needs
        .into_iter()
        .map(|(grant, reason)| {
            let grant = grant
                .parse()
                .map_err(|error: crate::grant::GrantError| bad(error.to_string()))?;
            Ok(Need {
                grant,
                reason: reason
                    .chars()
                    .filter(|char| !char.is_control())
                    .take(256)
                    .collect(),
            })
        })
        .collect()
}
