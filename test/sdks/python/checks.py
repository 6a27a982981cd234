"""What every program of test/sdks says about itself: one line per check, and `done` when it came to its end."""

import os
import threading
import time

LIMIT_S = 20
WITHOUT = set(filter(None, os.environ.get('SDK_WITHOUT', '').split(',')))


def say(line):
    print(line, flush=True)


def check(name, block=''):
    """Runs the decorated function as one check; `block` leaves it out where the sidecar has no component for it."""

    def decorator(work):
        if block in WITHOUT:
            return
        failures = []

        def attempt():
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - every failure is a verdict
                failures.append(' '.join(f'{type(error).__name__} {error}'.split())[:500])

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(LIMIT_S + 5)
        if thread.is_alive():
            failures.append('no end within the time limit')
        say(f'not ok {name}: {failures[0]}' if failures else f'ok {name}')

    return decorator


def equal(found, expected):
    if found != expected:
        raise AssertionError(f'found {found!r}, expected {expected!r}')


def until(what, ask):
    """Waits until `ask` gives something true, and gives that."""
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        result = ask()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f'waited in vain for {what}')


def failure(work):
    """The error of what must fail."""
    try:
        result = work()
    except Exception as error:  # noqa: BLE001
        return str(error)
    raise AssertionError(f'no error but {result!r}')
