"""The engine inside another program: two components count words, no signals, no daemon.

python examples/embed.py
"""

import collections
from typing import Any

from zenactors import Dispatcher, ZenDaemonComponent, handles

TEXT = """
the way that can be told is not the constant way
the name that can be named is not the constant name
the nameless is the beginning of heaven and earth
"""


class Splitter(ZenDaemonComponent):
    """DispatchLoop a line into words. What it returns is what the next component gets."""

    @handles("line")
    def cbk_event_line(self, daemon: Any, args: str) -> tuple[int, list[str]]:
        words = args.split()
        # A blank line goes no further: FLAG_STOP ends its chain here.
        return (daemon.FLAG_CONTINUE if words else daemon.FLAG_STOP), words


class WordCounter(ZenDaemonComponent):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words: collections.Counter[str] = collections.Counter()

    @handles("line")
    def cbk_event_line(self, daemon: Any, args: list[str]) -> None:
        self.words.update(args)


def main() -> None:
    counter = WordCounter()
    with Dispatcher([Splitter(), counter]) as dispatcher:
        for line in TEXT.splitlines():
            dispatcher.queue.schedule("line", line)
        dispatcher.queue.schedule("line", None)  # None has no split(): a dead letter
        dispatcher.drain()
        counts = dispatcher.counts()["line"]
    # Leaving the block has stopped the actors: what they own is ours again.
    for word, count in counter.words.most_common(3):
        print(f"{count:3} {word}")
    print(f"{counts.completed} lines counted, {counts.stopped} blank, {counts.dead} dead-lettered")
    for letter in dispatcher.dead_letters():
        print(f"dead letter: {letter.event!r} with {letter.args!r}: {letter.cause!r}")


if __name__ == "__main__":
    main()
