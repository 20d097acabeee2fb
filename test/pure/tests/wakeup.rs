//! Every order that threads could take, by loom.

#![cfg(loom)]

use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use pure::wakeup::Wakeup;

/// Of a process: the references of the waits that it was told of.
#[derive(Default)]
struct Mailbox {
    messages: Mutex<Vec<u32>>,
    arrived: Condvar,
}

impl Mailbox {
    fn send(&self, reference: u32) {
        self.messages.lock().unwrap().push(reference);
        self.arrived.notify_one();
    }

    /// Waits for the message with this reference; loom finds it where that would be for ever.
    fn receive(&self, reference: u32) {
        let mut messages = self.messages.lock().unwrap();
        loop {
            if let Some(position) = messages.iter().position(|&other| other == reference) {
                messages.remove(position);
                return;
            }
            messages = self.arrived.wait(messages).unwrap();
        }
    }

    fn is_empty(&self) -> bool {
        self.messages.lock().unwrap().is_empty()
    }
}

type Target = (Arc<Mailbox>, u32);

fn wake(wakeup: &Arc<Wakeup<Target>>, ready: Option<Arc<AtomicBool>>) -> JoinHandle<()> {
    let wakeup = wakeup.clone();
    thread::spawn(move || {
        if let Some(ready) = ready {
            ready.store(true, Ordering::Release);
        }
        if let Some((mailbox, reference)) = wakeup.wake() {
            mailbox.send(reference);
        }
    })
}

/// The process polls until all that it waits for is there, and waits for a message whenever it was told that one
/// will come.
#[test]
fn no_wake_is_lost() {
    let mut model = Builder::new();
    // Of three threads all orders are too many: those with up to this many switches that none of them asked for.
    model.preemption_bound = Some(3);
    model.check(|| {
        let wakeup = Arc::new(Wakeup::new());
        let mailbox = Arc::new(Mailbox::default());
        let ready = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let wakers = [0, 1].map(|n| wake(&wakeup, Some(ready[n].clone())));
        for reference in 0.. {
            wakeup.polling();
            if ready.iter().all(|ready| ready.load(Ordering::Acquire)) {
                break;
            }
            if !wakeup.is_woken() && wakeup.park((mailbox.clone(), reference)) {
                mailbox.receive(reference);
            }
        }
        for waker in wakers {
            waker.join().unwrap();
        }
        assert!(mailbox.is_empty());
    });
}

/// When a wait is given up that was told meanwhile, its message is taken out of the mailbox. That must come, also
/// when somebody else waits for the same store by then.
#[test]
fn a_wait_that_is_given_up_leaves_no_message() {
    loom::model(|| {
        let wakeup = Arc::new(Wakeup::new());
        let [mailbox, others] = [(); 2].map(|()| Arc::new(Mailbox::default()));
        let waker = wake(&wakeup, None);

        wakeup.polling();
        wakeup.park((mailbox.clone(), 1));
        let owed = wakeup.polling();

        wakeup.park((others, 2));
        if owed {
            mailbox.receive(1);
        }
        waker.join().unwrap();
        assert!(mailbox.is_empty());
    });
}
