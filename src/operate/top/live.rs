//! The live view: reads in the background, draws what is known, listens to keys. Leaves the terminal as it found it.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    reading::Places,
    screen::{Asked, Screen},
    snapshot::{Part, Snapshot},
    view::paint,
};
use crate::operate::stop_on_signal;

/// How often the index of dead letters is read: thirty calls each time.
const LETTERS_EVERY: Duration = Duration::from_secs(30);

/// How often the picture is drawn again, if no key asks for it sooner: ages grow.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// How long a look for keys waits; the thread that looks ends so soon after the view.
const LOOK: Duration = Duration::from_millis(100);

/// Rates in the trend.
const TREND: usize = 24;

/// The terminal is given back whatever happens; a panic gives it back by itself.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows it until the person has seen enough.
pub(super) async fn watch(places: Places, mut screen: Screen, every: Duration) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let (told, mut latest) = watch::channel(None::<Snapshot>);
    let (read_now, asked) = mpsc::channel(1);
    let reader = tokio::spawn(read(places, every, told, asked));
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let _restored = Restored;
    let (mut keys, ended) = keys();
    let mut ticks = interval(DRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(key) = keys.recv() => {
                // what is no key is a window of another size: it is drawn on again
                if let Some(key) = key? {
                    match screen.press(key) {
                        Asked::End => break,
                        Asked::Reading => drop(read_now.try_send(())), // one that is asked for already is enough
                        Asked::Picture => {}
                    }
                }
            }
            changed = latest.changed() => changed.context("nothing is read any more")?,
            _ = ticks.tick() => {}
        }
        let snapshot = latest.borrow_and_update().clone();
        terminal.draw(|frame| match &snapshot {
            Some(snapshot) => paint(snapshot, screen, frame.area(), frame.buffer_mut()),
            None => frame.render_widget("reading…", frame.area()),
        })?;
    }
    ended.store(true, Ordering::Relaxed);
    reader.abort();
    Ok(())
}

/// Reads again and again: the index of dead letters seldom, and never in the way of the rest.
async fn read(places: Places, every: Duration, told: watch::Sender<Option<Snapshot>>, mut asked: mpsc::Receiver<()>) {
    let (letters_told, mut letters) = watch::channel(Part::Unknown("being read".to_owned()));
    let (letters_now, mut wanted) = mpsc::channel(1);
    let of_letters = places.clone();
    let reader = tokio::spawn(async move {
        loop {
            let _ = letters_told.send(of_letters.letters().await);
            let _ = timeout(LETTERS_EVERY, wanted.recv()).await;
        }
    });
    let mut trend = VecDeque::with_capacity(TREND);
    while !told.is_closed() {
        let mut snapshot = Snapshot::of(places.often().await, letters.borrow_and_update().clone());
        trend.push_back(snapshot.rate(|beat| beat.recent.totals.messages).round() as u64);
        if trend.len() > TREND {
            trend.pop_front();
        }
        snapshot.trend = trend.iter().copied().collect();
        if told.send(Some(snapshot)).is_err() {
            break;
        }
        if let Ok(Some(())) = timeout(every, asked.recv()).await {
            let _ = letters_now.try_send(());
        }
    }
    reader.abort();
}

/// Keys as they are pressed, and `None` for whatever else asks for another picture. Reading them blocks, so a thread does.
fn keys() -> (mpsc::Receiver<io::Result<Option<KeyEvent>>>, Arc<AtomicBool>) {
    let (pressed, keys) = mpsc::channel(16);
    let ended = Arc::new(AtomicBool::new(false));
    let over = ended.clone();
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let seen = match event::poll(LOOK) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(failure) => Err(failure),
            };
            let said = match seen {
                Ok(Event::Key(key)) if key.kind == KeyEventKind::Release => continue,
                Ok(Event::Key(key)) => Ok(Some(key)),
                Ok(_) => Ok(None),
                Err(failure) => Err(failure),
            };
            if pressed.blocking_send(said).is_err() {
                return;
            }
        }
    });
    (keys, ended)
}
