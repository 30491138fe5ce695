//! Tests of the words for closed loops, conversations, tenants and traces.

use crate::dist::Dist;
use crate::scenario::{Arrivals, Scenario};
use crate::unit::{Span, TenantId};
use crate::workload::{
    Begin, CsvMap, Process, SessionPace, SessionSpec, TenantLaw, TimeUnit, TraceFormat, TraceScale,
    Users,
};

const BEFORE: &str = "duration = \"1m\"\n[[pool]]\nname = \"p\"\nstrategy = \"random\"\n\
    [[pool.node]]\nname = \"n\"\n\
    backend = { slots = { servers = 1, service = \"10ms\" } }\n";

fn read(rest: &str) -> Result<Scenario, String> {
    let text = format!("{BEFORE}{rest}\n");
    Scenario::parse("t", "t.toml", &text, &[]).map_err(|problems| problems.draw(false))
}

fn workload(text: &str) -> Scenario {
    read(&format!("[workload]\n{text}")).unwrap_or_else(|told| panic!("{told}"))
}

#[test]
fn users_read() {
    let think = Dist::exponential(10.0).unwrap();
    let text = "arrivals = { users = { count = 200, think = { exponential = { mean = \"10s\" } }, \
                ramp = \"30s\" } }";
    let users = Users { count: 200, think, ramp: Span::from_secs(30) };
    let scenario = workload(text);
    assert_eq!(scenario.arrivals, Arrivals::Users(users));
    assert_eq!(scenario.sessions, None);
}

#[test]
fn sessions_read() {
    let text = "arrivals = { poisson = { rate = 2 } }\n\
                sessions = { turns = 5, think = \"3s\", system_tokens = 900 }";
    let spec = SessionSpec {
        turns: Dist::constant(5.0).unwrap(),
        think: Dist::constant(3.0).unwrap(),
        system: 900,
        context_max: 131_072,
    };
    assert_eq!(workload(text).sessions, Some(spec));
}

#[test]
fn traces_that_need_more_than_a_path_read() {
    let path = Some("x".to_owned());
    let scale = TraceScale { time: 0.5, length: 2.0 };
    let both = "path = \"x\", scale = 0.5, length_scale = 2";
    let of = |text: &str| workload(&format!("arrivals = {{ trace = {{ {text} }} }}")).arrivals;
    let found = of(&format!("servegen = {{ {both}, rate_scale = 0.01 }}"));
    assert_eq!(found, Arrivals::ServeGen { path: path.clone(), scale, rate: 0.01 });

    let found = of(&format!("sessions = {{ {both}, start = {{ poisson = {{ rate = 1 }} }} }}"));
    let (pace, begin) = (SessionPace::Think, Begin::Process(Process::poisson(1.0).unwrap()));
    assert_eq!(found, Arrivals::Recorded { path: path.clone(), scale, pace, begin });
    let start = "start = { users = { count = 8 } }";
    let found = of(&format!("sessions = {{ {both}, pace = \"recorded\", {start} }}"));
    let users = Users { count: 8, think: Dist::constant(0.0).unwrap(), ramp: Span::ZERO };
    let (pace, begin) = (SessionPace::Recorded, Begin::Users(users));
    assert_eq!(found, Arrivals::Recorded { path: path.clone(), scale, pace, begin });

    let columns = "time = \"T\", unit = \"ms\", input = \"in\", output = \"out\", \
                   tenant = \"who\", separator = \";\"";
    let map = CsvMap {
        time: "T".to_owned(),
        unit: TimeUnit::Millis,
        input: "in".to_owned(),
        output: "out".to_owned(),
        session: None,
        tenant: Some("who".to_owned()),
        class: None,
        separator: b';',
    };
    let found = of(&format!("csv = {{ {both}, {columns} }}"));
    let format = TraceFormat::Csv(Box::new(map));
    assert_eq!(found, Arrivals::Trace { format, path: path.clone(), scale });

    let found = of(&format!("bailian = {{ {both} }}"));
    assert_eq!(found, Arrivals::Trace { format: TraceFormat::Bailian, path, scale });
}

#[test]
fn tenants_read() {
    let rest = "[[class]]\nname = \"a\"\ntenant = { zipf = { tenants = 20, exponent = 1.1 } }\n\
                [[class]]\nname = \"b\"\ntenant = 7\n[[class]]\nname = \"c\"\n\
                [workload]\narrivals = { poisson = { rate = 1 } }";
    let classes = read(rest).unwrap().classes;
    assert_eq!(classes[0].tenants, TenantLaw::zipf(20, 1.1).unwrap());
    assert_eq!(classes[1].tenants, TenantLaw::One(TenantId(7)));
    assert_eq!(classes[2].tenants, TenantLaw::default());
}

#[test]
fn what_is_wrong_is_told() {
    let wrong = [
        "arrivals = { users = {} }",
        "arrivals = { users = { count = 0, think = 5, ramp = \"2d\", thnik = 1 } }",
        "arrivals = { usres = { count = 1, think = \"1s\" } }",
        "arrivals = { trace = { azure = {} } }\nsessions = { turns = 3, think = \"1s\" }",
        "arrivals = { poisson = { rate = 1 } }\nsessions = {}",
        "arrivals = { poisson = { rate = 1 } }\n\
         sessions = { turns = 0, think = 1, system_tokens = 500, max_context = 400, x = 1 }",
        "arrivals = { trace = { sessions = {} } }",
        "arrivals = { trace = { sessions = { pace = \"slow\", start = { poison = {} } } } }",
        "arrivals = { trace = { sessions = { start = { users = { count = 1, thinks = 1 } } } } }",
        "arrivals = { trace = { servegen = { rate_scale = 0 } } }",
        "arrivals = { trace = { csv = { time = \"\", unit = \"h\", separator = \"ab\" } } }",
        "arrivals = { trace = { csv = { time = \"a\", input = \"b\", output = \"c\", \
         separator = \"1\" } } }",
        "arrivals = { trace = { bailan = {} } }",
        "arrivals = { poisson = { rate = 1 } }\n[[class]]\nname = \"c\"\n\
         tenant = { zipf = { tenants = 0, exponent = 11 } }",
        "arrivals = { poisson = { rate = 1 } }\n[[class]]\nname = \"c\"\ntenant = \"acme\"",
    ];
    let told = wrong.map(|text| read(&format!("[workload]\n{text}")).unwrap_err());
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn users_need_an_end_as_any_arrivals_that_are_made_up() {
    let rest = "[workload]\narrivals = { users = { count = 1, think = \"1s\" } }\n";
    let text = format!("{BEFORE}{rest}").replace("duration = \"1m\"\n", "");
    let told = Scenario::parse("t", "t.toml", &text, &[]).unwrap_err().to_string();
    assert!(told.contains("the run has no end"), "{told}");
}
