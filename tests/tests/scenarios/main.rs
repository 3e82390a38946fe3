//! One named test for each scenario of the edge architecture's specification, with real processes, and the tests of
//! bad input that need a whole program.

mod agent_authentication;
mod agent_dependencies;
mod bad_input;
mod checkers;
mod cluster;
mod edge_isolation;
mod gateway_initiated;
mod setting;
