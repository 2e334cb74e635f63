//! Worker manager: execution environments and their life cycle.
