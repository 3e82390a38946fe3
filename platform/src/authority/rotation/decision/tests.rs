use proptest::prelude::*;

use super::*;

const NOW: UnixMs = 1_000_000_000;

fn facts() -> Facts {
    Facts {
        not_after_at: NOW + 1_000_000,
        successor_since: Some(NOW - OVERLAP_MS),
        ..Facts::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_prepared_one_waits_for_everybody_who_does_not_know_it() {
    let behind = Facts {
        behind: names(&["acme/berlin-1"]),
        ..facts()
    };
    let Decision::Wait(reasons) = decide(State::Prepared, &behind, NOW) else {
        panic!("it issues what acme/berlin-1 would refuse");
    };
    assert!(reasons[0].to_string().contains("acme/berlin-1"));
    assert_eq!(
        decide(State::Prepared, &facts(), NOW),
        Decision::Take(Step::Activate)
    );
}

#[test]
fn a_prepared_one_waits_for_what_has_to_come_first_and_no_force_helps() {
    let blocked = Facts {
        blocked: Some("the rotation of tenant CA acme to end".to_owned()),
        ..facts()
    };
    let Decision::Wait(reasons) = decide(State::Prepared, &blocked, NOW) else {
        panic!("it was activated all the same");
    };
    assert!(!reasons[0].can_be_forced());
}

#[test]
fn an_active_one_alone_stays() {
    let alone = Facts {
        successor_since: None,
        ..facts()
    };
    assert_eq!(decide(State::Active, &alone, NOW), Decision::Stay);
    assert_eq!(
        in_the_way(State::Active, Step::Taint, &alone, NOW),
        [Reason::NoSuccessor]
    );
    assert!(!Reason::NoSuccessor.can_be_forced());
}

#[test]
fn the_old_one_retires_after_the_overlap() {
    let fresh = Facts {
        successor_since: Some(NOW - OVERLAP_MS + 1),
        ..facts()
    };
    assert_eq!(
        decide(State::Active, &fresh, NOW),
        Decision::Wait(vec![Reason::Overlap])
    );
    assert_eq!(decide(State::Active, &facts(), NOW), Decision::Take(Step::Taint));
}

#[test]
fn a_retiring_one_goes_when_nobody_lives_by_it_and_everybody_knows_the_next() {
    for left in [
        Facts {
            holders: names(&["acme/berlin-1"]),
            ..facts()
        },
        Facts {
            behind: names(&["gateway gw-1"]),
            ..facts()
        },
        Facts {
            successor_since: None,
            ..facts()
        },
    ] {
        assert!(
            matches!(decide(State::Retiring, &left, NOW), Decision::Wait(_)),
            "{left:?}"
        );
    }
    assert_eq!(
        decide(State::Retiring, &facts(), NOW),
        Decision::Take(Step::Revoke)
    );
}

#[test]
fn one_whose_certificate_has_ended_waits_for_nobody() {
    let ended = Facts {
        not_after_at: NOW,
        holders: names(&["acme/berlin-1"]),
        behind: names(&["acme/berlin-1"]),
        ..facts()
    };
    assert_eq!(decide(State::Retiring, &ended, NOW), Decision::Take(Step::Revoke));
}

#[test]
fn a_revoked_one_stays_so() {
    assert_eq!(decide(State::Revoked, &facts(), NOW), Decision::Stay);
    for step in [Step::Activate, Step::Taint, Step::Revoke] {
        assert!(!can_take(State::Revoked, step));
    }
}

#[test]
fn many_names_are_counted() {
    let many: Vec<String> = (0..12).map(|number| format!("a{number}")).collect();
    let said = Reason::Behind(many).to_string();
    assert_eq!(said, "12 to learn of it: a0, a1, a2, a3, a4 and 7 more");
}

/// An agent of the model: the newest sequence that it goes by, and the authority that its certificate is by.
#[derive(Debug, Clone)]
struct ModelAgent {
    sequence: usize,
    by: usize,
}

/// Authorities in the order in which they were made: state, from which sequence on they are trusted, since when so.
#[derive(Debug, Clone)]
struct Model {
    sequence: usize,
    authorities: Vec<(State, usize, UnixMs)>,
    /// Whether an authority is trusted by those who go by a sequence: what was true when it was published.
    published: Vec<Vec<bool>>,
    agents: Vec<ModelAgent>,
}

impl Model {
    fn new(agents: usize) -> Self {
        Self {
            sequence: 0,
            authorities: vec![(State::Active, 0, 0)],
            published: vec![vec![true]],
            agents: vec![ModelAgent { sequence: 0, by: 0 }; agents],
        }
    }

    fn publish(&mut self) {
        self.sequence += 1;
        let trusted = self
            .authorities
            .iter()
            .map(|(state, ..)| *state != State::Revoked)
            .collect();
        self.published.push(trusted);
    }

    fn issuer(&self) -> Option<usize> {
        self.authorities
            .iter()
            .rposition(|(state, ..)| *state == State::Active)
    }

    fn prepare(&mut self, now: UnixMs) {
        if self
            .authorities
            .iter()
            .all(|(state, ..)| *state != State::Prepared)
        {
            let from = self.sequence + 1;
            self.authorities.push((State::Prepared, from, now));
            self.publish();
        }
    }

    fn facts(&self, which: usize) -> Facts {
        let (state, from, _) = self.authorities[which];
        let successor = self.issuer().filter(|issuer| *issuer > which);
        let known_from = match (state, successor) {
            (State::Prepared, _) | (_, None) => from,
            (_, Some(successor)) => self.authorities[successor].1,
        };
        let select = |pick: &dyn Fn(&ModelAgent) -> bool| {
            let picked = self.agents.iter().enumerate().filter(|(_, agent)| pick(agent));
            picked.map(|(number, _)| number.to_string()).collect()
        };
        Facts {
            not_after_at: UnixMs::MAX,
            successor_since: successor.map(|successor| self.authorities[successor].2),
            behind: select(&|agent| agent.sequence < known_from),
            holders: select(&|agent| agent.by == which),
            blocked: None,
        }
    }

    fn advance(&mut self, now: UnixMs) {
        for which in 0..self.authorities.len() {
            if let Decision::Take(step) = decide(self.authorities[which].0, &self.facts(which), now) {
                let state = match step {
                    Step::Activate => State::Active,
                    Step::Taint => State::Retiring,
                    Step::Revoke => State::Revoked,
                };
                self.authorities[which].0 = state;
                self.authorities[which].2 = now;
                self.publish();
            }
        }
    }

    /// Whether an agent takes what the other side of it has now, and is taken by it.
    fn check(&self) {
        let issuer = self.issuer().expect("there is always one that issues");
        for agent in &self.agents {
            let knows = &self.published[agent.sequence];
            assert!(
                knows.get(issuer).copied().unwrap_or(false),
                "what is issued now is refused: {self:?}"
            );
            assert_ne!(
                self.authorities[agent.by].0,
                State::Revoked,
                "what it has counts no more: {self:?}"
            );
        }
    }
}

proptest! {
    /// Whoever comes late, whenever: nobody is ever cut off, and once all have come, the old ones are gone.
    #[test]
    fn nobody_is_cut_off_in_any_order_of_events(
        events in proptest::collection::vec((0_u8..4, 0_usize..3, 0_i64..60_000), 1..200),
    ) {
        let mut model = Model::new(3);
        let mut now = 0;
        for (event, who, pause) in events {
            now += pause;
            match event {
                0 => model.prepare(now),
                1 => model.advance(now),
                2 => model.agents[who].sequence = model.sequence,
                _ => model.agents[who].by = model.issuer().unwrap(),
            }
            model.check();
        }
        for _ in 0..20 {
            now += OVERLAP_MS;
            let (sequence, issuer) = (model.sequence, model.issuer().unwrap());
            for agent in &mut model.agents {
                agent.sequence = sequence;
                if model.authorities[agent.by].0 == State::Retiring {
                    agent.by = issuer;
                }
            }
            model.advance(now);
            model.check();
        }
        let left: Vec<_> = model.authorities.iter().filter(|(state, ..)| *state != State::Revoked).collect();
        prop_assert_eq!(left.len(), 1, "{:?}", model);
    }
}
