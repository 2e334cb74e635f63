//! Which call is allowed when, and whose it is.

use super::*;

fn id(byte: u8) -> RequestId {
    RequestId::from_random([byte; 16])
}

fn ticket(byte: u8) -> Ticket {
    Ticket {
        request_id: id(byte),
        streams: false,
    }
}

fn handout() -> Handout {
    Response::new(Full::new(Bytes::from_static(b"{}")))
}

fn answering(session: &Session, byte: u8) -> Result<Receipt<'_>, Refusal> {
    session.begin_answer(id(byte).as_str(), "InvocationResponse")
}

fn refused(session: &Session, byte: u8) -> Refusal {
    answering(session, byte).map(drop).unwrap_err()
}

/// A runtime that waits in each of `count` places, of `most`.
fn several(most: usize, count: usize) -> (Session, Vec<Place>, Vec<oneshot::Receiver<Handout>>) {
    let (session, first, mut further) = Session::new(most);
    let waiting = (0..count).map(|_| session.next().unwrap()).collect();
    let mut places = vec![first];
    while let Ok(place) = further.try_recv() {
        places.push(place);
    }
    for place in &mut places {
        assert!(matches!(place.events.try_recv(), Ok(Event::Next)));
    }
    assert_eq!(places.len(), count);
    (session, places, waiting)
}

#[test]
fn one_invocation_goes_round() {
    let (session, mut place, _) = Session::new(1);
    for round in 0..3 {
        let mut waiting = session.next().unwrap();
        assert!(matches!(place.events.try_recv(), Ok(Event::Next)));
        place.offer(ticket(round), handout());
        assert!(waiting.try_recv().is_ok());
        let receipt = answering(&session, round).unwrap();
        receipt.answer(Answer::Response(Bytes::new())).unwrap();
        assert!(matches!(
            place.events.try_recv(),
            Ok(Event::Answered(Answer::Response(_)))
        ));
    }
}

#[test]
fn calls_out_of_turn_are_refused() {
    let (session, place, _) = Session::new(1);
    assert_eq!(refused(&session, 1), Refusal::InvalidRequestId);
    let _waiting = session.next().unwrap();
    assert!(session.next().is_err(), "two cannot wait");
    place.offer(ticket(1), handout());
    assert!(session.next().is_err(), "not before the answer");
    assert_eq!(refused(&session, 2), Refusal::InvalidRequestId);
    let first = answering(&session, 1).unwrap();
    assert!(matches!(
        refused(&session, 1),
        Refusal::InvalidStateTransition { .. }
    ));
    first.answer(Answer::TooLarge).unwrap();
    assert!(matches!(
        refused(&session, 1),
        Refusal::InvalidStateTransition { .. }
    ));
    assert!(session.fail_init(Answer::TooLarge).is_err());
}

#[test]
fn an_answer_that_breaks_off_can_be_given_again() {
    let (session, place, _) = Session::new(1);
    let _waiting = session.next().unwrap();
    place.offer(ticket(1), handout());
    drop(answering(&session, 1).unwrap());
    assert!(answering(&session, 1).is_ok());
}

#[test]
fn a_response_that_breaks_off_after_its_beginning_has_ended() {
    let (session, mut place, _) = Session::new(1);
    let _waiting = session.next().unwrap();
    let streams = Ticket {
        streams: true,
        ..ticket(1)
    };
    place.offer(streams, handout());
    let mut receipt = answering(&session, 1).unwrap();
    assert!(receipt.streams());
    receipt.begin(Beginning::new(None).0);
    drop(receipt);
    assert!(matches!(place.events.try_recv(), Ok(Event::Next)));
    assert!(matches!(place.events.try_recv(), Ok(Event::Begun(_))));
    assert!(matches!(
        place.events.try_recv(),
        Ok(Event::Answered(Answer::Truncated))
    ));
    assert!(answering(&session, 1).is_err());
}

#[test]
fn an_invocation_waits_for_a_runtime_that_lost_its_connection() {
    let (session, mut place, _) = Session::new(1);
    drop(session.next().unwrap());
    place.offer(ticket(1), handout());
    let mut waiting = session.next().unwrap();
    assert!(waiting.try_recv().is_ok());
    assert!(matches!(place.events.try_recv(), Ok(Event::Next)));
    assert!(place.events.try_recv().is_err(), "told once");
    assert!(answering(&session, 1).is_ok());
}

#[test]
fn a_failed_init_is_the_end() {
    for most in [1, 3] {
        let (session, mut place, mut further) = Session::new(most);
        let failed = Answer::Error {
            kind: String::new(),
            body: Bytes::new(),
        };
        session.fail_init(failed).unwrap();
        assert!(matches!(place.events.try_recv(), Ok(Event::InitFailed(_))));
        assert!(session.next().is_err());
        assert!(further.try_recv().is_err());
    }
}

#[test]
fn a_runtime_has_the_places_for_which_it_asks_and_no_more_than_it_may() {
    let (session, places, mut waiting) = several(3, 2);
    let _third = session.next().unwrap();
    assert!(session.next().is_err(), "a fourth");
    // Offered in another order than asked for; each goes to its own connection.
    places[1].offer(ticket(1), handout());
    places[0].offer(ticket(2), handout());
    for waiting in &mut waiting {
        assert!(waiting.try_recv().is_ok());
    }
    assert!(session.next().is_err(), "two run and one waits");
}

#[test]
fn answers_go_to_the_invocations_that_they_name() {
    let (session, mut places, _waiting) = several(2, 2);
    places[0].offer(ticket(1), handout());
    places[1].offer(ticket(2), handout());
    let second = answering(&session, 2).unwrap();
    let first = answering(&session, 1).unwrap();
    let said = |text: &'static str| Answer::Response(Bytes::from_static(text.as_bytes()));
    second.answer(said("two")).unwrap();
    first.answer(said("one")).unwrap();
    for (place, text) in places.iter_mut().zip(["one", "two"]) {
        match place.events.try_recv() {
            Ok(Event::Answered(answer)) => assert_eq!(answer, said(text)),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(
        refused(&session, 2),
        Refusal::InvalidStateTransition { .. }
    ));
    // The place has another one, and the first is nobody's any more.
    let _waiting = session.next().unwrap();
    places[0].offer(ticket(3), handout());
    assert_eq!(refused(&session, 1), Refusal::InvalidRequestId);
    assert!(places[1].events.try_recv().is_err());
}

#[test]
fn what_is_said_after_the_time_was_up_is_refused_once_and_frees_the_place() {
    let (session, mut places, _waiting) = several(2, 2);
    places[0].offer(ticket(1), handout());
    places[1].offer(ticket(2), handout());
    let heard = places[0].heard();
    places[0].give_up();
    assert_eq!(places[0].heard(), heard);
    assert!(session.next().is_ok(), "it may give that up by itself");
    assert!(matches!(places[0].events.try_recv(), Ok(Event::Next)));
    places[1].give_up();
    assert_eq!(refused(&session, 2), Refusal::Overdue);
    assert!(places[1].heard() > heard);
    assert!(places[1].events.try_recv().is_err(), "nobody waits for it");
    let _waiting = session.next().unwrap();
    assert!(matches!(places[1].events.try_recv(), Ok(Event::Next)));
}

#[test]
fn an_answer_on_its_way_when_the_time_is_up_is_cut_off() {
    let (session, mut places, _waiting) = several(2, 2);
    let streams = Ticket {
        streams: true,
        ..ticket(1)
    };
    places[0].offer(streams, handout());
    places[1].offer(ticket(2), handout());
    let mut receipt = answering(&session, 1).unwrap();
    let cut = receipt.begin(Beginning::new(None).0);
    assert!(matches!(places[0].events.try_recv(), Ok(Event::Begun(_))));
    let whole = answering(&session, 2).unwrap();
    assert!(!cut.is_cancelled());
    for place in &places {
        place.give_up();
    }
    assert!(cut.is_cancelled());
    assert_eq!(receipt.answer(Answer::Streamed), Err(Refusal::Overdue));
    assert_eq!(whole.answer(Answer::TooLarge), Err(Refusal::Overdue));
    assert!(places[0].events.try_recv().is_err());
    assert!(session.next().is_ok() && session.next().is_ok());
}

#[test]
fn a_late_answer_that_breaks_off_frees_the_place() {
    let (session, mut places, _waiting) = several(3, 1);
    places[0].offer(ticket(1), handout());
    let late = answering(&session, 1).unwrap();
    places[0].give_up();
    drop(late);
    let _waiting = session.next().unwrap();
    assert!(
        matches!(places[0].events.try_recv(), Ok(Event::Next)),
        "and not one more"
    );
}

#[test]
fn a_connection_that_is_gone_keeps_nobody_waiting_while_others_are_there() {
    let (session, places, mut waiting) = several(3, 3);
    // A worker of the runtime has ended.
    drop(waiting.remove(0));
    places[0].offer(ticket(1), handout());
    places[1].offer(ticket(2), handout());
    for waiting in &mut waiting {
        assert!(waiting.try_recv().is_ok());
    }
    places[2].offer(ticket(3), handout());
    assert_eq!(refused(&session, 3), Refusal::InvalidRequestId);
    let first = answering(&session, 1).unwrap();
    first.answer(Answer::TooLarge).unwrap();
    let mut again = session.next().unwrap();
    assert!(again.try_recv().is_ok(), "whoever asks next gets it");
    assert!(answering(&session, 3).is_ok());
}

#[test]
fn an_invocation_that_no_connection_took_in_time_is_never_handed_out() {
    let (session, places, waiting) = several(2, 1);
    drop(waiting);
    places[0].offer(ticket(1), handout());
    places[0].give_up();
    let mut waiting = session.next().unwrap();
    assert!(waiting.try_recv().is_err());
}
