//! Identities over their whole life.
