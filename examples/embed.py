"""A dispatcher inside another program: two components count words, without signals or a daemon.

python examples/embed.py
"""

import collections
from typing import Any

from zenactors import Daemon, Dispatcher, Flag, ZenDaemonComponent, handles

TEXT = """
the way that can be told is not the constant way
the name that can be named is not the constant name
the nameless is the beginning of heaven and earth
"""


class Splitter(ZenDaemonComponent):
    """Split a line into words. The next component gets the return value as its args."""

    @handles("line")
    def cbk_event_line(self, daemon: Daemon, args: str) -> tuple[Flag, list[str]]:
        words = args.split()
        # FLAG_STOP ends the chain: a blank line does not reach the next component.
        return (daemon.FLAG_CONTINUE if words else daemon.FLAG_STOP), words


class WordCounter(ZenDaemonComponent):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words: collections.Counter[str] = collections.Counter()

    @handles("line")
    def cbk_event_line(self, daemon: Daemon, args: list[str]) -> None:
        self.words.update(args)


def main() -> None:
    counter = WordCounter()
    with Dispatcher([Splitter(), counter]) as dispatcher:
        for line in TEXT.splitlines():
            dispatcher.queue.schedule("line", line)
        # None has no split(), so this event becomes a dead letter.
        dispatcher.queue.schedule("line", None)
        dispatcher.drain()
        counts = dispatcher.counts()["line"]
    # The `with` block has stopped the actors, so this thread may read their state.
    for word, count in counter.words.most_common(3):
        print(f"{count:3} {word}")
    print(f"{counts.completed} lines counted, {counts.stopped} blank, {counts.dead} dead-lettered")
    for letter in dispatcher.dead_letters():
        print(f"dead letter: {letter.event!r} with {letter.args!r}: {letter.cause!r}")


if __name__ == "__main__":
    main()
