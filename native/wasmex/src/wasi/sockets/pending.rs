//! A connection that the host makes for the guest, whose end reports "in progress" meanwhile.

use crate::wasi::errno::INPROGRESS;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The state of connecting.
#[derive(Default)]
struct State {
    /// `None` until decided; then an errno, 0 for success.
    outcome: Option<i32>,
    waker: Option<Waker>,
}

/// State shared by the host's and the guest's end.
#[derive(Default)]
pub struct Pending {
    state: Mutex<State>,
    /// The guest has closed its end.
    pub closed: Notify,
}

impl Pending {
    /// Sets the result: connected, or failed with this errno.
    pub fn decide(&self, errno: i32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcome = Some(errno);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn outcome(&self) -> Option<i32> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .outcome
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<i32> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.outcome {
            Some(errno) => Poll::Ready(errno),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The guest's end of a connection that the host makes.
pub struct Made {
    pending: Arc<Pending>,
    /// The connecting task; stopped if the guest closes its end earlier.
    task: Option<AbortHandle>,
    /// The peer address shown to the guest.
    pub peer: SocketAddr,
    /// An error is reported once, by `SO_ERROR`.
    told: AtomicBool,
}

impl Made {
    /// Decided by a task.
    pub fn new(pending: Arc<Pending>, task: Option<AbortHandle>, peer: SocketAddr) -> Self {
        Made {
            pending,
            task,
            peer,
            told: AtomicBool::new(false),
        }
    }

    /// 0 when connected, otherwise why it cannot be read or written.
    pub fn state(&self) -> i32 {
        self.pending.outcome().unwrap_or(INPROGRESS)
    }

    /// The same, once decided.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<i32> {
        self.pending.poll(cx)
    }

    /// The value of `SO_ERROR`: an error once.
    pub fn take_error(&self) -> i32 {
        match self.pending.outcome() {
            None | Some(0) => 0,
            Some(_) if self.told.swap(true, Ordering::Relaxed) => 0,
            Some(errno) => errno,
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.pending.closed.notify_one();
        if self.pending.outcome().is_none()
            && let Some(task) = &self.task
        {
            task.abort();
        }
    }
}
