//! A pause of a guest's call.

use std::future::poll_fn;
use std::task::Poll;

/// Ends the slice: the next part takes another poll, so that other processes get the scheduler.
pub async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
