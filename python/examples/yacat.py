"""Finds the word of three small letters that has a given SHA-256 hash, on rented machines.

    python -m golem_tasks run python/examples/yacat.py --devnet --workers 3 --run-id crack
    YACAT_HASH=.. python -m golem_tasks run python/examples/yacat.py --devnet

A task searches all words that begin with one letter. Each task has a key, so a run that was killed by `kill -9` searches no part twice when the same
command resumes it. Once the word is found, get_tasks yields no more, and the tasks that are left return at once.
"""

import os
import string
import tempfile
from pathlib import Path

from golem_tasks.golem_core import Payload, commands
from golem_tasks.golem_core.low.exceptions import BatchError

PAYLOAD = Payload.from_image_hash("9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae", min_mem_gib=0.5)

# The hash of "owl".
HASH = os.environ.get("YACAT_HASH", "10f7127b980b0b06ef157749f8a02cca1c606d22642729dcb2d24dbbf2bf30df")

SEARCH = """\
#!/bin/sh
# Writes all words that begin with $1 into files of their own, and the name of the one that has the hash $2 into the file $3.
letters='a b c d e f g h i j k l m n o p q r s t u v w x y z'
mkdir -p "/tmp/words-$1" && cd "/tmp/words-$1" || exit 1
for b in $letters; do
  for c in $letters; do printf %s "$1$b$c" >"$1$b$c"; done
done
sha256sum -- * | grep "^$2 " | cut -c67- >"$3"
rm -rf "/tmp/words-$1"
"""

found = []
searched = set()


class Search:
    """The search of all words that begin with one letter. A task may be any callable; its key is what a run knows it by."""

    def __init__(self, letter):
        self.letter = letter
        self.key = f"{HASH[:8]}-{letter}"

    async def __call__(self, activity):
        if found:
            return None
        with tempfile.TemporaryDirectory() as folder:
            script, result = Path(folder, "search.sh"), Path(folder, "word")
            script.write_text(SEARCH)
            batch = await activity.execute_commands(
                commands.SendFile(script, "/golem/work/search.sh"),
                commands.Run(["/bin/sh", "/golem/work/search.sh", self.letter, HASH, "/golem/work/word"]),
                commands.DownloadFile("/golem/work/word", result),
            )
            try:
                await batch.wait(120)
            except BatchError as error:
                print(f"{activity.provider_name} failed: {error}")
                raise  # The task is tried elsewhere.
            word = result.read_text().strip()
        searched.add(self.letter)
        if word:
            found.append(word)
            print(f"found: {word}")
        # What a task returns is kept in the database: `golem-tasks results` prints it.
        return word or None


def get_tasks(run_id):
    for letter in string.ascii_lowercase:
        if found:
            return
        yield Search(letter)


async def results_cnt(run_id):
    return len(searched)
