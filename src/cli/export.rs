//! `--export DIR`: histograms and CSV by node, class and pool.
//!
//! Written into the folder: `latency.hlog` (every ten seconds, all scopes, by tag), the same as
//! figures in `all.csv`, `classes.csv`, `pools.csv` and `nodes.csv`, `latency.csv` (quantiles of the
//! whole run), and one `.hgrm` for each distribution. Intervals are written as they close, so memory
//! stays flat.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::failure::CliFailure;
use crate::metrics::{Collector, Group, Interval, IntervalScope, Labels, Times};
use crate::report::export::{self, FileNames, Tagged};

/// An export in progress.
pub(super) struct Export {
    dir: PathBuf,
    hlog: BufWriter<File>,
    /// For all requests, classes, pools and nodes.
    csv: [BufWriter<File>; 4],
}

const FILES: [&str; 4] = ["all.csv", "classes.csv", "pools.csv", "nodes.csv"];
const HEADER: &str = "start_s,end_s,name,ended,errors,p50_s,p90_s,p99_s,max_s,input_tokens,\
                      output_tokens,cost_usd";

/// Returns whether an export writes a file of this name.
pub(super) fn writes(name: &str) -> bool {
    FILES.contains(&name)
        || ["latency.hlog", "latency.csv"].contains(&name)
        || name.ends_with(".hgrm")
}

impl Export {
    /// Begins an export into a folder, which is made if it is not there.
    pub(super) fn new(dir: &Path) -> Result<Export, CliFailure> {
        let failed = |error: io::Error| CliFailure::file("write into", dir, &error);
        let begin = || {
            std::fs::create_dir_all(dir)?;
            let mut hlog = BufWriter::new(File::create(dir.join("latency.hlog"))?);
            export::hlog_begin(&mut hlog)?;
            let table = |name: &str| {
                let mut file = BufWriter::new(File::create(dir.join(name))?);
                writeln!(file, "{HEADER}")?;
                Ok::<_, io::Error>(file)
            };
            let [all, classes, pools, nodes] = FILES.map(table);
            Ok(Export { dir: dir.to_owned(), hlog, csv: [all?, classes?, pools?, nodes?] })
        };
        begin().map_err(failed)
    }

    /// Writes intervals that have closed.
    pub(super) fn intervals(
        &mut self,
        labels: &Labels,
        intervals: &[Interval],
    ) -> Result<(), CliFailure> {
        let mut write = || {
            for interval in intervals {
                let tag = tag(labels, interval.scope);
                let entry = Tagged { tag: &tag, histogram: &interval.latency };
                let length = interval.end.since(interval.start);
                if !interval.latency.is_empty() {
                    export::hlog_add(&[entry], interval.start, length, &mut self.hlog)?;
                }
                let file = match interval.scope {
                    IntervalScope::All => 0,
                    IntervalScope::Class(_) => 1,
                    IntervalScope::Pool(_) => 2,
                    IntervalScope::Node(_) => 3,
                };
                row(&mut self.csv[file], name(labels, interval.scope), interval)?;
            }
            Ok(())
        };
        write().map_err(|error: io::Error| CliFailure::file("write into", &self.dir, &error))
    }

    /// Writes what is known only at the end.
    pub(super) fn close(mut self, collector: &Collector) -> Result<(), CliFailure> {
        let dir = self.dir.clone();
        self.finish(collector).map_err(|error| CliFailure::file("write into", &dir, &error))
    }

    fn finish(&mut self, collector: &Collector) -> io::Result<()> {
        self.hlog.flush()?;
        self.csv.iter_mut().try_for_each(Write::flush)?;
        let scopes = scopes(collector);
        let scopes: Vec<_> =
            scopes.into_iter().map(|(tag, times)| (tag, times.histogram())).collect();
        let tagged: Vec<Tagged<'_>> =
            scopes.iter().map(|(tag, histogram)| Tagged { tag, histogram }).collect();
        let mut csv = BufWriter::new(File::create(self.dir.join("latency.csv"))?);
        export::csv(&tagged, &mut csv)?;
        csv.flush()?;
        let mut names = FileNames::default();
        for entry in tagged {
            let path = self.dir.join(names.name(entry.tag, "hgrm"));
            let mut file = BufWriter::new(File::create(path)?);
            export::hgrm(entry.histogram, &mut file)?;
            file.flush()?;
        }
        Ok(())
    }
}

fn row(out: &mut impl Write, name: &str, interval: &Interval) -> io::Result<()> {
    let (start, end) = (interval.start.seconds(), interval.end.seconds());
    let (ended, bad) = (interval.ended, interval.bad);
    write!(out, "{start},{end},{},{ended},{bad}", export::quoted(name))?;
    for quantile in [0.5, 0.9, 0.99, 1.0] {
        if interval.latency.is_empty() {
            write!(out, ",")?;
        } else {
            write!(out, ",{:.6}", interval.latency.value_at_quantile(quantile) as f64 / 1e6)?;
        }
    }
    let (input, output) = (interval.input, interval.output);
    writeln!(out, ",{input},{output},{:.9}", interval.cost.dollars())
}

fn name(labels: &Labels, scope: IntervalScope) -> &str {
    match scope {
        IntervalScope::All => "all",
        IntervalScope::Class(at) => &labels.classes[at].name,
        IntervalScope::Pool(at) => &labels.pools[at],
        IntervalScope::Node(at) => &labels.nodes[at].name,
    }
}

fn tag(labels: &Labels, scope: IntervalScope) -> String {
    let name = name(labels, scope);
    match scope {
        IntervalScope::All => name.to_owned(),
        IntervalScope::Class(_) => format!("class={name}"),
        IntervalScope::Pool(_) => format!("pool={name}"),
        IntervalScope::Node(_) => format!("node={name}"),
    }
}

/// Every distribution of the run with what it is of.
fn scopes(collector: &Collector) -> Vec<(String, &Times)> {
    fn group<'a>(list: &mut Vec<(String, &'a Times)>, tag: &str, group: &'a Group) {
        list.push((format!("{tag} latency"), &group.latency));
        list.push((format!("{tag} ttft"), &group.ttft));
        list.push((format!("{tag} tpot"), &group.tpot));
        list.push((format!("{tag} queue"), &group.queue));
    }
    let labels = collector.labels();
    let mut list = Vec::new();
    group(&mut list, "all", collector.all());
    for (at, class) in collector.classes().iter().enumerate() {
        group(&mut list, &tag(labels, IntervalScope::Class(at)), class);
    }
    for (at, pool) in collector.pools().iter().enumerate() {
        group(&mut list, &tag(labels, IntervalScope::Pool(at)), pool);
    }
    for (at, latency) in collector.node_latencies().enumerate() {
        list.push((format!("{} latency", tag(labels, IntervalScope::Node(at))), latency));
    }
    let flows = labels.workflows.iter().map(|flow| format!("workflow={}", flow.name));
    for (tag, jobs) in std::iter::once("all".to_owned()).chain(flows).zip(collector.jobs()) {
        list.push((format!("{tag} jobs"), &jobs.latency));
    }
    list
}
