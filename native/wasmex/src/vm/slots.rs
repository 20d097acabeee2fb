//! Values of arbitrary types attached to an owner, at most one per type.
//!
//! A store has both kinds: [`Slots`] in its data, changed by guests and host functions, and [`SharedSlots`] in its
//! cell, which any process with a handle may read while a guest runs. Each has few entries, so linear search is
//! fastest.

use smallvec::SmallVec;
use std::any::{Any, TypeId};
use std::sync::{Arc, PoisonError, RwLock};

/// Changes need `&mut` access to the owner.
#[derive(Default)]
pub struct Slots(Vec<(TypeId, Box<dyn Any + Send + Sync>)>);

impl Slots {
    fn position<T: Any>(&self) -> Option<usize> {
        let wanted = TypeId::of::<T>();
        self.0.iter().position(|(id, _)| *id == wanted)
    }

    /// Attaches a value, replacing the one of its type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: impl Into<Box<T>>) {
        let value: Box<T> = value.into();
        match self.position::<T>() {
            Some(index) => self.0[index].1 = value,
            None => self.0.push((TypeId::of::<T>(), value)),
        }
    }

    /// The value of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0[self.position::<T>()?].1.downcast_ref()
    }

    /// The value of this type, mutably.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        let index = self.position::<T>()?;
        self.0[index].1.downcast_mut()
    }

    /// Removes the value of this type.
    pub fn take<T: Any>(&mut self) -> Option<Box<T>> {
        let index = self.position::<T>()?;
        self.0.swap_remove(index).1.downcast().ok()
    }
}

/// Can be attached to a store's cell.
pub trait Shared: Any + Send + Sync {
    /// The store is closed: drop anything that may hold a handle of it, which would keep both alive.
    fn close(&self) {}
}

/// Shared by all holders of a handle of the owner.
#[derive(Default)]
pub struct SharedSlots(RwLock<SmallVec<[Slot; 2]>>);

type Slot = (TypeId, Arc<dyn Shared>);

impl SharedSlots {
    /// Attaches a value, replacing the one of its type.
    pub fn insert<T: Shared>(&self, value: impl Into<Arc<T>>) {
        let value: Arc<T> = value.into();
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = match slots.iter().position(|(id, _)| *id == TypeId::of::<T>()) {
            Some(index) => Some(std::mem::replace(&mut slots[index].1, value)),
            None => {
                slots.push((TypeId::of::<T>(), value));
                None
            }
        };
        drop(slots);
        // Dropped outside the lock: its destructor may use these slots.
        drop(replaced);
    }

    /// The value of this type.
    pub fn get<T: Shared>(&self) -> Option<Arc<T>> {
        let slots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (_, found) = slots.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        let found: Arc<dyn Any + Send + Sync> = found.clone();
        found.downcast().ok()
    }

    /// The value of this type, created now if there is none.
    pub fn get_or_default<T: Shared + Default>(&self) -> Arc<T> {
        if let Some(found) = self.get() {
            return found;
        }
        let mut slots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some((_, found)) = slots.iter().find(|(id, _)| *id == TypeId::of::<T>()) {
            let found: Arc<dyn Any + Send + Sync> = found.clone();
            if let Ok(found) = found.downcast() {
                return found;
            }
        }
        let made = Arc::new(T::default());
        slots.push((TypeId::of::<T>(), made.clone()));
        made
    }

    /// Notifies all values that the store is closed.
    pub fn close(&self) {
        // Outside the lock: destructors may use these slots.
        let slots = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        slots.iter().for_each(|(_, slot)| slot.close());
    }
}
