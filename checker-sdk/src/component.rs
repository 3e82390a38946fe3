//! The exports of a checker component, over a typed [`Checker`].

use std::marker::PhantomData;

use crate::bindings::exports::picket::checker::check::Guest;
use crate::bindings::picket::checker::types;
use crate::{Checker, Context, Run, checker, config};

/// Exports `C` as `picket:checker/check`; `#[checker]` names it.
pub struct Component<C>(PhantomData<C>);

impl<C: Checker> Guest for Component<C> {
    fn describe() -> types::Descriptor {
        checker::describe::<C>()
    }

    fn needs(config: String) -> Result<Vec<types::Need>, types::Error> {
        let needs = checker::needs::<C>(&config)?;
        Ok(needs.into_iter().map(types::Need::from).collect())
    }

    fn run(request: types::Request) -> Result<types::Report, types::Error> {
        let config = config::parse::<C::Config>(&request.config)?;
        let mut context = Context::new(Run::from(request), crate::host::Current::default());
        Ok(C::run(&mut context, config)?.into_wire())
    }
}
