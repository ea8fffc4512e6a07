//! The counterexamples that shaped the write discipline, played by hand: the real consumer and pipeline on model edges, two
//! daemons stepped poll by poll, each held at a named call for as long as the story needs.
//!
//! Each ends well as shipped, and badly with the rule broken that it argues for. docs/protocol.md tells where they come from.
#![allow(clippy::expect_used, clippy::unwrap_used)] // a test may panic

#[path = "counterexamples/stage.rs"]
mod stage;

mod model;

use model::{
    checker::Violation::{self, I1Lost, I2Doubled},
    mutant::Mutant,
};
use stage::{Stage, play};

fn shows(scene: impl AsyncFn(&mut Stage) + Copy, mutant: Mutant, expected: Violation) {
    assert_eq!(play(Mutant::Shipped, scene), [], "as shipped");
    let broken = play(mutant, scene);
    assert!(broken.contains(&expected), "{mutant:?}: {expected:?} is not among {broken:?}");
}

/// CE-2: a message is sent again after its conversation closed, late enough to open the next one.
async fn sent_again(stage: &mut Stage) {
    let [a, _] = stage.daemons();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    stage.drain(&a).await;
    stage.again(1);
    stage.drain(&a).await;
}

#[test]
fn ce_2_a_message_sent_again_is_archived_once() {
    shows(sent_again, Mutant::EventIdNotUnique, I2Doubled);
}

/// CE-3: a closer sleeps beyond its lease; the close is dead-lettered, which unlocks the group; a message is put, by a daemon
/// whose lease is good, into the conversation that the sleeper then seals, reads and archives.
async fn unlocked_by_a_dead_letter(stage: &mut Stage) {
    let [a, b] = stage.sleepwalkers();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    let (seal, sleeper) = stage.held(&b, "head_closing").await;
    stage.lapse().await;
    a.refuse("heads");
    a.poll().await;
    stage.pause().await;
    stage.message(2);
    let (put, owner) = stage.held(&a, "put").await;
    seal.go(sleeper).await;
    put.go(owner).await;
}

#[test]
fn ce_3_what_is_put_into_a_conversation_that_closed_meanwhile_is_seen_by_the_verification() {
    shows(unlocked_by_a_dead_letter, Mutant::NoVerify, I1Lost);
}

#[test]
fn ce_3_what_is_put_into_a_conversation_that_closed_meanwhile_is_appended() {
    shows(unlocked_by_a_dead_letter, Mutant::NoLateAppend, I1Lost);
}

/// CE-4: whoever sealed the conversation died, and the close is dead-lettered; the next message finds it sealed.
async fn sealed_and_left(stage: &mut Stage) {
    let [a, b] = stage.daemons();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    let (_, sealer) = stage.held(&b, "page").await;
    b.kill(sealer);
    stage.lapse().await;
    a.refuse("heads");
    a.poll().await;
    stage.pause().await;
    stage.message(2);
    stage.drain(&a).await;
}

#[test]
fn ce_4_a_message_finishes_the_close_it_finds() {
    shows(sealed_and_left, Mutant::NoHelp, I1Lost);
}

/// CE-5: a closer sleeps before its seal; another closes the conversation, and the next one opens.
async fn head_overwritten(stage: &mut Stage) {
    let [a, b] = stage.daemons();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    let (seal, sleeper) = stage.held(&b, "head_closing").await;
    stage.lapse().await;
    stage.drain(&a).await;
    stage.message(2);
    stage.drain(&a).await;
    seal.go(sleeper).await;
}

#[test]
fn ce_5_a_sleeper_does_not_overwrite_the_head() {
    shows(head_overwritten, Mutant::NoHeadVersion, I1Lost);
}

/// CE-6: the closer dies in the middle of the archive's transaction; the close is received again.
async fn closed_before_archived(stage: &mut Stage) {
    let [a, b] = stage.daemons();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    let (page, closer) = stage.held(&b, "page").await;
    stage.dies_after(3); // page, begin, lock
    page.go_and_die(&b, closer).await;
    stage.lapse().await;
    stage.drain(&a).await;
}

#[test]
fn ce_6_the_head_closes_after_the_archive() {
    shows(closed_before_archived, Mutant::CloseFirst, I1Lost);
}

/// CE-8: a message is put and the conversation closed at once.
async fn closed_at_once(stage: &mut Stage) {
    let [a, _] = stage.daemons();
    stage.message(1);
    stage.close();
    stage.drain(&a).await;
}

#[test]
fn ce_8_the_newest_message_is_read() {
    shows(closed_at_once, Mutant::StaleReads, I1Lost);
}

/// A close that reads one page of several.
async fn longer_than_a_page(stage: &mut Stage) {
    let [a, _] = stage.daemons();
    (1..=3).for_each(|n| stage.message(n));
    stage.drain(&a).await;
    stage.close();
    stage.drain(&a).await;
}

#[test]
fn every_page_is_read() {
    shows(longer_than_a_page, Mutant::OnePage, I1Lost);
}

/// Messages put before the seal is written, by a daemon that read the head before.
async fn put_during_the_reading(stage: &mut Stage) {
    let [a, b] = stage.daemons();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    let (closed, sleeper) = stage.held(&b, "head_closed").await;
    stage.lapse().await;
    a.refuse("heads");
    a.poll().await;
    stage.pause().await;
    stage.message(2);
    stage.drain(&a).await;
    closed.go(sleeper).await;
}

#[test]
fn the_seal_comes_before_the_reading() {
    shows(put_during_the_reading, Mutant::NoSeal, I1Lost);
}

/// Found by the model (docs/protocol.md, "What is not kept"): as CE-3, but the turn has two messages and fails between its
/// puts. The later one is archived by the sleeper; the earlier one opens the next conversation.
async fn overtaken(stage: &mut Stage) {
    let [a, b] = stage.daemons();
    stage.message(1);
    stage.drain(&a).await;
    stage.close();
    let (seal, sleeper) = stage.held(&b, "head_closing").await;
    stage.lapse().await;
    a.refuse("heads");
    a.poll().await;
    stage.pause().await;
    stage.message(2);
    stage.message(3);
    let (put, owner) = stage.held(&a, "put").await;
    seal.go(sleeper).await;
    a.refuse_put_of(2);
    put.go(owner).await;
    stage.pause().await;
    stage.drain(&a).await;
}

/// What is behind a message in the closed conversation draws the message after it.
#[test]
fn an_overtaken_close_reorders_nothing() {
    assert_eq!(play(Mutant::Shipped, overtaken), []);
}

/// Found by the simulation: a message is on its way when a person takes over. The close finds nothing and so keeps nothing; then
/// the message lands and is appended, and the archive makes the conversation's row of what is known of it by then.
async fn landed_after_an_empty_close(stage: &mut Stage) {
    let [a, b] = stage.sleepwalkers();
    stage.message(1);
    let (put, owner) = stage.held(&a, "put").await;
    stage.lapse().await;
    b.refuse("heads");
    b.poll().await;
    stage.pause().await;
    stage.taken_over();
    stage.drain(&b).await;
    assert!(stage.tickets().is_empty(), "nothing was found, and nothing kept");
    put.go(owner).await;
    assert_eq!(stage.tickets(), ["ticket"]);
}

#[test]
fn a_message_that_lands_after_an_empty_close_brings_what_was_said_of_its_conversation() {
    assert_eq!(play(Mutant::Shipped, landed_after_an_empty_close), []);
}
