//! What may happen around the protocol: how much is sent, and what goes wrong, each a bounded number of times.

use super::state::Budget;

/// An environment. Everything in it may happen at any moment, in any order.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    pub name: &'static str,
    pub budget: Budget,
    /// Messages of one receive, at most.
    pub batch: u8,
    /// SQS moves what was received twice to the dead-letter queue, and unlocks its group; an operator sends it back.
    pub dead_letters: bool,
    /// A delete with an expired receipt is done all the same.
    pub unfenced: bool,
    /// The thread's messages come in two groups: nothing keeps the replicas apart.
    pub two_groups: bool,
    /// The publisher's clock is off: a message may have occurred before everything, or after.
    pub skewed: bool,
}

const CALM: Environment = Environment {
    name: "calm",
    budget: Budget {
        messages: 2,
        closes: 2,
        session_ends: 0,
        dues: 0,
        expiries: 0,
        crashes: 0,
        net: 0,
        ghosts: 0,
        resends: 0,
    },
    batch: 2,
    dead_letters: false,
    unfenced: false,
    two_groups: false,
    skewed: false,
};

fn with(name: &'static str, change: impl FnOnce(&mut Environment)) -> Environment {
    let mut environment = Environment { name, ..CALM };
    change(&mut environment);
    environment
}

/// Every environment.
pub fn every() -> Vec<Environment> {
    vec![
        CALM,
        with("zombie", |e| e.budget.expiries = 2),
        with("crash", |e| e.budget.crashes = 2),
        with("net", |e| e.budget.net = 2),
        with("resend", |e| {
            e.budget.resends = 1;
            e.budget.expiries = 1;
        }),
        with("ghost", |e| e.budget.ghosts = 2),
        with("dlq", |e| {
            e.dead_letters = true;
            e.budget.expiries = 2;
            e.budget.crashes = 1;
            e.batch = 1;
        }),
        with("unfenced", |e| {
            e.unfenced = true;
            e.budget.expiries = 2;
        }),
        with("two groups", |e| {
            e.two_groups = true;
            e.budget.closes = 1;
            e.budget.crashes = 1;
        }),
        with("skew", |e| {
            e.skewed = true;
            e.budget.expiries = 1;
        }),
        with("timer", |e| {
            e.budget.closes = 0;
            e.budget.session_ends = 1;
            e.budget.dues = 2;
            e.budget.expiries = 1;
        }),
        with("mix", |e| {
            e.budget.closes = 1;
            e.budget.expiries = 1;
            e.budget.crashes = 1;
            e.budget.net = 1;
            e.budget.ghosts = 1;
        }),
    ]
}

/// The same with as many messages as the short run affords.
pub fn short() -> Vec<Environment> {
    let costly = ["resend", "dlq", "skew", "timer"];
    let messages = |name| if costly.contains(&name) { 2 } else { 3 };
    every().into_iter().map(|e| more(e, |budget| budget.messages = messages(e.name))).collect()
}

/// The same with three messages and more faults: minutes, and gigabytes.
pub fn big() -> Vec<Environment> {
    let mut environments: Vec<Environment> = every()
        .into_iter()
        .map(|e| {
            more(e, |b| {
                b.messages = 3;
                match e.name {
                    "calm" => b.closes = 3,
                    "zombie" => (b.expiries, b.crashes) = (3, 1),
                    "crash" => b.crashes = 4,
                    "net" => b.net = 4,
                    "ghost" => b.expiries = 1,
                    "dlq" => b.crashes = 2,
                    "unfenced" => b.crashes = 2,
                    "two groups" => (b.expiries, b.closes) = (1, 2),
                    "timer" => b.crashes = 1,
                    _ => {}
                }
            })
        })
        .collect();
    environments.push(with("dlq, batches", |e| {
        e.dead_letters = true;
        e.budget.closes = 1;
        (e.budget.expiries, e.budget.crashes, e.budget.net, e.budget.ghosts) = (1, 1, 1, 1);
    }));
    environments.push(with("groups, resend", |e| {
        (e.two_groups, e.dead_letters) = (true, true);
        (e.budget.closes, e.budget.resends, e.budget.expiries, e.budget.crashes) = (1, 1, 1, 1);
    }));
    environments
}

/// A close that is received twice to no avail and dead-lettered while one who has it sleeps; then a turn of two messages that
/// fails between its puts.
pub fn overtaken() -> Environment {
    with("overtaken", |e| {
        e.dead_letters = true;
        (e.budget.messages, e.budget.closes, e.budget.expiries, e.budget.crashes) = (3, 1, 1, 2);
    })
}

/// The same by other faults: two lost calls, or a lost call and a ghost.
pub fn overtaken_otherwise() -> [Environment; 2] {
    [(2, 0), (1, 1)].map(|(net, ghosts)| {
        more(overtaken(), |b| {
            b.crashes = 0;
            (b.net, b.ghosts) = (net, ghosts);
        })
    })
}

fn more(environment: Environment, change: impl FnOnce(&mut Budget)) -> Environment {
    let mut environment = environment;
    change(&mut environment.budget);
    environment
}
