//! The fleet: all agents, each with the counts of its checks' states. One query reads a line per agent; filters, tiles,
//! order and pages are made from the lines in memory (2,000 lines are half a megabyte and sort in a millisecond).

use std::cmp::Reverse;

use sqlx::{QueryBuilder, Row as _};

use super::freshness::{State, is_stale_sql};
use crate::clock::UnixMs;
use crate::store::{Connection, Db, DbRow, Result, Store, from_db};

/// Problems that are read for one page at most; a row shows one.
const MAX_PROBLEMS: i64 = 2_000;

/// How many checks are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// In [`State::Ok`].
    pub ok: u64,
    /// In [`State::Warning`].
    pub warning: u64,
    /// In [`State::Critical`].
    pub critical: u64,
    /// In [`State::Unknown`].
    pub unknown: u64,
    /// In [`State::Stale`].
    pub stale: u64,
}

impl Counts {
    /// How many are in `state`.
    #[must_use]
    pub const fn of(&self, state: State) -> u64 {
        match state {
            State::Ok => self.ok,
            State::Warning => self.warning,
            State::Critical => self.critical,
            State::Unknown => self.unknown,
            State::Stale => self.stale,
        }
    }

    /// Counts one more, or `n` more.
    pub const fn add(&mut self, state: State, n: u64) {
        let field = match state {
            State::Ok => &mut self.ok,
            State::Warning => &mut self.warning,
            State::Critical => &mut self.critical,
            State::Unknown => &mut self.unknown,
            State::Stale => &mut self.stale,
        };
        *field += n;
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ok + self.warning + self.critical + self.unknown + self.stale
    }

    /// The worst state that any is in.
    #[must_use]
    pub fn worst(&self) -> Option<State> {
        State::ALL.into_iter().find(|state| self.of(*state) > 0)
    }
}

/// One agent of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLine {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Where gateways dial it.
    pub endpoint: String,
    /// Whether gateways dial it at all.
    pub enabled: bool,
    /// `pending`, `reachable`, `suspect` or `unreachable`.
    pub reach: String,
    /// Why it isn't reachable.
    pub cause: String,
    /// Since when `reach` is so.
    pub since_at: Option<UnixMs>,
    /// When its newest result came.
    pub newest_at: Option<UnixMs>,
    /// Its checks.
    pub checks: Counts,
    /// The worst of it all.
    pub state: State,
}

/// All agents at one moment, worst first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The moment, on the database's clock.
    pub at: UnixMs,
    /// The agents.
    pub agents: Vec<AgentLine>,
}

/// What a page asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this tenant's agents.
    pub tenant: Option<String>,
    /// Only agents in this state.
    pub state: Option<State>,
    /// Only agents whose tenant, name or endpoint contains this.
    pub text: String,
}

impl Filter {
    fn matches_but_for_state(&self, line: &AgentLine) -> bool {
        let text = self.text.trim().to_lowercase();
        self.tenant.as_ref().is_none_or(|tenant| *tenant == line.tenant)
            && (text.is_empty()
                || format!("{}/{}", line.tenant, line.name).contains(&text)
                || line.endpoint.to_lowercase().contains(&text))
    }
}

/// One page of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPage<'a> {
    /// Agents by their state, after tenant and text, before the state.
    pub agents: Counts,
    /// Their checks by state.
    pub checks: Counts,
    /// Agents that match the whole filter.
    pub matching: usize,
    /// The page, from 1 on; the last one where a later one was asked for.
    pub page: usize,
    /// How many pages there are, at least 1.
    pub pages: usize,
    /// The agents of the page.
    pub lines: Vec<&'a AgentLine>,
}

impl Fleet {
    /// The page `page` (from 1 on) of `per_page` agents that match.
    #[must_use]
    pub fn page(&self, filter: &Filter, page: usize, per_page: usize) -> FleetPage<'_> {
        let (mut agents, mut checks) = (Counts::default(), Counts::default());
        let mut matching = Vec::new();
        for line in self
            .agents
            .iter()
            .filter(|line| filter.matches_but_for_state(line))
        {
            agents.add(line.state, 1);
            for state in State::ALL {
                checks.add(state, line.checks.of(state));
            }
            if filter.state.is_none_or(|state| state == line.state) {
                matching.push(line);
            }
        }
        let per_page = per_page.max(1);
        let pages = matching.len().div_ceil(per_page).max(1);
        let page = page.clamp(1, pages);
        let count = matching.len();
        let lines = matching
            .into_iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .collect();
        FleetPage {
            agents,
            checks,
            matching: count,
            page,
            pages,
            lines,
        }
    }

    /// The agent, if there is one.
    #[must_use]
    pub fn agent(&self, tenant: &str, name: &str) -> Option<&AgentLine> {
        self.agents
            .iter()
            .find(|line| line.tenant == tenant && line.name == name)
    }
}

/// The check that a row of the fleet names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whose.
    pub tenant: String,
    /// Of which agent.
    pub agent: String,
    /// The check.
    pub name: String,
    /// Its state.
    pub state: State,
    /// What it said.
    pub summary: String,
}

/// Reads the fleet, of one tenant or of all.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn fleet(store: &Store, tenant: Option<&str>) -> Result<Fleet> {
    let at = store.now().await?;
    let mut read = store.read().await?;
    let rows = sqlx::query(concat!(
        "SELECT a.tenant, a.name, a.endpoint, a.enabled, r.state AS reach, r.cause, r.since_at, \
         s.newest_at, s.stale, s.ok, s.warning, s.critical, s.unknown \
         FROM agent a \
         LEFT JOIN agent_reach r ON r.tenant = a.tenant AND r.agent = a.name \
         LEFT JOIN (SELECT c.tenant, c.agent, MAX(c.received_at) AS newest_at, SUM(CASE WHEN ",
        is_stale_sql!(),
        " THEN 1 ELSE 0 END) AS stale, SUM(CASE WHEN NOT ",
        is_stale_sql!(),
        " AND c.status = 'ok' THEN 1 ELSE 0 END) AS ok, SUM(CASE WHEN NOT ",
        is_stale_sql!(),
        " AND c.status = 'warning' THEN 1 ELSE 0 END) AS warning, SUM(CASE WHEN NOT ",
        is_stale_sql!(),
        " AND c.status = 'critical' THEN 1 ELSE 0 END) AS critical, SUM(CASE WHEN NOT ",
        is_stale_sql!(),
        " AND c.status = 'unknown' THEN 1 ELSE 0 END) AS unknown \
         FROM check_state c JOIN agent a ON a.tenant = c.tenant AND a.name = c.agent \
         WHERE ($2 = '' OR c.tenant = $2) GROUP BY c.tenant, c.agent) s \
         ON s.tenant = a.tenant AND s.agent = a.name \
         WHERE ($2 = '' OR a.tenant = $2)",
    ))
    .bind(at)
    .bind(tenant.unwrap_or_default())
    .fetch_all(&mut *read)
    .await?;
    drop(read);
    let mut agents = rows.iter().map(line).collect::<Result<Vec<_>>>()?;
    agents.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(Fleet { at, agents })
}

fn order(line: &AgentLine) -> (State, Reverse<u64>, Reverse<u64>, &str, &str) {
    (
        line.state,
        Reverse(line.checks.critical),
        Reverse(line.checks.warning),
        &line.tenant,
        &line.name,
    )
}

fn line(row: &DbRow) -> Result<AgentLine> {
    let count =
        |column: &str| -> Result<u64> { Ok(from_db(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0))) };
    let mut checks = Counts {
        ok: count("ok")?,
        warning: count("warning")?,
        critical: count("critical")?,
        unknown: count("unknown")?,
        stale: count("stale")?,
    };
    let reach: String = row
        .try_get::<Option<String>, _>("reach")?
        .unwrap_or_else(|| "pending".to_owned());
    let unreachable = reach == "unreachable";
    if unreachable {
        checks = Counts {
            stale: checks.total(),
            ..Counts::default()
        };
    }
    let state = if unreachable {
        State::Stale
    } else {
        checks.worst().unwrap_or(State::Unknown)
    };
    Ok(AgentLine {
        tenant: row.try_get("tenant")?,
        name: row.try_get("name")?,
        endpoint: row.try_get("endpoint")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        reach,
        cause: row.try_get::<Option<String>, _>("cause")?.unwrap_or_default(),
        since_at: row.try_get("since_at")?,
        newest_at: row.try_get("newest_at")?,
        checks,
        state,
    })
}

/// The checks of the page's agents that aren't well, worst first.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn problems(store: &Store, lines: &[&AgentLine], now: UnixMs) -> Result<Vec<Problem>> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::<Db>::new(
        "SELECT c.tenant, c.agent, c.name, c.status, c.summary, c.received_at, c.interval_ms, a.interval_ms AS poll_ms \
         FROM check_state c JOIN agent a ON a.tenant = c.tenant AND a.name = c.agent WHERE (c.tenant, c.agent) IN (VALUES ",
    );
    for (index, line) in lines.iter().enumerate() {
        query.push(if index == 0 { "(" } else { ", (" });
        query
            .push_bind(&line.tenant)
            .push(", ")
            .push_bind(&line.name)
            .push(")");
    }
    query.push(") AND (c.status <> 'ok' OR (").push_bind(now);
    query.push(
        " - c.received_at - a.interval_ms * 2) / 3 > c.interval_ms) ORDER BY CASE c.status WHEN 'critical' THEN 0 WHEN \
         'warning' THEN 1 WHEN 'unknown' THEN 2 ELSE 3 END, c.tenant, c.agent, c.name LIMIT ",
    );
    query.push_bind(MAX_PROBLEMS);
    let mut read = store.read().await?;
    let rows = query.build().fetch_all(read_connection(&mut read)).await?;
    let mut problems = rows
        .iter()
        .map(|row| problem(row, now))
        .collect::<Result<Vec<_>>>()?;
    problems.retain(|problem| problem.state != State::Ok);
    problems.sort_by_key(|problem| problem.state);
    Ok(problems)
}

fn read_connection(connection: &mut sqlx::pool::PoolConnection<Db>) -> &mut Connection {
    connection
}

fn problem(row: &DbRow, now: UnixMs) -> Result<Problem> {
    let stale = super::freshness::is_stale(
        false,
        row.try_get("received_at")?,
        row.try_get("interval_ms")?,
        row.try_get("poll_ms")?,
        now,
    );
    Ok(Problem {
        tenant: row.try_get("tenant")?,
        agent: row.try_get("agent")?,
        name: row.try_get("name")?,
        state: State::of_status(row.try_get("status")?, stale),
        summary: row.try_get("summary")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, state: State) -> AgentLine {
        let mut checks = Counts::default();
        checks.add(state, 2);
        AgentLine {
            tenant: "acme".into(),
            name: name.into(),
            endpoint: format!("{name}.example:7443"),
            enabled: true,
            reach: "reachable".into(),
            cause: String::new(),
            since_at: None,
            newest_at: None,
            checks,
            state,
        }
    }

    #[test]
    fn tiles_count_before_the_state_filter_and_rows_after() {
        let fleet = Fleet {
            at: 0,
            agents: vec![
                agent("a", State::Critical),
                agent("b", State::Ok),
                agent("c", State::Ok),
            ],
        };
        let page = fleet.page(
            &Filter {
                state: Some(State::Ok),
                ..Filter::default()
            },
            1,
            50,
        );
        assert_eq!((page.agents.critical, page.agents.ok, page.checks.ok), (1, 2, 4));
        assert_eq!(
            page.lines
                .iter()
                .map(|line| line.name.as_str())
                .collect::<Vec<_>>(),
            ["b", "c"]
        );
    }

    #[test]
    fn a_page_beyond_the_last_is_the_last() {
        let fleet = Fleet {
            at: 0,
            agents: (0..5).map(|n| agent(&format!("a{n}"), State::Ok)).collect(),
        };
        let page = fleet.page(&Filter::default(), usize::MAX, 2);
        assert_eq!(
            (page.page, page.pages, page.lines.len(), page.matching),
            (3, 3, 1, 5)
        );
        assert_eq!(fleet.page(&Filter::default(), 0, 2).page, 1);
    }

    #[test]
    fn text_finds_tenant_and_name_and_endpoint_in_any_case() {
        let fleet = Fleet {
            at: 0,
            agents: vec![agent("berlin-1", State::Ok), agent("paris-1", State::Ok)],
        };
        for text in ["ACME/ber", "berlin-1.EXAMPLE", " berlin "] {
            let page = fleet.page(
                &Filter {
                    text: text.into(),
                    ..Filter::default()
                },
                1,
                50,
            );
            assert_eq!(page.matching, 1, "{text}");
        }
    }
}
