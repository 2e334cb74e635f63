//! Who gets which invocation, and what is counted.

use hearth_types::function::Runtime;
use hearth_types::invoke::Outcome;
use tokio::sync::oneshot;

use super::*;
use crate::testing;

type Answer = oneshot::Receiver<Result<Outcome, ApiError>>;

const LONG: Duration = Duration::from_secs(3_600);

fn pool(places: usize) -> Arc<Pool> {
    let deployment = testing::deployment(Runtime::Python { minor: 12 });
    Pool::new(Arc::new(deployment), places, 100)
}

fn job(pool: &Arc<Pool>, number: u8) -> (Job, Answer) {
    let (reply, answer) = oneshot::channel();
    let invocation = Invocation {
        request_id: RequestId::from_random([number; 16]),
        deployment: Arc::clone(&pool.deployment),
        invoked_arn: String::new(),
        payload: bytes::Bytes::new(),
        client_context: None,
        trace_id: String::new(),
        log_tail: false,
    };
    let job = Job {
        invocation,
        reply: Reply::Whole(reply),
        since: Instant::now(),
    };
    (job, answer)
}

/// Places an invocation; gives the end that waits for it.
fn place(pool: &Arc<Pool>, number: u8) -> (Placed, Answer) {
    let (job, answer) = job(pool, number);
    (pool.place(job), answer)
}

fn number(job: &Job) -> u8 {
    // The first two digits of an identifier of equal bytes.
    u8::from_str_radix(&job.request_id().as_str()[..2], 16).unwrap()
}

/// An environment that takes part until it is dropped.
struct Environment {
    seat: Seat,
    _member: Member,
}

impl std::ops::Deref for Environment {
    type Target = Seat;

    fn deref(&self) -> &Seat {
        &self.seat
    }
}

/// An environment that has been started, and has `places` that are about to be ready.
fn started(pool: &Arc<Pool>, places: usize) -> (Environment, Jobs) {
    pool.lock().starting += 1;
    let mut member = Member::starting(pool);
    let (give, jobs) = mpsc::unbounded_channel();
    let seat = member.seat();
    seat.enter(places, Instant::now() + LONG, Taker::Task(give));
    let environment = Environment {
        seat,
        _member: member,
    };
    (environment, jobs)
}

/// An environment all of whose places are free.
fn environment(pool: &Arc<Pool>) -> (Environment, Jobs) {
    let (environment, jobs) = started(pool, pool.places);
    for _ in 0..pool.places {
        assert!(matches!(
            environment.ready(Instant::now(), false),
            Ready::Idle
        ));
    }
    (environment, jobs)
}

/// The place of one that has been answered asks for the next.
fn done(member: &Seat) -> Ready {
    member.answered(Duration::from_millis(1));
    member.ready(Instant::now(), false)
}

#[test]
fn the_fullest_is_filled_first_and_then_the_one_used_last() {
    let pool = pool(2);
    let (first, mut for_first) = environment(&pool);
    let (_second, mut for_second) = environment(&pool);
    let mut waits = Vec::new();
    for n in 1..=3 {
        let (placed, wait) = place(&pool, n);
        assert!(matches!(placed, Placed::Running));
        waits.push(wait);
    }
    let got = |jobs: &mut Jobs| -> Vec<u8> {
        std::iter::from_fn(|| jobs.try_recv().ok().map(|job| number(&job))).collect()
    };
    assert_eq!(
        got(&mut for_second),
        [1, 2],
        "used last, and then the fullest"
    );
    assert_eq!(got(&mut for_first), [3]);
    assert!(matches!(done(&first), Ready::Idle));
    assert_eq!(pool.counts(), [0, 1, 1, 0]);
    let (placed, _wait) = place(&pool, 4);
    assert!(matches!(placed, Placed::Running));
    assert_eq!(got(&mut for_first), [4]);
    assert_eq!(pool.counts(), [0, 0, 2, 0]);
    let (placed, _wait) = place(&pool, 5);
    assert!(matches!(placed, Placed::Running), "one place is left");
    assert!(matches!(place(&pool, 6).0, Placed::Queued));
}

#[test]
fn of_empty_ones_the_one_that_is_near_is_taken() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let (here, there) = (runtime(), runtime());
    let pool = pool(1);
    let (near, mut for_near) = here.block_on(async { environment(&pool) });
    let (_far, mut for_far) = there.block_on(async { environment(&pool) });
    let place = |runtime: &tokio::runtime::Runtime, number| {
        let (placed, answer) = runtime.block_on(async { place(&pool, number) });
        assert!(matches!(placed, Placed::Running));
        answer
    };
    let _first = place(&here, 1);
    assert_eq!(
        number(&for_near.try_recv().unwrap()),
        1,
        "though the other was used last"
    );
    let _second = place(&here, 2);
    assert_eq!(
        number(&for_far.try_recv().unwrap()),
        2,
        "what is there, before it waits"
    );
    assert!(matches!(done(&near), Ready::Idle));
    let _third = place(&there, 3);
    assert_eq!(number(&for_near.try_recv().unwrap()), 3);
}

#[test]
fn the_queue_is_first_in_first_out_over_all_places() {
    let pool = pool(2);
    let (member, mut jobs) = environment(&pool);
    let waits: Vec<_> = (1..=5).map(|n| place(&pool, n)).collect();
    let queued = |(placed, _): &&(Placed, Answer)| matches!(placed, Placed::Queued);
    assert_eq!(waits.iter().filter(queued).count(), 3);
    assert_eq!(number(&jobs.try_recv().unwrap()), 1);
    assert_eq!(number(&jobs.try_recv().unwrap()), 2);
    for expected in 3..=5 {
        match done(&member) {
            Ready::Run(job) => assert_eq!(number(&job), expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(done(&member), Ready::Idle));
    assert!(matches!(done(&member), Ready::Idle));
    assert_eq!(pool.counts(), [0, 1, 0, 0]);
}

#[test]
fn what_an_environment_was_given_and_has_not_begun_goes_to_another_in_its_order() {
    let pool = pool(3);
    let (dies, mut its_jobs) = environment(&pool);
    let waits: Vec<_> = (1..=4).map(|n| place(&pool, n)).collect();
    assert_eq!(
        number(&its_jobs.try_recv().unwrap()),
        1,
        "it has begun this one"
    );
    dies.leave(&mut its_jobs);
    drop(dies);
    assert_eq!(pool.counts(), [0, 0, 0, 3]);
    let (next, mut jobs) = started(&pool, 3);
    for expected in 2..=4 {
        match next.ready(Instant::now(), false) {
            Ready::Run(job) => assert_eq!(number(&job), expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(jobs.try_recv().is_err());
    drop(waits);
}

#[test]
fn one_that_is_put_back_finds_a_free_place_at_once() {
    let pool = pool(1);
    let (idle, mut for_idle) = environment(&pool);
    let (dies, mut its_jobs) = environment(&pool);
    let (_, _wait) = place(&pool, 1);
    dies.leave(&mut its_jobs);
    assert_eq!(number(&for_idle.try_recv().unwrap()), 1);
    drop((idle, dies));
    assert!(pool.close_if_empty());
}

#[test]
fn whoever_leaves_half_full_takes_nothing_more_and_is_counted_to_its_end() {
    let pool = pool(2);
    let (member, mut jobs) = environment(&pool);
    let (_, _wait) = place(&pool, 1);
    jobs.try_recv().unwrap();
    pool.retire(true);
    assert!(matches!(
        jobs.try_recv(),
        Err(mpsc::error::TryRecvError::Disconnected)
    ));
    assert!(matches!(place(&pool, 2).0, Placed::Queued));
    assert_eq!(pool.counts(), [0, 0, 1, 1]);
    assert!(matches!(done(&member), Ready::Leave));
    assert_eq!(pool.counts(), [0, 0, 0, 1]);
    assert!(!pool.close_if_empty());
}

#[test]
fn only_environments_without_any_invocation_are_evicted_or_expire() {
    let pool = pool(2);
    let (_half, _its_jobs) = environment(&pool);
    let (_, _wait) = place(&pool, 1);
    assert_eq!(pool.least_recently_used(), None);
    assert!(!pool.evict());
    let (_idle, mut jobs) = environment(&pool);
    pool.expire(Instant::now() + LONG * 2, None);
    assert!(matches!(
        jobs.try_recv(),
        Err(mpsc::error::TryRecvError::Disconnected)
    ));
    assert_eq!(pool.counts(), [0, 0, 1, 0]);
    // The half full one is too old for what comes later, too.
    let (mut late, _wait) = job(&pool, 2);
    late.since += LONG * 2;
    assert!(matches!(pool.place(late), Placed::Queued));
}

#[test]
fn counts_are_right_after_any_order_of_things() {
    // A small generator of pseudo-random numbers (Knuth's linear congruential one, MMIX).
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for places in [1, 2, 7] {
        let pool = pool(places);
        let mut environments: Vec<(Environment, Jobs, usize)> = Vec::new();
        let mut waits = Vec::new();
        for step in 0..2_000 {
            match random(6) {
                0 if environments.len() < 5 => {
                    let (member, jobs) = started(&pool, places);
                    let runs = (0..places)
                        .filter(|_| matches!(member.ready(Instant::now(), false), Ready::Run(_)))
                        .count();
                    environments.push((member, jobs, runs));
                }
                1 | 2 => waits.push(place(&pool, (step % 200) as u8)),
                3 | 4 if !environments.is_empty() => {
                    let at = random(environments.len());
                    let (member, jobs, runs) = &mut environments[at];
                    while jobs.try_recv().is_ok() {
                        *runs += 1;
                    }
                    if *runs > 0 && !matches!(done(member), Ready::Run(_)) {
                        *runs -= 1;
                    }
                    assert!(*runs <= places);
                }
                5 if !environments.is_empty() => {
                    let at = random(environments.len());
                    let (member, mut jobs, _) = environments.swap_remove(at);
                    member.leave(&mut jobs);
                }
                _ => {}
            }
            let state = pool.lock();
            let sum = |what: fn(&Entry) -> usize| -> usize {
                state.entries.iter().map(|(_, entry)| what(entry)).sum()
            };
            assert_eq!(state.busy, sum(|entry| entry.busy));
            assert_eq!(state.finishing, sum(|entry| entry.finishing));
            assert_eq!(state.entries.len(), environments.len());
            assert!(state.open.is_empty() || state.queue.is_empty());
            for (rank, at) in &state.open {
                let entry = &state.entries[*at];
                assert_eq!((*rank, entry.free + entry.busy), (entry.rank, places));
            }
        }
        environments.clear();
        pool.lock().queue.clear();
        assert!(pool.close_if_empty());
    }
}

#[test]
fn a_place_is_there_when_it_has_joined() {
    let pool = pool(3);
    let (member, mut jobs) = started(&pool, 1);
    let waits: Vec<_> = (1..=3).map(|n| place(&pool, n)).collect();
    assert!(matches!(member.ready(Instant::now(), false), Ready::Run(_)));
    assert_eq!(pool.counts(), [0, 0, 1, 2], "the others wait");
    member.join();
    match member.ready(Instant::now(), false) {
        Ready::Run(job) => assert_eq!(number(&job), 2),
        other => panic!("{other:?}"),
    }
    // One of them is late, and is not there until it comes back.
    member.answered(Duration::from_millis(1));
    member.lose();
    assert_eq!(pool.counts(), [0, 0, 1, 1]);
    member.join();
    assert!(matches!(member.ready(Instant::now(), false), Ready::Run(_)));
    assert!(jobs.try_recv().is_err());
    drop(waits);
    drop(member);
    let state = pool.lock();
    let left = [state.busy, state.finishing, state.opening, state.starting];
    assert_eq!(left, [0, 0, 0, 0]);
}

#[test]
fn what_a_runtime_is_about_to_ask_for_is_learnt_from_those_before() {
    let pool = pool(10);
    let (first, _jobs) = started(&pool, 1);
    let opening = |later| pool.lock().snapshot(Instant::now() + later, 10).opening;
    assert_eq!(opening(Duration::ZERO), 9, "as many as it may");
    assert_eq!(opening(LONG), 0, "for a while");
    first.join();
    assert_eq!(opening(Duration::ZERO), 8);
    let _waits = place(&pool, 1);
    assert!(matches!(first.ready(Instant::now(), false), Ready::Run(_)));
    first.answered(Duration::from_millis(1));
    assert_eq!(opening(Duration::ZERO), 0, "it has had its time to ask");
    assert_eq!(pool.lock().snapshot(Instant::now(), 10).places, 2);
    let (_second, _its_jobs) = started(&pool, 1);
    assert_eq!(opening(Duration::ZERO), 1);
}
