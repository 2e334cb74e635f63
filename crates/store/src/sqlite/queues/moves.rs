//! Tasks that move the messages of a dead-letter queue, a part in each transaction: what was moved and that it was counted
//! is one.

use hearth_types::time::Timestamp;
use rusqlite::{Connection, Row};

use super::QueueBounds;
use super::messages::Answer;
use super::rows::{self, Place};
use super::task::Work;
use crate::contract::StoreError;
use crate::queues::{
    MOST_MOVE_TASKS, MoveState, MoveTask, NewMove, Queue, QueueKey, QueueStoreError, StartedMove,
};
use crate::sqlite::fault::corrupt;
use crate::sqlite::statement::{collect, execute, first};

macro_rules! columns {
    () => {
        "task, queue, target, rate, started, total, moved, state, reason"
    };
}

fn task(row: &Row<'_>) -> rusqlite::Result<(MoveTask, String)> {
    let task = MoveTask {
        task: row.get(0)?,
        queue: row.get(1)?,
        target: row.get(2)?,
        rate: row.get(3)?,
        started: Timestamp::from_millis(row.get(4)?),
        total: row.get(5)?,
        moved: row.get(6)?,
        state: MoveState::Running,
        reason: row.get(8)?,
    };
    Ok((task, row.get(7)?))
}

fn with_state((task, state): (MoveTask, String)) -> Result<MoveTask, StoreError> {
    let state = MoveState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| corrupt(format_args!("it has a move task that is {state:?}")))?;
    Ok(MoveTask { state, ..task })
}

fn put(connection: &Connection, task: &MoveTask) -> Result<(), StoreError> {
    execute(
        connection,
        concat!(
            "INSERT OR REPLACE INTO moves (",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ),
        (
            task.task,
            task.queue,
            &task.target,
            task.rate,
            task.started.as_millis(),
            task.total,
            task.moved,
            task.state.as_str(),
            &task.reason,
        ),
    )
    .map(drop)
}

/// The tasks of a queue, the newest first.
pub(super) fn of_queue(connection: &Connection, queue: i64) -> Result<Vec<MoveTask>, StoreError> {
    let found = collect(
        connection,
        concat!(
            "SELECT ",
            columns!(),
            " FROM moves WHERE queue = ?1 ORDER BY task DESC LIMIT ?2"
        ),
        (queue, MOST_MOVE_TASKS),
        task,
    )?;
    found.into_iter().map(with_state).collect()
}

/// All that run, with where their messages are.
pub(super) fn running(connection: &Connection) -> Result<Vec<MoveTask>, StoreError> {
    let found = collect(
        connection,
        concat!(
            "SELECT ",
            columns!(),
            " FROM moves WHERE state = 'RUNNING' ORDER BY task"
        ),
        (),
        task,
    )?;
    found.into_iter().map(with_state).collect()
}

/// Begins a task, if none of the queue runs.
pub(super) fn start(work: &mut Work<'_>, key: &QueueKey, new: &NewMove) -> Answer<StartedMove> {
    let Some(queue) = rows::queue(work.connection, key)? else {
        return Ok(Err(QueueStoreError::Missing));
    };
    let others = of_queue(work.connection, queue.number)?;
    if others.iter().any(|one| one.state == MoveState::Running) {
        return Ok(Ok(StartedMove::Another));
    }
    // As many as are shown are kept.
    if let Some(oldest) = others.get(MOST_MOVE_TASKS - 1) {
        execute(
            work.connection,
            "DELETE FROM moves WHERE queue = ?1 AND task <= ?2",
            (queue.number, oldest.task),
        )?;
    }
    let total = work.state.tallies.counts(queue.heap, work.now).visible;
    let task = MoveTask {
        task: work.number()?,
        queue: queue.number,
        target: new.target.clone(),
        rate: new.rate,
        started: work.now,
        total,
        moved: 0,
        state: MoveState::Running,
        reason: None,
    };
    put(work.connection, &task)?;
    Ok(Ok(StartedMove::New(task.task)))
}

/// Ends a task of the queue that runs; says how many messages it has moved, or nothing if it does not run.
pub(super) fn cancel(work: &mut Work<'_>, key: &QueueKey, number: i64) -> Answer<Option<u64>> {
    let Some(queue) = rows::queue(work.connection, key)? else {
        return Ok(Err(QueueStoreError::Missing));
    };
    let tasks = of_queue(work.connection, queue.number)?;
    let task = tasks
        .into_iter()
        .find(|task| task.task == number && task.state == MoveState::Running);
    let Some(task) = task else {
        return Ok(Ok(None));
    };
    let task = MoveTask {
        state: MoveState::Cancelled,
        ..task
    };
    put(work.connection, &task)?;
    Ok(Ok(Some(task.moved)))
}

/// Moves up to `most` messages; says whether the task goes on.
pub(super) fn advance(
    work: &mut Work<'_>,
    number: i64,
    most: usize,
    bounds: QueueBounds,
) -> Result<bool, StoreError> {
    let found = first(
        work.connection,
        concat!("SELECT ", columns!(), " FROM moves WHERE task = ?1"),
        (number,),
        task,
    )?;
    let Some(mut task) = found.map(with_state).transpose()? else {
        return Ok(false);
    };
    if task.state != MoveState::Running {
        return Ok(false);
    }
    let ended = match rows::key_of(work.connection, task.queue)? {
        None => Some(Err("The queue is gone.")),
        Some(key) => match rows::queue(work.connection, &key)? {
            None => Some(Err("The queue is gone.")),
            Some(queue) => move_some(work, &queue, &mut task, most, bounds)?,
        },
    };
    let is_over = ended.is_some();
    match ended {
        None => {}
        Some(Ok(())) => task.state = MoveState::Completed,
        Some(Err(reason)) => {
            task.state = MoveState::Failed;
            task.reason = Some(reason.to_owned());
        }
    }
    put(work.connection, &task)?;
    Ok(!is_over)
}

/// Moves messages that were due when the task began: those that come back while it runs are left, or it would never end.
/// What was in flight then is left as well. How the task ended, if it has.
fn move_some(
    work: &mut Work<'_>,
    queue: &Queue,
    task: &mut MoveTask,
    most: usize,
    bounds: QueueBounds,
) -> Result<Option<Result<(), &'static str>>, StoreError> {
    let places = rows::due(work.connection, queue.heap, task.started, most)?;
    let is_last = places.len() < most;
    for place in places {
        let name = match (&task.target, &place.came_from) {
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => {
                return Ok(Some(Err(
                    "CouldNotDetermineMessageSource: a message was sent to the queue itself; name a DestinationArn.",
                )));
            }
        };
        let key = QueueKey {
            name,
            ..queue.key.clone()
        };
        let Some(target) = rows::queue(work.connection, &key)? else {
            return Ok(Some(Err(
                "AWS.SimpleQueueService.NonExistentQueue: a queue that is to take messages does not exist.",
            )));
        };
        if target.settings.fifo.is_some() != queue.settings.fifo.is_some() {
            return Ok(Some(Err(
                "A queue that is to take messages is of another type.",
            )));
        }
        if work.state.tallies.messages_of(target.heap) >= bounds.queue_messages {
            return Ok(Some(Err("A queue that is to take messages is full.")));
        }
        let moved = Place {
            heap: target.heap,
            due: work.now,
            // It begins anew: its age and its receives.
            sent: work.now,
            received: 0,
            held: false,
            first: None,
            last: None,
            came_from: None,
            ..place.clone()
        };
        work.replace(&place, &moved)?;
        work.regroup(&place)?;
        work.regroup(&moved)?;
        work.wake(target.number);
        task.moved += 1;
    }
    Ok(is_last.then_some(Ok(())))
}
