//! One adapter per line of the contract. An adapter only converts; behaviour is in [`crate::host`] and [`crate::run`].

pub(crate) mod v0_1;
