//! Options of sockets, of which there are none.

use crate::wasi::sockets::connect::on_sockets;

on_sockets! {
    sock_getsockopt(_level, _name, _value, _len);
    sock_setsockopt(_level, _name, _value, _len);
}
