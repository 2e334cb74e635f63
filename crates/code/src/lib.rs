//! Code storage: content-addressed packages and their unpacked form.
