//! What makes an effect happen once, though whoever wants it may end before it has noted that.

use hearth_types::time::Timestamp;

/// An effect of a series, told from the others by a mark that rises. A store that takes it in remembers the highest mark
/// of the series in the same transaction, and takes in nothing with that mark or a lower one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The series.
    pub series: String,
    /// The effect's mark.
    pub mark: i64,
    /// Until when the series is remembered after it: longer than anybody may ask for the effect again.
    pub until: Timestamp,
}
