//! Many runs: what differs between strategies, and whether the difference is more than luck.
//!
//! The idea is that of simulation textbooks (Law, "Simulation Modeling and Analysis", chapter 10
//! and 11): every strategy meets the same arrivals, lengths, service draws and faults of a seed
//! (common random numbers), what is compared are differences within a seed, and a seed is one
//! observation. Requests of one run are not independent of each other, so nothing here ever takes
//! an interval from them.
//!
//! The lab does not know how a run is made: it is given a closure, and keeps of each run one number
//! a metric, so memory grows with runs and not with requests. Threads are used to make runs and for
//! nothing else; what comes out does not depend on how many there are.

mod alarm;
pub mod chaos;
mod compare;
mod metric;
mod statistics;
#[cfg(test)]
mod tests;
mod work;

pub use alarm::{Alarm, Alarms, alarms, luck};
pub use compare::{
    CONFIDENCE, CompareVerdict, ComparedRun, Comparison, ConfidenceInterval, Difference, Measured,
    MetricValues, Plan, Runs, StrategyResult, compare,
};
pub use metric::{Metric, metrics};
pub use statistics::{Moments, SeriesStep, holm, moments, student_p, student_t};
pub use work::{Halt, Job, THREADS_MAX, run_all, threads};
