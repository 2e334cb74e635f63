//! Shapes of the Lambda API.
