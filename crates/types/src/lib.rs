//! The vocabulary of Hearth: names, ARNs, limits, configuration, invocation, errors.
