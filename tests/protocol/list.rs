//! A short list without a heap: a state is copied and hashed millions of times.

use std::{
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
};

/// At most `N` items. Places past the end hold the default, so that equal lists are equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct List<T, const N: usize> {
    length: u8,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { length: 0, items: [T::default(); N] }
    }
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// Appends an item. Panics when the list is full: the bounds of the model are then too small for its environment.
    pub fn push(&mut self, item: T) {
        self.items[usize::from(self.length)] = item;
        self.length += 1;
    }

    /// Takes the item at `place` out.
    pub fn remove(&mut self, place: usize) -> T {
        let removed = self.items[place];
        self.items.copy_within(place + 1..usize::from(self.length), place);
        self.length -= 1;
        self.items[usize::from(self.length)] = T::default();
        removed
    }

    /// Inserts `item` where the order wants it, unless an equal one is there already. Returns whether it did.
    pub fn insert(&mut self, item: T) -> bool
    where
        T: Ord,
    {
        let place = match self.binary_search(&item) {
            Ok(_) => return false,
            Err(place) => place,
        };
        self.insert_again(place, item);
        true
    }

    /// Inserts `item` at `place`.
    pub fn insert_again(&mut self, place: usize, item: T) {
        let length = usize::from(self.length);
        self.items.copy_within(place..length, place + 1);
        self.items[place] = item;
        self.length += 1;
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        usize::from(self.length) == N
    }
}

impl<T: Copy + Default, const N: usize> FromIterator<T> for List<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::default();
        items.into_iter().for_each(|item| list.push(item));
        list
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.length)]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..usize::from(self.length)]
    }
}

impl<T: Hash, const N: usize> Hash for List<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.length);
        self.iter().for_each(|item| item.hash(state));
    }
}
