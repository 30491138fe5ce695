//! Jobs without a fleet: whoever answers here is the test.

use super::*;
use crate::balance::{End, Failure, Priority, Reject};
use crate::workload::length::Mix;

fn law(value: f64) -> Dist {
    Dist::constant(value).unwrap()
}

fn class(name: &str) -> ClassSpec {
    ClassSpec {
        name: name.to_owned(),
        share: 1.0,
        priority: Priority::Normal,
        prompt: Dist::exponential(300.0).unwrap(),
        output: Dist::exponential(100.0).unwrap(),
        deadline: None,
        origin: crate::workload::Origin::default(),
        tenants: crate::workload::TenantLaw::default(),
        model: None,
        complexity: None,
        repeat: None,
    }
}

fn step(name: &str, after: &[u16]) -> StepSpec {
    StepSpec {
        back_to: None,
        name: name.to_owned(),
        class: ClassId(0),
        after: after.to_vec(),
        fan_out: law(1.0),
        deadline: None,
        retries: 0,
        on_failure: OnFailure::Fail,
        rounds: law(1.0),
        calls: Vec::new(),
        context: StepContext::Fresh,
    }
}

fn flow(steps: Vec<StepSpec>) -> WorkflowSpec {
    WorkflowSpec { name: "flow".to_owned(), share: 1.0, deadline: None, steps }
}

fn jobs(count: u64, flows: Vec<WorkflowSpec>) -> Jobs {
    let classes = vec![class("a"), class("b")];
    let mix = Mix::new(classes.clone(), 7);
    Jobs::new(Generated::new(1.0, Time::MAX, count, 7, mix), flows, classes, 7)
}

/// What was heard of a run of jobs.
#[derive(Default)]
struct Heard {
    arrivals: Vec<Arrival>,
    news: Vec<(Time, JobNews)>,
    cancelled: Vec<RequestId>,
}

impl Heard {
    fn ends(&self) -> Vec<(u64, JobFate, u64)> {
        let end = |(_, news): &(Time, JobNews)| match news.what {
            JobPhase::Ended { fate, requests } => Some((news.job, fate, requests)),
            _ => None,
        };
        self.news.iter().filter_map(end).collect()
    }
}

/// Plays jobs; `answer` says when after its arrival a request settles, and how.
fn play(mut jobs: Jobs, mut answer: impl FnMut(&Arrival) -> (Span, Fate)) -> Heard {
    let mut heard = Heard::default();
    let mut under_way: BTreeMap<(Time, RequestId), Fate> = BTreeMap::new();
    let mut now = Time::ZERO;
    loop {
        let settles = under_way.keys().next().map(|(at, _)| *at);
        let (news, arrives) = (jobs.news_at(), jobs.peek().unwrap());
        let times = [news, settles, arrives];
        let Some(first) = times.into_iter().flatten().min() else { return heard };
        now = now.max(first);
        if news.is_some_and(|at| at <= now) {
            match jobs.news(now) {
                Some(News::Job(news)) => heard.news.push((now, news)),
                Some(News::Cancel(request)) => {
                    heard.cancelled.push(request);
                    let before = under_way.len();
                    under_way.retain(|(_, other), _| *other != request);
                    assert_eq!(under_way.len() + 1, before, "only what is under way is cancelled");
                    jobs.settled(now, request, Fate::Cancelled);
                }
                None => {}
            }
        } else if settles == Some(first) {
            let ((_, request), fate) = under_way.pop_first().unwrap();
            jobs.settled(now, request, fate);
        } else {
            let arrival = jobs.take();
            assert_eq!(arrival.request.id.0, heard.arrivals.len() as u64, "ids count up");
            let (after, fate) = answer(&arrival);
            let due = now + after;
            // As the balancer would: nothing lives longer than its deadline.
            let late = due > arrival.request.deadline;
            let timed_out = Fate::Failed(End::TimedOut(crate::balance::TimeoutStage::Total));
            let fate = if late { timed_out } else { fate };
            under_way.insert((due.min(arrival.request.deadline), arrival.request.id), fate);
            heard.arrivals.push(arrival);
        }
    }
}

const SECOND: Span = Span::from_secs(1);
const BROKEN: Fate = Fate::Failed(End::Failed(Failure::Reset));

fn at(arrival: &Arrival) -> (u64, u16) {
    let job = arrival.request.job.unwrap();
    (job.job, job.step)
}

#[test]
fn cycles_are_found_and_graphs_without_one_are_left_alone() {
    assert_eq!(cycle(&[vec![0]]), Some(vec![0, 0]));
    assert_eq!(cycle(&[vec![1], vec![2], vec![0]]), Some(vec![0, 1, 2, 0]));
    assert_eq!(cycle(&[vec![], vec![0, 2], vec![1]]), Some(vec![1, 2, 1]));
    let mut rng = Rng::stream(1, "graphs");
    for _ in 0..200 {
        // Edges go to earlier steps only, so there is no cycle; one edge back makes one.
        let count = 2 + rng.below(20);
        let mut after: Vec<Vec<u16>> = (0..count)
            .map(|step| (0..step as u16).filter(|_| rng.below(3) == 0).collect())
            .collect();
        assert_eq!(cycle(&after), None);
        let (early, late) = (rng.below(count - 1), count - 1);
        after[late].push(early as u16);
        after[early].push(late as u16);
        let path = cycle(&after).expect("there is one");
        assert_eq!(path.first(), path.last());
        assert!(path.windows(2).all(|pair| after[usize::from(pair[0])].contains(&pair[1])));
    }
}

#[test]
fn a_step_begins_when_all_before_it_are_over() {
    let mut join = step("join", &[1, 2]);
    join.fan_out = law(3.0);
    let steps = vec![step("first", &[]), step("left", &[0]), step("right", &[0]), join];
    let heard = play(jobs(50, vec![flow(steps)]), |arrival| {
        let (_, step) = at(arrival);
        (Span::from_secs([1, 2, 5, 1][usize::from(step)]), Fate::Completed)
    });
    assert_eq!(heard.arrivals.len(), 50 * 6);
    let mut ends = heard.ends();
    ends.sort_unstable_by_key(|end| end.0);
    let all: Vec<_> = (0..50).map(|job| (job, JobFate::Completed, 6)).collect();
    assert_eq!(ends, all, "every job ends once");
    for (now, news) in &heard.news {
        let took = now.since(news.started);
        match news.what {
            JobPhase::Started => assert_eq!(took, Span::ZERO),
            JobPhase::StepOver { step: 3, began, instances, skipped } => {
                assert_eq!(began.since(news.started), Span::from_secs(6), "after the slower one");
                assert_eq!((instances, skipped), (3, 0));
            }
            JobPhase::StepOver { .. } => {}
            JobPhase::Ended { .. } => assert_eq!(took, Span::from_secs(7)),
        }
    }
}

/// What jobs ask and what the truth of it is, whenever they ask it.
fn asked(pace: u64) -> Vec<(u64, u16, u16, Tokens, Truth)> {
    let mut fan = step("fan", &[0]);
    fan.fan_out = Dist::uniform(1.0, 9.0).unwrap();
    fan.rounds = Dist::uniform(0.5, 3.5).unwrap();
    let calls = |most| CallSpec {
        class: ClassId(1),
        count: Dist::uniform(0.0, most).unwrap(),
        think: Dist::exponential(1.0).unwrap(),
    };
    fan.calls = vec![calls(5.0), calls(2.0)];
    let mut other = flow(vec![step("only", &[])]);
    other.share = 0.5;
    let flows = vec![flow(vec![step("first", &[]), fan]), other];
    let mut order = Rng::stream(pace, "order");
    let heard = play(jobs(200, flows), |_| {
        (Span::from_millis(1 + order.below(pace as usize * 1_000) as u64), Fate::Completed)
    });
    let mut all: Vec<_> = heard
        .arrivals
        .iter()
        .map(|arrival| {
            let (job, step) = at(arrival);
            (job, step, arrival.request.class.0, arrival.request.prompt, arrival.truth)
        })
        .collect();
    all.sort_unstable_by_key(|one| (one.0, one.1, one.4.key));
    all
}

#[test]
fn timing_changes_nothing_that_is_asked() {
    let slow = asked(60);
    assert_eq!(asked(1), slow);
    assert!(slow.len() > 1_000, "{}", slow.len());
    let mut keys: Vec<u64> = slow.iter().map(|one| one.4.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), slow.len(), "no two requests share their truth");
    assert!(slow.iter().any(|one| one.2 == 1), "nested calls have their own class");
}

#[test]
fn nested_calls_come_one_after_the_other() {
    let mut agent = step("agent", &[]);
    agent.calls = vec![CallSpec { class: ClassId(1), count: law(3.0), think: law(2.0) }];
    agent.context = StepContext::Grow;
    let heard = play(jobs(1, vec![flow(vec![agent])]), |_| (SECOND, Fate::Completed));
    let start = heard.arrivals[0].at;
    let after: Vec<Span> = heard.arrivals.iter().map(|one| one.at.since(start)).collect();
    assert_eq!(after, [0, 3, 6, 9].map(Span::from_secs));
    assert_eq!(heard.ends(), [(0, JobFate::Completed, 4)]);
    // What was said comes before what is asked.
    let fresh = {
        let mut agent = step("agent", &[]);
        agent.calls = vec![CallSpec { class: ClassId(1), count: law(3.0), think: law(2.0) }];
        play(jobs(1, vec![flow(vec![agent])]), |_| (SECOND, Fate::Completed))
    };
    let mut said = Tokens::ZERO;
    for (grown, fresh) in heard.arrivals.iter().zip(&fresh.arrivals) {
        assert_eq!(grown.request.prompt, fresh.request.prompt + said);
        assert_eq!(grown.truth, fresh.truth);
        said += grown.truth.output;
    }
}

/// The classes of what an agent asks: `rounds` times itself, then two of `b`, none, and one of `a`.
fn rounds(rounds: Dist, jobs_asked: u64, mut answer: impl FnMut(u64) -> Fate) -> Heard {
    let mut agent = step("agent", &[]);
    let calls = |class, count, think| CallSpec { class, count: law(count), think: law(think) };
    agent.calls =
        vec![calls(ClassId(1), 2.0, 2.0), calls(ClassId(1), 0.0, 9.0), calls(ClassId(0), 1.0, 0.0)];
    (agent.rounds, agent.retries, agent.context) = (rounds, 1, StepContext::Grow);
    play(jobs(jobs_asked, vec![flow(vec![agent])]), |one| (SECOND, answer(one.request.id.0)))
}

#[test]
fn a_round_is_a_request_and_then_each_entry_of_its_calls() {
    let heard = rounds(law(3.0), 1, |_| Fate::Completed);
    let classes: Vec<u16> = heard.arrivals.iter().map(|one| one.request.class.0).collect();
    assert_eq!(classes, [0, 1, 1, 0].repeat(3));
    let start = heard.arrivals[0].at;
    let after: Vec<Span> = heard.arrivals.iter().map(|one| one.at.since(start)).collect();
    let round = |at: u64| [0, 3, 6, 7].map(|after| Span::from_secs(8 * at + after));
    assert_eq!(after, [round(0), round(1), round(2)].concat());
    assert_eq!(heard.ends(), [(0, JobFate::Completed, 12)]);
    // A later round has all that was said before in front of it, and it is one step all the while.
    let said: u64 = heard.arrivals[..4].iter().map(|one| one.truth.output.0).sum();
    assert!(heard.arrivals[4].request.prompt > Tokens(said));
    let over = heard.news.iter().filter(|(_, news)| matches!(news.what, JobPhase::StepOver { .. }));
    assert_eq!(over.count(), 1);
}

#[test]
fn rounds_are_drawn_by_instance_and_bounded() {
    let of = |law: Dist| {
        let heard = rounds(law, 2_000, |_| Fate::Completed);
        heard.ends().into_iter().map(|(_, _, requests)| requests / 4).collect::<Vec<u64>>()
    };
    let drawn = of(Dist::uniform(0.5, 4.5).unwrap());
    for wanted in 1..=4 {
        let count = drawn.iter().filter(|rounds| **rounds == wanted).count();
        assert!((430..570).contains(&count), "{wanted} rounds: {count} of 2,000");
    }
    assert!(drawn.iter().all(|rounds| (1..=4).contains(rounds)));
    assert!(of(Dist::uniform(0.0, 0.4).unwrap()).iter().all(|rounds| *rounds == 1));
    let most = rounds(law(1e9), 1, |_| Fate::Completed).ends();
    assert_eq!(most, [(0, JobFate::Completed, 4 * ROUNDS_MAX)]);
}

#[test]
fn a_retry_begins_with_the_first_round_and_asks_the_same() {
    // The second request of the second round fails.
    let heard = rounds(law(2.0), 1, |id| if id == 5 { BROKEN } else { Fate::Completed });
    assert_eq!(heard.ends(), [(0, JobFate::Completed, 6 + 8)]);
    let classes: Vec<u16> = heard.arrivals.iter().map(|one| one.request.class.0).collect();
    assert_eq!(classes, [&[0, 1, 1, 0, 0, 1][..], &[0, 1, 1, 0, 0, 1, 1, 0]].concat());
    assert_eq!(heard.arrivals[0].request.prompt, heard.arrivals[6].request.prompt);
    assert_eq!((heard.arrivals[6].request.again, heard.arrivals[10].request.again), (1, 0));
}

#[test]
fn a_growing_context_holds_what_the_steps_before_have_said() {
    let mut fan = step("fan", &[]);
    fan.fan_out = law(4.0);
    let mut last = step("last", &[0]);
    last.context = StepContext::Grow;
    let heard = play(jobs(1, vec![flow(vec![fan, last])]), |_| (SECOND, Fate::Completed));
    let said = heard.arrivals[..4].iter().map(|one| one.truth.output.0).sum::<u64>();
    assert!(heard.arrivals[4].request.prompt > Tokens(said));
}

#[test]
fn a_failure_ends_the_job_and_cancels_the_rest() {
    let mut fan = step("fan", &[]);
    fan.fan_out = law(4.0);
    let steps = vec![fan, step("beside", &[]), step("never", &[0])];
    let mut first = true;
    let heard = play(jobs(1, vec![flow(steps)]), |_| {
        let fate = if std::mem::take(&mut first) { BROKEN } else { Fate::Completed };
        (if fate == BROKEN { SECOND } else { Span::from_secs(2) }, fate)
    });
    assert_eq!(heard.ends(), [(0, JobFate::Failed(0), 5)]);
    assert_eq!(heard.cancelled.len(), 4, "the others of the step and the one beside it");
    assert_eq!(heard.arrivals.len(), 5, "what comes after never begins");
}

#[test]
fn what_may_fail_is_skipped_and_its_output_is_missing() {
    let mut fan = step("fan", &[]);
    (fan.fan_out, fan.on_failure) = (law(4.0), OnFailure::Skip);
    let mut last = step("last", &[0]);
    last.context = StepContext::Grow;
    for good in 0..=4_u64 {
        let flow = flow(vec![fan.clone(), last.clone()]);
        let heard = play(jobs(1, vec![flow]), |arrival| {
            let rejected = Fate::Rejected(Reject::QueueFull);
            (
                SECOND,
                if (good..4).contains(&arrival.request.id.0) { rejected } else { Fate::Completed },
            )
        });
        let over = heard.news.iter().find_map(|(_, news)| match news.what {
            JobPhase::StepOver { step: 0, instances, skipped, .. } => Some((instances, skipped)),
            _ => None,
        });
        assert_eq!(over, Some((4, 4 - good as u32)));
        assert_eq!(heard.ends(), [(0, JobFate::Completed, 5)]);
    }
}

#[test]
fn a_retry_asks_the_same_and_gets_another_answer() {
    let mut only = step("only", &[]);
    only.retries = 2;
    for (failures, fate) in [(2, JobFate::Completed), (3, JobFate::Failed(0))] {
        let heard = play(jobs(1, vec![flow(vec![only.clone()])]), |arrival| {
            (SECOND, if arrival.request.id.0 < failures { BROKEN } else { Fate::Completed })
        });
        assert_eq!(heard.ends(), [(0, fate, 3)]);
        let asked: Vec<Tokens> = heard.arrivals.iter().map(|one| one.request.prompt).collect();
        assert!(asked.iter().all(|prompt| *prompt == asked[0]));
        assert_ne!(heard.arrivals[0].truth.key, heard.arrivals[1].truth.key);
    }
}

#[test]
fn deadlines_bound_a_try_and_the_job_whatever_they_wait_for() {
    let mut thinks = step("thinks", &[]);
    thinks.calls = vec![CallSpec { class: ClassId(1), count: law(1.0), think: law(100.0) }];
    thinks.deadline = Some(Span::from_secs(5));
    thinks.on_failure = OnFailure::Skip;
    // Its own deadline passes while it thinks, and the next step begins at that moment.
    let heard = play(jobs(1, vec![flow(vec![thinks.clone(), step("next", &[0])])]), |_| {
        (SECOND, Fate::Completed)
    });
    let began = heard.arrivals[1].at.since(heard.arrivals[0].at);
    assert_eq!((began, heard.ends()), (Span::from_secs(5), vec![(0, JobFate::Completed, 2)]));
    // The job's deadline passes first: nothing is skipped any more.
    let late = WorkflowSpec { deadline: Some(Span::from_secs(3)), ..flow(vec![thinks.clone()]) };
    let heard = play(jobs(1, vec![late.clone()]), |_| (SECOND, Fate::Completed));
    let (end, news) = heard.news[heard.news.len() - 1];
    assert_eq!(end.since(news.started), Span::from_secs(3));
    assert_eq!(heard.ends(), [(0, JobFate::TimedOut, 1)]);
    // A request is told the nearer of the two.
    let heard = play(jobs(1, vec![late]), |_| (Span::from_secs(60), Fate::Completed));
    let request = &heard.arrivals[0].request;
    assert_eq!(request.deadline.since(request.arrived), Span::from_secs(3));
    assert_eq!(heard.ends(), [(0, JobFate::TimedOut, 1)]);
    // Each try has the whole time of its step.
    let mut tries = step("tries", &[]);
    (tries.deadline, tries.retries) = (Some(Span::from_secs(5)), 2);
    let heard = play(jobs(1, vec![flow(vec![tries])]), |_| (Span::from_secs(60), Fate::Completed));
    let start = heard.arrivals[0].at;
    let after: Vec<Span> = heard.arrivals.iter().map(|one| one.at.since(start)).collect();
    assert_eq!(after, [0, 5, 10].map(Span::from_secs));
}

#[test]
fn no_job_is_remembered_when_all_are_over() {
    let mut fan = step("fan", &[]);
    (fan.fan_out, fan.retries) = (law(3.0), 1);
    let mut jobs = jobs(300, vec![flow(vec![fan, step("last", &[0])])]);
    let mut under_way = Vec::new();
    let mut count = 0_u64;
    loop {
        let now = jobs.news_at().into_iter().chain(jobs.peek().unwrap()).min();
        let Some(now) = now else {
            let Some((at, request)) = under_way.pop() else { break };
            count += 1;
            let fate = if count.is_multiple_of(3) { BROKEN } else { Fate::Completed };
            jobs.settled(at, request, fate);
            continue;
        };
        while jobs.news(now).is_some() {}
        while jobs.peek().unwrap().is_some() {
            let arrival = jobs.take();
            under_way.push((arrival.at, arrival.request.id));
        }
    }
    assert!(jobs.jobs.is_empty() && jobs.under_way.is_empty() && jobs.late.is_empty());
}

fn going_back(mut step: StepSpec, to: u16, rounds: Dist) -> StepSpec {
    step.back_to = Some(BackTo { step: to, rounds });
    step
}

#[test]
fn a_loop_goes_through_its_steps_in_order_and_what_comes_after_waits_for_its_end() {
    // a -> (b -> c, b -> d -> c)* -> e, and f after b.
    let steps = vec![
        step("a", &[]),
        step("b", &[0]),
        going_back(step("c", &[1, 3]), 1, law(3.0)),
        step("d", &[1]),
        step("e", &[2]),
        step("f", &[1, 0]),
    ];
    let heard = play(jobs(1, vec![flow(steps)]), |_| (SECOND, Fate::Completed));
    let order: Vec<u16> = heard.arrivals.iter().map(|arrival| at(arrival).1).collect();
    assert_eq!(order, [0, 1, 3, 2, 1, 3, 2, 1, 3, 2, 5, 4]);
    assert_eq!(heard.ends(), [(0, JobFate::Completed, 12)]);
    let over = |step: u16| {
        let of = |news: &(Time, JobNews)| match news.1.what {
            JobPhase::StepOver { step: over, .. } => over == step,
            _ => false,
        };
        heard.news.iter().filter(|news| of(news)).count()
    };
    assert_eq!((0..6).map(over).collect::<Vec<_>>(), [1, 3, 3, 3, 1, 1]);
}

#[test]
fn every_round_of_a_loop_asks_something_else_and_timing_changes_nothing() {
    let run = |pace: u64| {
        let mut last = going_back(step("b", &[0]), 0, Dist::uniform(0.5, 6.5).unwrap());
        last.context = StepContext::Grow;
        let flow = flow(vec![step("a", &[]), last]);
        let wait = |arrival: &Arrival| Span(1 + arrival.request.id.0 * 7_919 % pace);
        let heard = play(jobs(50, vec![flow]), |arrival| (wait(arrival), Fate::Completed));
        let mut asked: Vec<_> = heard
            .arrivals
            .iter()
            .map(|arrival| (at(arrival), arrival.request.prompt, arrival.truth))
            .collect();
        asked.sort_by_key(|(at, prompt, truth)| (*at, *prompt, truth.key));
        (heard, asked)
    };
    let (heard, asked) = run(SECOND.0);
    let (_, other) = run(600 * SECOND.0);
    assert_eq!(asked, other);
    let keys: std::collections::BTreeSet<u64> = asked.iter().map(|(.., truth)| truth.key).collect();
    assert_eq!(keys.len(), asked.len(), "no draw is used twice");
    assert!(
        heard.ends().iter().all(|(_, fate, asked)| *fate == JobFate::Completed && asked % 2 == 0)
    );
}

#[test]
fn the_first_step_of_a_loop_hears_what_the_last_has_said() {
    let mut first = step("a", &[]);
    first.context = StepContext::Grow;
    let steps = vec![first, going_back(step("b", &[0]), 0, law(3.0))];
    let heard = play(jobs(1, vec![flow(steps)]), |_| (SECOND, Fate::Completed));
    let own = |call: u64, lap: u64| {
        // What the class says alone: a job whose steps are fresh.
        let steps = vec![step("a", &[]), going_back(step("b", &[0]), 0, law(3.0))];
        let fresh = play(jobs(1, vec![flow(steps)]), |_| (SECOND, Fate::Completed));
        fresh.arrivals[(2 * lap + call) as usize].request.prompt
    };
    let said = |place: usize| heard.arrivals[place].truth.output;
    for (lap, before) in [(0, Tokens::ZERO), (1, said(1)), (2, said(1) + said(3))] {
        assert_eq!(heard.arrivals[2 * lap].request.prompt, own(0, lap as u64) + before);
    }
}

#[test]
fn jobs_make_as_many_calls_in_the_mean_as_their_loops_say_and_none_is_lost() {
    let laws = [
        (law(4.0), 4.0),
        (Dist::uniform(0.5, 5.5).unwrap(), 3.0),
        // Rounded, at least one: the sum over k of the chance of more than k.
        (
            Dist::exponential(2.0).unwrap(),
            1.0 + (1..50).map(|k| (-(f64::from(k) + 0.5) / 2.0).exp()).sum::<f64>(),
        ),
    ];
    for (rounds, mean) in laws {
        let mut wide = step("b", &[0]);
        wide.fan_out = law(3.0);
        let steps =
            vec![step("a", &[]), wide, going_back(step("c", &[1]), 0, rounds), step("d", &[2])];
        let spec = flow(steps);
        let promised: f64 = spec.requests().map(|(_, count)| count).sum();
        let count = 20_000;
        let heard = play(jobs(count, vec![spec]), |_| (Span(1), Fate::Completed));
        let wanted = 5.0 * mean + 1.0;
        let found = heard.arrivals.len() as f64 / count as f64;
        assert!((found / wanted - 1.0).abs() < 0.02, "{found} against {wanted}");
        // The law's own mean, before it is rounded.
        assert!((promised / wanted - 1.0).abs() < 0.2, "{promised} against {wanted}");
        let ends = heard.ends();
        assert_eq!(ends.len() as u64, count);
        let asked: u64 = ends.iter().map(|(.., asked)| asked).sum();
        assert_eq!(asked as usize, heard.arrivals.len());
    }
}

#[test]
fn a_failure_in_a_loop_ends_the_job_once_and_what_may_fail_is_skipped_each_time() {
    let mut middle = step("b", &[0]);
    middle.on_failure = OnFailure::Skip;
    let steps = |back| vec![step("a", &[]), middle.clone(), back];
    let back = going_back(step("c", &[1]), 0, law(3.0));
    let broken = |arrival: &Arrival| if at(arrival).1 == 1 { BROKEN } else { Fate::Completed };
    let skipped =
        play(jobs(1, vec![flow(steps(back.clone()))]), |arrival| (SECOND, broken(arrival)));
    assert_eq!(skipped.ends(), [(0, JobFate::Completed, 9)]);
    let mut asked = 0;
    let failed = play(jobs(1, vec![flow(steps(back))]), |arrival| {
        asked += usize::from(at(arrival).1 == 2);
        (SECOND, if asked == 2 { BROKEN } else { Fate::Completed })
    });
    assert_eq!(failed.ends(), [(0, JobFate::Failed(2), 6)]);
}

#[test]
fn loops_that_cannot_be_are_told() {
    let after = [vec![], vec![0], vec![1], vec![0]];
    let loops = |back: [Option<u16>; 4]| Loops::new(&after, &back).map(|_| ());
    assert_eq!(loops([None; 4]), Ok(()));
    assert_eq!(loops([None, None, Some(0), None]), Ok(()));
    assert_eq!(loops([Some(0), None, Some(1), Some(3)]), Ok(()), "each has its own");
    assert_eq!(loops([Some(1), None, None, None]), Err((0, LoopFlaw::NotBefore)));
    assert_eq!(loops([None, None, Some(3), None]), Err((2, LoopFlaw::NotBefore)));
    assert_eq!(loops([None, Some(0), Some(1), None]), Err((2, LoopFlaw::Shared(1))));
    assert_eq!(loops([None, None, Some(0), Some(0)]), Err((3, LoopFlaw::Shared(2))));
}
