//! Traces of any size in the same memory. A test of its own: it looks at the whole process.

use std::fs;
use std::io::{self, BufReader, Read};

use plimsoll::balance::Priority;
use plimsoll::dist::Dist;
use plimsoll::unit::Time;
use plimsoll::workload::{
    ArrivalSource, ClassSpec, CsvMap, Mix, Origin, TenantLaw, TimeUnit, Trace, TraceFormat,
};

/// Rows without end, made as they are read.
struct Rows<F> {
    make: F,
    next: u64,
    left: u64,
    row: Vec<u8>,
    at: usize,
}

impl<F: FnMut(u64) -> String> Read for Rows<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.row.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.row = (self.make)(self.next).into_bytes();
            self.at = 0;
            self.next += 1;
            self.left = self.left.saturating_sub(self.row.len() as u64);
        }
        let count = buffer.len().min(self.row.len() - self.at);
        buffer[..count].copy_from_slice(&self.row[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The most memory this process has held, in KiB, where the system says.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Plays so many bytes of each format; returns how many MiB the peak has risen by.
fn play(bytes: u64) -> Option<u64> {
    let law = Dist::constant(1.0).expect("one is a length");
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
    let map = CsvMap {
        time: "t".to_owned(),
        unit: TimeUnit::Millis,
        input: "i".to_owned(),
        output: "o".to_owned(),
        session: Some("s".to_owned()),
        tenant: Some("w".to_owned()),
        class: None,
        separator: b',',
    };
    let before = peak()?;
    type Make = fn(u64) -> String;
    let formats: [(TraceFormat, Make); 3] = [
        (TraceFormat::Csv(Box::new(map)), |n| match n {
            0 => "t,i,o,s,w\n".to_owned(),
            n => format!("{}.{},{},{},{n},{}\n", n * 7, n % 10, n % 900, n % 70, n % 50),
        }),
        (TraceFormat::Mooncake, |n| {
            let at = n * 13;
            let ids: Vec<u64> = (n..n + 40).collect();
            format!(
                "{{\"timestamp\": {at}, \"input_length\": 20000, \"output_length\": 9, \
                 \"hash_ids\": {ids:?}}}\n"
            )
        }),
        (TraceFormat::Bailian, |n| {
            let parent = n as i64 - 1 - (n % 5) as i64;
            format!(
                "{{\"chat_id\": {n}, \"parent_chat_id\": {}, \"timestamp\": {}, \
                 \"input_length\": 33, \"output_length\": 9, \"hash_ids\": [1, 2, {n}]}}\n",
                parent.max(-1),
                n as f64 * 0.25
            )
        }),
    ];
    for (format, make) in formats {
        let rows = Rows { make, next: 0, left: bytes, row: Vec::new(), at: 0 };
        let mix = Mix::new(vec![class.clone()], 1);
        let reader = Box::new(BufReader::with_capacity(1 << 18, rows));
        let mut trace = Trace::new(reader, format, 1.0, Time::MAX, u64::MAX, 1, mix);
        let mut count = 0_u64;
        while let Some(arrival) = trace.next().expect("rows in order") {
            assert_eq!(arrival.request.id.0, count);
            count += 1;
        }
        // Rows grow with their numbers, to some 440 bytes.
        assert!(count * 500 > bytes, "{count} rows");
    }
    Some((peak()? - before) / 1024)
}

fn flat(bytes: u64) {
    match play(bytes) {
        Some(risen) => {
            println!("{bytes} bytes of each format: {risen} MiB");
            // Bailian remembers the last 262,144 requests.
            assert!(risen < 40, "{risen} MiB");
        }
        None => println!("skipped: the system does not say how much memory is held"),
    }
}

#[test]
fn a_trace_of_24_mb_takes_no_more_memory_than_its_buffers() {
    flat(24_000_000);
}

#[test]
#[ignore = "takes a minute"]
fn a_trace_of_2_gb_takes_no_more_memory_than_its_buffers() {
    flat(2_000_000_000);
}
