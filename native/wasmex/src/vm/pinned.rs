//! Keeps the library in memory for as long as the VM runs.
//!
//! When its module is purged, the VM would unload it as soon as the last handle is gone, but its threads still run.

/// To be called once, when the library is loaded.
#[cfg(unix)]
pub fn pin() {
    static HERE: u8 = 0;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    const HOW: libc::c_int = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: an address in this library, whose path the system writes. It is loaded, so opening it only counts it.
    unsafe {
        let here = (&raw const HERE).cast::<libc::c_void>();
        if libc::dladdr(here, info.as_mut_ptr()) != 0 {
            libc::dlopen(info.assume_init().dli_fname, HOW);
        }
    }
}

/// The same: other systems do not unload it.
#[cfg(not(unix))]
pub fn pin() {}
