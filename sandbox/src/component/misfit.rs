//! Why a component doesn't fit this host, in words for people. The linker's own words name what doesn't fit, in backticks
//! and from the outside in; the rest of them is for those who build linkers.

use super::LoadError;
use super::inspect::CONTRACT;

/// What the host lacks, or has with other types.
pub(super) fn import(error: &wasmtime::Error) -> LoadError {
    tracing::debug!(error = %format_args!("{error:#}"), "a component doesn't link");
    let mut names = named(error).into_iter();
    let Some(interface) = names.next() else {
        return LoadError::Unlinkable {
            reason: "its imports aren't those of the contract".to_owned(),
        };
    };
    let import = names.next().map_or_else(
        || interface.clone(),
        |function| format!("{function} of {interface}"),
    );
    // The innermost words: one thing that isn't there at all, or one that is there and differs.
    if error.root_cause().to_string().ends_with("is missing") {
        let hint = if interface.starts_with("wasi:") {
            "; build the checker for an older WASI 0.2, or update the agent"
        } else {
            "; update the agent, or build the checker with an older SDK"
        };
        return LoadError::UnknownImport {
            import,
            hint: hint.to_owned(),
        };
    }
    LoadError::Unlinkable {
        reason: format!("its import {import} has other types than in picket:checker {CONTRACT}"),
    }
}

/// What the component should export and doesn't.
pub(super) fn export(error: &wasmtime::Error) -> LoadError {
    tracing::debug!(error = %format_args!("{error:#}"), "a component exports something else");
    let names = named(error);
    let missing = names.last().map_or("check", String::as_str);
    LoadError::Unlinkable {
        reason: format!("it exports no `{missing}` as picket:checker {CONTRACT} has it"),
    }
}

/// The last name in each layer of the error, outermost first.
fn named(error: &wasmtime::Error) -> Vec<String> {
    error
        .chain()
        .filter_map(|layer| {
            let words = layer.to_string();
            let mut parts = words.rsplit('`');
            parts.next()?;
            let name = parts.next()?;
            // Without an opening backtick it was no name.
            parts.next()?;
            Some(name.to_owned())
        })
        .collect()
}
