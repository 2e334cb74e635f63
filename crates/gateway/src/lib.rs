//! Front door: listeners, authentication, routing, admission, translation.
