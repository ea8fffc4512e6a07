//! What is received too often: it leaves its group as a dead letter, tried or not, on the model and on the service.

use std::time::Duration;

use conversationd::queue::{Command, Delivery, Queue, Receipt};
use uuid::Uuid;

use crate::{
    modelled::Modelled,
    target::{House, VISIBILITY},
};

const MOST: u32 = 2;

/// Group, body and receive count, sorted by group.
fn told(deliveries: &[Delivery]) -> Vec<(String, String, u32)> {
    let told = |it: &Delivery| (it.group_id.clone(), it.body.to_string(), it.receive_count);
    let mut all: Vec<_> = deliveries.iter().map(told).collect();
    all.sort_by(|one, next| one.0.cmp(&next.0)); // stable: the order within a group stays
    all
}

fn given_back(deliveries: &[Delivery]) -> Vec<(Receipt, Duration)> {
    deliveries.iter().rev().map(|it| (it.receipt.clone(), Duration::ZERO)).collect()
}

#[test]
fn what_was_received_too_often_leaves_its_group() {
    let house = House::build();
    house.keep_as_dead_after(MOST);
    let service = house.queue();
    let mut model = Modelled::new(VISIBILITY, MOST);
    let send = |group: &str, body: &str, model: &Modelled| {
        model.send(group, body, body);
        let command = Command {
            group_id: group.into(),
            dedup_id: body.into(),
            body: body.into(),
            attributes: Default::default(),
        };
        house.wait(service.send(command)).expect("sent");
    };
    let receive =
        |queue: &dyn Queue| house.wait(queue.receive(Uuid::new_v4(), Duration::from_secs(1))).expect("received");
    for (group, body) in [("a", "poison"), ("a", "bystander"), ("b", "other")] {
        send(group, body, &model);
    }
    for _ in 0..MOST {
        let (expected, found) = (model.receive(), receive(&service));
        assert_eq!(told(&found), told(&expected));
        let results = model.wait(model.queue.hide(given_back(&expected)));
        assert_eq!(house.wait(service.hide(given_back(&found))), results);
    }
    send("a", "next", &model);

    let (expected, found) = (model.receive(), receive(&service));
    assert_eq!(told(&found), told(&expected), "they hold nothing back");
    assert_eq!(found.len(), 1);
    let state = model.world.state();
    let mut dead: Vec<_> = state.sqs.dead.iter().map(|it| (it.group.clone(), it.body.to_string())).collect();
    dead.sort_by(|one, next| one.0.cmp(&next.0));
    let kept = told(&receive(&house.dead_letters()));
    assert_eq!(kept.into_iter().map(|(group, body, _)| (group, body)).collect::<Vec<_>>(), dead);
}
