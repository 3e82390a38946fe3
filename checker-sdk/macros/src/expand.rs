//! The code around the author's function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, ItemFn, ReturnType, Type};

use crate::arguments::Arguments;

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> syn::Result<TokenStream> {
    let config = config_type(function)?;
    let function_name = &function.sig.ident;
    let Arguments {
        name,
        summary,
        interval_ms,
        timeout_ms,
        ..
    } = arguments;
    let version = match &arguments.version {
        Some(version) => quote!(#version),
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let needs = match &arguments.needs {
        Some(function) => quote!(#function(config)),
        None => quote!(<#config as ::picket_checker_sdk::Needs>::needs(config)),
    };
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value, reason = "a run owns its configuration, whether it takes it apart or not")]
        #function

        /// The checker that this crate is.
        pub(crate) struct ThisChecker;

        impl ::picket_checker_sdk::Checker for ThisChecker {
            type Config = #config;

            const DESCRIPTION: ::picket_checker_sdk::Description = ::picket_checker_sdk::Description {
                name: #name,
                version: #version,
                summary: #summary,
                interval_ms: #interval_ms,
                timeout_ms: #timeout_ms,
            };

            fn needs(config: &#config) -> ::std::vec::Vec<::picket_checker_sdk::Need> {
                #needs
            }

            fn run(
                context: &mut ::picket_checker_sdk::Context,
                config: #config,
            ) -> ::core::result::Result<::picket_checker_sdk::Report, ::picket_checker_sdk::Error> {
                #function_name(context, config)
            }
        }

        // In a native build nothing else uses the checker, and all of it would be reported as dead code.
        const _: () = ::picket_checker_sdk::assert_checker::<ThisChecker>();

        // Only a component has exports; a native build of the same crate is for its unit tests.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = ::picket_checker_sdk::Component<ThisChecker>;
            ::picket_checker_sdk::bindings::export!(Component with_types_in ::picket_checker_sdk::bindings);
        };
    })
}

/// The type of the function's second parameter.
fn config_type(function: &ItemFn) -> syn::Result<&Type> {
    let expected = "expected fn run(ctx: &mut Context, config: Config) -> Result<Report, Error>";
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        return Err(syn::Error::new_spanned(
            asyncness,
            format!("a checker blocks; {expected}"),
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(
            &signature.generics,
            format!("no generics here; {expected}"),
        ));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(syn::Error::new_spanned(signature, expected));
    }
    match signature.inputs.iter().collect::<Vec<_>>().as_slice() {
        [FnArg::Typed(_), FnArg::Typed(config)] => Ok(&config.ty),
        _ => Err(syn::Error::new_spanned(signature, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str) -> String {
        match config_type(&syn::parse_str(source).unwrap()) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn accepts_a_context_and_a_configuration() {
        assert_eq!(
            message("fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {}"),
            "accepted"
        );
    }

    #[test]
    fn says_what_signature_it_expects() {
        for wrong in [
            "fn run(config: Config) -> Result<Report, Error> {}",
            "fn run(ctx: &mut Context, config: Config) {}",
            "async fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {}",
            "fn run<T>(ctx: &mut Context, config: T) -> Result<Report, Error> {}",
        ] {
            assert!(message(wrong).contains("expected fn run("), "{wrong}");
        }
    }
}
