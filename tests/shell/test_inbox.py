from __future__ import annotations

import threading
import time

from keepstep.roles.election_types import TicketChanged
from keepstep.shell.inbox import Answer, Inbox, Lane, LinkDown, LinkUp, Notice, Order

ANSWER = Answer(connection=1, call=1, value=None, error=None)
NOTICE = Notice(connection=1, exchange=1, told=TicketChanged())
UP, DOWN = LinkUp(1, 7), LinkDown(2)


def filled():
    inbox = Inbox()
    for arrival in (UP, ANSWER, NOTICE, DOWN, Order()):
        inbox.put(arrival)
    return inbox


def test_arrivals_are_taken_in_their_order():
    inbox = filled()
    assert [inbox.take(0) for _ in range(6)] == [UP, ANSWER, NOTICE, DOWN, Order(), None]


def test_a_lane_can_be_taken_before_the_others_and_keeps_its_order():
    inbox = filled()
    assert inbox.count() == 5
    assert inbox.count(Lane.STATE) == 2
    assert inbox.take(0, Lane.STATE) == UP
    assert inbox.take(0, Lane.STATE) == DOWN
    assert inbox.take(0, Lane.STATE) is None
    assert inbox.take(0, Lane.NOTIFICATION) == NOTICE
    assert inbox.take(0) == ANSWER


def test_waiting_ends_with_an_arrival_of_the_lane():
    inbox = Inbox()
    inbox.put(NOTICE)
    timer = threading.Timer(0.05, inbox.put, [ANSWER])
    timer.start()
    assert inbox.take(10, Lane.ANSWER) == ANSWER
    timer.join()


def test_waiting_ends_in_time():
    start = time.monotonic()
    assert Inbox().take(0.05) is None
    assert 0.04 < time.monotonic() - start < 5
