//! Elixir's handles of listeners and connection ends, of which there are none.

use crate::vm::resource::named_resource;
use std::convert::Infallible;

/// Cannot be made.
pub struct ListenerResource {
    /// No value has this type.
    pub never: Infallible,
}

named_resource!(ListenerResource, "listener");
impl std::panic::RefUnwindSafe for ListenerResource {}

/// Cannot be made.
pub struct EndResource {
    /// No value has this type.
    pub never: Infallible,
}

named_resource!(EndResource, "socket");
impl std::panic::RefUnwindSafe for EndResource {}
