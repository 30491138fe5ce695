//! What fuzzers call of the readers of traces.

use std::io::Cursor;

use super::{CsvMap, Recordings, TimeUnit, Trace, TraceError, TraceFormat, servegen};
use crate::balance::Priority;
use crate::dist::Dist;
use crate::unit::Time;
use crate::workload::{ArrivalSource, ClassSpec, Mix, Origin, TenantLaw};

/// Of any bytes a reader makes arrivals in order of time, or says where they are none. The first byte says
/// which reader.
pub fn trace(bytes: &[u8]) {
    let Some((&kind, text)) = bytes.split_first() else { return };
    let format = match kind % 10 {
        0 => TraceFormat::Azure,
        1 => TraceFormat::Mooncake,
        2 => TraceFormat::BurstGpt,
        3 => TraceFormat::Vidur,
        4 => TraceFormat::Bailian,
        5 => table(TimeUnit::Seconds, b','),
        6 => table(TimeUnit::Date, b'\t'),
        7 => return sessions(text),
        8 => {
            if let Err(errors) = servegen::windows(Box::new(Cursor::new(text.to_vec()))) {
                told(&errors);
            }
            return;
        }
        _ => {
            if let Err(errors) = servegen::dataset(&mut Cursor::new(text)) {
                told(&errors);
            }
            return;
        }
    };
    let reader = Box::new(Cursor::new(text.to_vec()));
    let mut trace = Trace::new(reader, format, 1.0, Time::MAX, 10_000, 7, mix());
    let _ = trace.notes();
    let mut last = Time::ZERO;
    loop {
        match trace.next() {
            Ok(Some(arrival)) => {
                assert!(arrival.request.arrived >= last, "arrivals are in order of time");
                last = arrival.request.arrived;
            }
            Ok(None) => return,
            Err(errors) => return told(&errors),
        }
    }
}

fn sessions(text: &[u8]) {
    let mut sessions = Recordings::new(Box::new(Cursor::new(text.to_vec())), 1.0);
    loop {
        match sessions.next() {
            Ok(Some(session)) => assert!(!session.steps.is_empty(), "at least one request"),
            Ok(None) => return,
            Err(errors) => return told(&errors),
        }
    }
}

/// Who is refused is told where and why.
fn told(errors: &[TraceError]) {
    assert!(!errors.is_empty());
    for error in errors {
        assert!(error.line >= 1 && error.column >= 1 && !error.reason.is_empty(), "{error:?}");
    }
}

fn table(unit: TimeUnit, separator: u8) -> TraceFormat {
    TraceFormat::Csv(Box::new(CsvMap {
        time: "t".to_owned(),
        unit,
        input: "in".to_owned(),
        output: "out".to_owned(),
        session: Some("s".to_owned()),
        tenant: Some("who".to_owned()),
        class: None,
        separator,
    }))
}

fn mix() -> Mix {
    let Ok(law) = Dist::constant(1.0) else { unreachable!("one is a length") };
    let class = ClassSpec {
        name: "all".to_owned(),
        share: 1.0,
        priority: Priority::Normal,
        prompt: law,
        output: law,
        deadline: None,
        origin: Origin::default(),
        tenants: TenantLaw::default(),
        model: None,
        complexity: None,
        repeat: None,
    };
    Mix::new(vec![class], 7)
}
