//! Function registry: every control operation, validated and atomic.
