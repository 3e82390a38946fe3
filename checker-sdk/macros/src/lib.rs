//! The `#[checker]` attribute of the Picket checker SDK; `picket_checker_sdk::checker` documents it.
//!
//! `arguments` parses what stands in the parentheses, `expand` writes the code around the author's function.

mod arguments;
mod expand;

use proc_macro::TokenStream;

/// Turns a typed function into a checker component.
///
/// ```ignore
/// #[checker(name = "port", summary = "Connects to a port", interval = "30s", timeout = "10s")]
/// fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> { … }
/// ```
///
/// - `name`: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 40 bytes. Required.
/// - `summary`: one line. Required.
/// - `interval`, `timeout`: what an operator gets who says nothing, such as `"30s"`. Default: `"60s"` and `"10s"`.
/// - `version`: a semantic version. Default: the crate's version.
/// - `needs`: a function `fn(&Config) -> Vec<Need>`. Default: the configuration's `Needs` implementation.
///
/// Besides the function there is then a unit struct `ThisChecker` that implements
/// `picket_checker_sdk::Checker`, which is what tests run.
#[proc_macro_attribute]
pub fn checker(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = syn::parse_macro_input!(arguments as arguments::Arguments);
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    expand::expand(&arguments, &function)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
