//! Native objects with handles in Elixir, counted by the VM.
//!
//! Like rustler's type of the same name, except that each type keeps the VM's in a static variable (rustler looks it up in
//! a map for every handle, a twentieth of a short call), and that errors say why a handle cannot be used.

pub use crate::vm::misuse::{is_elsewhere, misuse};
use rustler::sys::{
    ErlNifEnv, ErlNifMonitor, ErlNifPid, ErlNifResourceDown, ErlNifResourceDtor,
    ErlNifResourceFlags, ErlNifResourceType, ErlNifResourceTypeInit, enif_alloc_resource,
    enif_demonitor_process, enif_get_resource, enif_init_resource_type, enif_keep_resource,
    enif_make_resource, enif_monitor_process, enif_release_resource, enif_thread_type,
};
use rustler::{Decoder, Encoder, Env, LocalPid, Monitor, NifResult, Resource, Term};
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// A native object with handles in Elixir.
pub trait Named: Resource {
    /// Its name in messages.
    const NAME: &'static str;

    /// The VM's type of these objects; null until [`register`].
    fn kind() -> &'static AtomicPtr<ErlNifResourceType>;

    /// A process that the object monitors has ended: [`Resource::down`], for objects that need a reference to themselves.
    fn down_with<'a>(object: &'a ResourceArc<Self>, env: Env<'a>, pid: LocalPid, monitor: Monitor) {
        object.down(env, pid, monitor);
    }
}

/// Makes a type a [`Resource`] with this name.
macro_rules! named_resource {
    ($type:ty, $name:literal) => {
        impl rustler::Resource for $type {}
        $crate::vm::resource::named!($type, $name);
    };
}

/// Gives a [`Resource`] its name, and perhaps the function to call in place of [`Resource::down`].
macro_rules! named {
    ($type:ty, $name:literal $(, $down:path)?) => {
        impl $crate::vm::resource::Named for $type {
            const NAME: &'static str = $name;

            fn kind() -> &'static std::sync::atomic::AtomicPtr<rustler::sys::ErlNifResourceType> {
                static KIND: std::sync::atomic::AtomicPtr<rustler::sys::ErlNifResourceType> =
                    std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
                &KIND
            }

            $(fn down_with<'a>(
                object: &'a $crate::vm::resource::ResourceArc<Self>,
                env: rustler::Env<'a>,
                pid: rustler::LocalPid,
                monitor: rustler::Monitor,
            ) {
                $down(object, env, pid, monitor);
            })?
        }
    };
}

pub(crate) use {named, named_resource};

/// Registers a type with the VM; only while the library is loaded.
pub fn register<T: Named>(env: Env) -> bool {
    let Ok(name) = CString::new(std::any::type_name::<T>()) else {
        return false;
    };
    let down = match T::IMPLEMENTS_DOWN {
        true => down::<T> as *const ErlNifResourceDown,
        false => ptr::null(),
    };
    let init = ErlNifResourceTypeInit {
        dtor: destroy::<T> as *const ErlNifResourceDtor,
        stop: ptr::null(),
        down,
        // Of this struct.
        members: 3,
        dyncall: ptr::null(),
    };
    let mut tried = MaybeUninit::uninit();
    // SAFETY: the environment of the load callback, a text that ends with a NUL, and callbacks for this type.
    let kind = unsafe {
        let create = ErlNifResourceFlags::ERL_NIF_RT_CREATE;
        enif_init_resource_type(
            env.as_c_arg(),
            name.as_ptr(),
            &init,
            create,
            tried.as_mut_ptr(),
        )
    };
    T::kind().store(kind.cast_mut(), Ordering::Release);
    !kind.is_null()
}

/// The value in the memory of an object.
///
/// # Safety
/// The memory must be of an object of this type.
unsafe fn value<T>(object: *mut c_void) -> *mut T {
    // SAFETY: `ResourceArc::new` allocates room for this.
    unsafe { object.byte_add(object.align_offset(align_of::<T>())).cast() }
}

unsafe extern "C" fn destroy<T: Named>(_env: *mut ErlNifEnv, object: *mut c_void) {
    // SAFETY: the VM passes an object of this type that nobody uses any more.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe {
        value::<T>(object).drop_in_place()
    }));
}

unsafe extern "C" fn down<T: Named>(
    env: *mut ErlNifEnv,
    object: *mut c_void,
    pid: *const ErlNifPid,
    monitor: *const ErlNifMonitor,
) {
    let lifetime = ();
    // SAFETY: the VM passes the environment of this callback, an object of this type, and the process.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe {
        let env = Env::new(&lifetime, env);
        let (pid, monitor) = (LocalPid::from_c_arg(*pid), Monitor::from_c_arg(*monitor));
        // The VM keeps the object alive meanwhile, so this reference is not counted.
        let object = ManuallyDrop::new(ResourceArc {
            object,
            _value: PhantomData,
        });
        T::down_with(&object, env, pid, monitor);
    }));
}

/// A counted reference to a native object.
pub struct ResourceArc<T: Named> {
    object: *mut c_void,
    _value: PhantomData<T>,
}

// SAFETY: `Resource` types are `Send` and `Sync`, and the VM counts references atomically.
unsafe impl<T: Named> Send for ResourceArc<T> {}
// SAFETY: as above.
unsafe impl<T: Named> Sync for ResourceArc<T> {}

impl<T: Named> ResourceArc<T> {
    /// Creates an object.
    pub fn new(data: T) -> Self {
        let kind = T::kind().load(Ordering::Acquire);
        // SAFETY: a registered type; room for the value and its alignment.
        let object = unsafe {
            let object = enif_alloc_resource(kind, size_of::<T>() + align_of::<T>());
            value::<T>(object).write(data);
            object
        };
        ResourceArc {
            object,
            _value: PhantomData,
        }
    }

    /// The object of a handle, if it has this type.
    pub fn find(term: Term) -> Option<Self> {
        Argument::<T>::find(term).map(|found| ResourceArc::clone(&found))
    }

    /// The object, alive at least as long as this reference.
    pub fn object(&self) -> *mut c_void {
        self.object
    }

    /// Another reference to an object.
    ///
    /// # Safety
    /// The object must have this type and be alive.
    pub unsafe fn of(object: *mut c_void) -> Self {
        // SAFETY: the caller's condition; the reference that this stands for is not released.
        let alive = ManuallyDrop::new(ResourceArc {
            object,
            _value: PhantomData,
        });
        ResourceArc::clone(&alive)
    }

    /// Monitors a process: the object's `down` is called when it ends; `None` if it has ended. On scheduler threads the
    /// environment is that of the calling process.
    pub fn monitor(&self, env: Option<Env>, pid: &LocalPid) -> Option<Monitor> {
        let mut monitor = MaybeUninit::uninit();
        // SAFETY: the VM writes the monitor if it returns 0; types without `down` get an error.
        unsafe {
            let env = calling(env);
            let failed =
                enif_monitor_process(env, self.object, pid.as_c_arg(), monitor.as_mut_ptr());
            (failed == 0).then(|| Monitor::from_c_arg(monitor.assume_init()))
        }
    }

    /// Ends a monitor; false if it has fired.
    pub fn demonitor(&self, env: Option<Env>, monitor: &Monitor) -> bool {
        // SAFETY: a monitor of this object.
        unsafe { enif_demonitor_process(calling(env), self.object, monitor.as_c_arg()) == 0 }
    }
}

/// The object of a handle that the running NIF was passed, which keeps it alive: no reference is counted, which takes as
/// long as reading a few bytes of memory.
pub struct Argument<'a, T: Named> {
    object: ManuallyDrop<ResourceArc<T>>,
    _term: PhantomData<Term<'a>>,
}

impl<'a, T: Named> Argument<'a, T> {
    /// The object of a handle, if it has this type.
    pub fn find(term: Term<'a>) -> Option<Self> {
        let kind = T::kind().load(Ordering::Acquire);
        let mut object = MaybeUninit::uninit();
        let env = term.get_env().as_c_arg();
        // SAFETY: a term of its environment, and a registered type. The object lives at least as long as the term, and
        // the term as long as its environment.
        let object = unsafe {
            if enif_get_resource(env, term.as_c_arg(), kind, object.as_mut_ptr()) == 0 {
                return None;
            }
            object.assume_init().cast_mut()
        };
        Some(Argument {
            object: ManuallyDrop::new(ResourceArc {
                object,
                _value: PhantomData,
            }),
            _term: PhantomData,
        })
    }
}

impl<T: Named> Deref for Argument<'_, T> {
    type Target = ResourceArc<T>;

    fn deref(&self) -> &ResourceArc<T> {
        &self.object
    }
}

impl<'a, T: Named> Decoder<'a> for Argument<'a, T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        Self::find(term).ok_or_else(|| misuse(T::NAME, term))
    }
}

/// The object of a handle that a NIF was passed, for what may outlive the NIF: a reference is counted only if it does.
pub struct Lasting<T: Named> {
    object: ManuallyDrop<ResourceArc<T>>,
    counted: AtomicBool,
}

impl<T: Named> Lasting<T> {
    /// # Safety
    /// Before the NIF returns, this must be dropped, or [`Self::outlive`] be called.
    pub unsafe fn new(argument: &Argument<T>) -> Self {
        let object = argument.object.object;
        Lasting {
            object: ManuallyDrop::new(ResourceArc {
                object,
                _value: PhantomData,
            }),
            counted: AtomicBool::new(false),
        }
    }

    /// From here on it may outlive the NIF.
    pub fn outlive(&self) {
        if !self.counted.load(Ordering::Relaxed) {
            std::mem::forget(ResourceArc::clone(&self.object));
            self.counted.store(true, Ordering::Relaxed);
        }
    }
}

impl<T: Named> Deref for Lasting<T> {
    type Target = ResourceArc<T>;

    fn deref(&self) -> &ResourceArc<T> {
        &self.object
    }
}

impl<T: Named> Drop for Lasting<T> {
    fn drop(&mut self) {
        if *self.counted.get_mut() {
            // SAFETY: the reference was counted, and is not used any more.
            unsafe { ManuallyDrop::drop(&mut self.object) };
        }
    }
}

/// The environment for the VM: none on threads that it does not manage.
fn calling(env: Option<Env>) -> *mut ErlNifEnv {
    // SAFETY: takes no arguments.
    let on_scheduler = unsafe { enif_thread_type() } > 0;
    match env {
        Some(env) if on_scheduler => env.as_c_arg(),
        _ => ptr::null_mut(),
    }
}

impl<T: Named> Deref for ResourceArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this counts as a reference to the object.
        unsafe { &*value::<T>(self.object) }
    }
}

impl<T: Named> Clone for ResourceArc<T> {
    fn clone(&self) -> Self {
        // SAFETY: the object is alive.
        unsafe { enif_keep_resource(self.object) };
        ResourceArc {
            object: self.object,
            _value: PhantomData,
        }
    }
}

impl<T: Named> Drop for ResourceArc<T> {
    fn drop(&mut self) {
        // SAFETY: this counted as one.
        unsafe { enif_release_resource(self.object) };
    }
}

impl<T: Named> Encoder for ResourceArc<T> {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        // SAFETY: the object is alive; the term counts as another reference.
        unsafe { Term::new(env, enif_make_resource(env.as_c_arg(), self.object)) }
    }
}

impl<'a, T: Named> Decoder<'a> for ResourceArc<T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        Self::find(term).ok_or_else(|| misuse(T::NAME, term))
    }
}
