//! Mock (to come).
