//! One named test for each scenario of the edge architecture's specification, with real processes; the wall between
//! tenants, tried from outside; identities over their whole life; and the tests of bad input that need a whole program.

mod agent_authentication;
mod agent_dependencies;
mod bad_input;
mod checkers;
mod cluster;
mod edge_isolation;
mod gateway_initiated;
mod identity_life;
mod outsiders;
mod rpc_table;
mod setting;
mod wall_at_the_agent;
mod wall_at_the_gateway;
mod workload_api;
