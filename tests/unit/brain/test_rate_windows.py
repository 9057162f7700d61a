"""Moving windows: exact at their edge, fair to who waits, and bounded whoever sends."""

from services.brain.rate_windows import GIVE_BACK, KEYS_MAX, REMEMBERED_S, WINDOW_S, Ask, FullWindows, Windows

ASK = Ask("somebody", 3)
UNDO = Ask("somebody", GIVE_BACK)


def test_the_limit_fits_into_any_window_and_one_more_does_not() -> None:
    windows = Windows()
    assert [windows.judge(ASK, now) for now in (0, 10, 20)] == [0, 0, 0]
    assert windows.judge(ASK, 30) == WINDOW_S - 30
    assert windows.judge(ASK, WINDOW_S - 0.5) == 0.5
    assert windows.judge(ASK, WINDOW_S) == 0  # the first is a window old
    assert windows.judge(ASK, WINDOW_S + 1) == 9  # until the second is


def test_a_refusal_takes_no_place_so_that_knocking_does_not_prolong_the_wait() -> None:
    windows = Windows()
    for _ in range(3):
        windows.judge(ASK, 0)
    assert all(windows.judge(ASK, now) > 0 for now in range(1, 60))
    assert [windows.judge(ASK, WINDOW_S) for _ in range(4)] == [0, 0, 0, WINDOW_S]


def test_keys_do_not_know_of_each_other() -> None:
    windows = Windows()
    for _ in range(3):
        windows.judge(ASK, 0)
    assert windows.judge(Ask("somebody else", 3), 0) == 0


def test_a_place_that_is_given_back_can_be_taken_again() -> None:
    windows = Windows()
    for _ in range(3):
        windows.judge(ASK, 0)
    assert windows.judge(UNDO, 1) == 0
    assert [windows.judge(ASK, 2) for _ in range(2)] == [0, WINDOW_S - 2]


def test_giving_back_more_than_was_taken_makes_no_room() -> None:
    windows = Windows()
    for _ in range(5):
        windows.judge(UNDO, 0)
    assert [windows.judge(ASK, 0) for _ in range(4)] == [0, 0, 0, WINDOW_S]


def test_of_too_many_senders_the_least_recent_is_forgotten() -> None:
    windows = Windows()
    for _ in range(3):
        windows.judge(ASK, 0)
    for number in range(KEYS_MAX):
        windows.judge(Ask(f"flood {number}", 3), 1)
    assert windows.judge(ASK, 2) == 0
    assert len(windows._taken) == KEYS_MAX


def test_a_full_window_is_remembered_for_a_moment_and_never_longer_than_it_is_full() -> None:
    full = FullWindows()
    assert full.wait_s("somebody", 0) == 0
    full.note("somebody", 10, 0)
    assert (full.wait_s("somebody", 0.75), full.wait_s("somebody", REMEMBERED_S)) == (9.25, 0)
    assert full.wait_s("somebody else", 0.75) == 0
    full.note("somebody", 0.5, 20)
    assert (full.wait_s("somebody", 20.25), full.wait_s("somebody", 20.5)) == (0.25, 0)


def test_fullness_is_news_once_in_a_window() -> None:
    full = FullWindows()
    told = [full.note("somebody", 1, now) for now in (0, 1, 30, WINDOW_S - 1, WINDOW_S, WINDOW_S + 1)]
    assert told == [True, False, False, False, True, False]


def test_a_place_given_back_ends_fullness_and_is_no_new_news() -> None:
    full = FullWindows()
    full.note("somebody", 10, 0)
    full.forget("somebody")
    full.forget("nobody")
    assert full.wait_s("somebody", 0.5) == 0
    assert full.note("somebody", 10, 0.5) is False


def test_full_windows_are_bounded() -> None:
    full = FullWindows()
    for number in range(KEYS_MAX + 5):
        full.note(f"flood {number}", 10, 0)
    assert len(full._full) == KEYS_MAX
