//! Whose turn it is: accounts one after the other, and within each its functions.
//!
//! A function is in the round while it has events that are due; what it has besides, and how many, does not matter. A
//! turn gives it a few at most. So each function with something due comes once in a round, whatever the others have
//! queued.

use std::collections::{HashMap, HashSet, VecDeque};

use hearth_types::name::{AccountId, FunctionKey};

/// The round.
#[derive(Debug, Default)]
pub struct Turns {
    accounts: VecDeque<AccountId>,
    functions: HashMap<AccountId, VecDeque<FunctionKey>>,
    /// All that are in the round.
    present: HashSet<FunctionKey>,
}

impl Turns {
    /// Puts a function at the end of its account's part of the round, if it is not in it.
    pub fn add(&mut self, function: &FunctionKey) {
        if !self.present.insert(function.clone()) {
            return;
        }
        let functions = self.functions.entry(function.account.clone()).or_default();
        if functions.is_empty() {
            self.accounts.push_back(function.account.clone());
        }
        functions.push_back(function.clone());
    }

    /// Takes the next function for which `may` holds out of the round. Those for which it does not keep their places.
    pub fn next(&mut self, mut may: impl FnMut(&FunctionKey) -> bool) -> Option<FunctionKey> {
        for at in 0..self.accounts.len() {
            let account = self.accounts.get(at)?.clone();
            let functions = self.functions.get_mut(&account)?;
            let Some(place) = functions.iter().position(&mut may) else {
                continue;
            };
            let function = functions.remove(place)?;
            self.present.remove(&function);
            // The account has had its turn.
            self.accounts.remove(at);
            if functions.is_empty() {
                self.functions.remove(&account);
            } else {
                self.accounts.push_back(account);
            }
            return Some(function);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(account: u32, name: &str) -> FunctionKey {
        FunctionKey {
            account: format!("{account:012}").parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: name.parse().unwrap(),
        }
    }

    #[test]
    fn accounts_take_turns_and_so_do_their_functions() {
        let mut turns = Turns::default();
        let of_one: Vec<_> = ["a", "b", "c"].map(|name| function(1, name)).to_vec();
        let of_two = function(2, "x");
        for function in of_one.iter().chain([&of_two]) {
            turns.add(function);
            turns.add(function);
        }
        let mut order = Vec::new();
        for _ in 0..8 {
            let next = turns.next(|_| true).unwrap();
            turns.add(&next);
            order.push(next.name.to_string());
        }
        // Half of the turns are the second account's, though it has one function only.
        assert_eq!(order, ["a", "x", "b", "x", "c", "x", "a", "x"]);
    }

    #[test]
    fn who_may_not_keeps_its_place() {
        let mut turns = Turns::default();
        let (a, b) = (function(1, "a"), function(1, "b"));
        turns.add(&a);
        turns.add(&b);
        assert_eq!(turns.next(|function| *function == b), Some(b.clone()));
        assert_eq!(turns.next(|_| false), None);
        turns.add(&b);
        assert_eq!(turns.next(|_| true), Some(a));
        assert_eq!(turns.next(|_| true), Some(b));
        assert_eq!(turns.next(|_| true), None);
        assert!(turns.accounts.is_empty() && turns.functions.is_empty());
    }
}
