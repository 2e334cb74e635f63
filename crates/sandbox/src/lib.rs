//! Walls: isolate a process and run it.
